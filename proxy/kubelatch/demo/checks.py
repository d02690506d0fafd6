"""Rules that look at several fields at once; ``data/rules.txt`` names them.

Each takes the whole object, the struct that the rule stands in, the stored one (None for a new
object) and the field, and yields problems.
"""

import base64
import json
from typing import Any

from . import goerrors, quantities
from .accounts import ACCOUNT_NAME, TOKEN_SECRET
from .defaults import qos_class
from .selectors import matches_labels
from .status import Object
from .texts import Found, invalid, join, quoted, unsupported

_DATA_LIMIT = 1024 * 1024
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_POD_UPDATE = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]


def check(name: str, root: Object, value: Object, old: Any, field: str) -> Found:
    """The problems that the check of that name finds."""
    found: Found = globals()[f"_{name}"](root, value, old, field)
    return found


def _total_size(_: Object, value: Object, __: Any, ___: str) -> Found:
    maps = (value.get("data") or {}, value.get("binaryData") or {})
    if sum(len(text) for data in maps for text in data.values()) > _DATA_LIMIT:
        yield "[]", f"Too long: may not be more than {_DATA_LIMIT} bytes"


def _not_in_binary(_: Object, value: Object, __: Any, field: str) -> Found:
    for key in (value.get("data") or {}).keys() & (value.get("binaryData") or {}).keys():
        yield f"{field}[{key}]", invalid(key, "duplicate of key present in binaryData")


def _immutable_data(_: Object, value: Object, old: Any, __: str) -> Found:
    if old is None or not old.get("immutable"):
        return
    for key in ("immutable", "data", "binaryData"):
        if value.get(key) != old.get(key):
            yield key, "Forbidden: field is immutable when `immutable` is set"


def _secret_data(root: Object, value: Object, __: Any, ___: str) -> Found:
    data, kind = value.get("data") or {}, str(value.get("type"))
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            yield f"data[{key}]", "Required value"
        elif key.startswith(".") and (why := _json_problem(data[key])):
            yield f"data[{key}]", invalid("<secret contents redacted>", why)
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        yield from ((f"data[{key}]", "Required value") for key in ("username", "password"))
    if kind == TOKEN_SECRET and not (root["metadata"].get("annotations") or {}).get(ACCOUNT_NAME):
        yield f"metadata.annotations[{ACCOUNT_NAME}]", "Required value"


def _json_problem(text: str) -> str:
    body = base64.b64decode(text)
    try:
        json.loads(body)
    except ValueError:
        return goerrors.json_syntax(body)
    return ""


def _limits(_: Object, value: Object, __: Any, field: str) -> Found:
    resources = value.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            here = f"{field}.{part}[{name}]"
            known = name.startswith("hugepages-") or name in {"cpu", "memory", "ephemeral-storage"}
            if "/" not in name and not known:
                text = "must be a standard resource type or fully qualified"
                yield from ((here, invalid(name, text)) for _ in range(name != "storage"))
                yield here, invalid(name, "must be a standard resource for containers")
            if quantities.parse(amount) < 0:
                yield here, invalid(str(amount), "must be greater than or equal to 0")
    for name, amount in requests.items():
        if name in limits and quantities.parse(amount) > quantities.parse(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield f"{field}.requests", invalid(str(amount), text)


def _mounts(root: Object, spec: Object, _: Any, field: str) -> Found:
    if root.get("kind") == "StatefulSet":  # its claims' volumes come with the pods
        return
    known = {volume.get("name") for volume in spec.get("volumes") or []}
    for kind in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(kind) or []):
            for index, mount in enumerate(container.get("volumeMounts") or []):
                if (name := mount.get("name")) and name not in known:
                    where = f"{field}.{kind}[{place}].volumeMounts[{index}].name"
                    yield where, f"Not found: {json.dumps(name)}"


def _init_names(_: Object, spec: Object, __: Any, field: str) -> Found:
    names = {container.get("name") for container in spec.get("containers") or []}
    for index, container in enumerate(spec.get("initContainers") or []):
        if container.get("name") in names:
            yield f"{field}[{index}].name", f"Duplicate value: {json.dumps(container['name'])}"


def _pod_update(root: Object, spec: Object, old: Any, field: str) -> Found:
    if old is None or root.get("kind") != "Pod":
        return
    kept = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")

    def fixed(part: Object) -> Object:
        rest = {key: value for key, value in part.items() if key not in kept}
        for kind in ("containers", "initContainers"):
            if kind in rest:
                rest[kind] = [{**row, "image": ""} for row in rest[kind]]
        return rest

    if len(spec.get("containers") or []) != len(old.get("containers") or []):
        yield field, "Forbidden: pod updates may not add or remove containers"
    elif fixed(spec) != fixed(old):
        yield field, _POD_UPDATE


def resize(spec: Object, old: Object) -> Found:
    """A change of a running pod's resources (KEP-1287): no node of the demo can make one."""
    before = qos_class(old)
    if qos_class(spec) != before:
        yield "spec", invalid(before, "Pod QOS Class may not change as a result of resizing")
    yield "spec", "Forbidden: Pod running on node without support for resize"


def _selects(_: Object, spec: Object, __: Any, field: str) -> Found:
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not matches_labels(spec.get("selector"), labels or {}):
        text = "`selector` does not match template `labels`"
        yield f"{field}.metadata.labels", invalid(labels or None, text)
    restart = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if restart in {"OnFailure", "Never"}:
        yield f"{field}.spec.restartPolicy", unsupported(restart, ["Always"])


def _rolling(_: Object, value: Object, __: Any, field: str) -> Found:
    none = {0, "0%"}
    if value.get("maxUnavailable") in none and value.get("maxSurge") in none:
        text = "may not be 0 when `maxSurge` is 0"
        yield f"{field}.maxUnavailable", invalid(value["maxUnavailable"], text)


def _stateful_update(_: Object, spec: Object, old: Any, field: str) -> Found:
    kept = "replicas ordinals template updateStrategy revisionHistoryLimit"
    names = [*kept.split(), "persistentVolumeClaimRetentionPolicy", "minReadySeconds"]
    if old is not None and _without(spec, names) != _without(old, names):
        *first, last = (f"'{name}'" for name in names)
        text = "updates to statefulset spec for fields other than"
        yield field, f"Forbidden: {text} {', '.join(first)} and {last} are forbidden"


def _claim_update(_: Object, spec: Object, old: Any, field: str) -> Found:
    if old is not None and _without(spec, ["volumeName"]) != _without(old, ["volumeName"]):
        text = "spec is immutable after creation except resources.requests and"
        yield field, f"Forbidden: {text} volumeAttributesClassName for bound claims"


def _without(value: Object, names: list[str]) -> Object:
    return {key: item for key, item in value.items() if key not in names}


def _ports(_: Object, spec: Object, __: Any, field: str) -> Found:
    """The ports of a Service."""
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        yield field, "Required value"
    if len(ports) > 1:
        for index, port in enumerate(ports):
            if not port.get("name"):
                yield f"{field}[{index}].name", "Required value"
    seen = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {"Name": "", "Protocol": key[0], "AppProtocol": None, "Port": key[1]}
            shown |= {"TargetPort": 0, "NodePort": 0}
            yield f"{field}[{index}]", f"Duplicate value: {quoted(shown)}"
        seen.add(key)


def _cluster_ip(_: Object, spec: Object, old: Any, field: str) -> Found:
    address, kind = spec.get("clusterIP"), spec.get("type")
    if address == "None" and kind in {"NodePort", "LoadBalancer"}:
        text = f"may not be set to 'None' for {kind} services"
        yield f"{field}.clusterIPs[0]", invalid(address, text)
    if not address or address == "None" or kind == "ExternalName":
        return
    if old is not None and old.get("clusterIP") not in {None, "", address}:
        yield f"{field}.clusterIPs[0]", invalid([address], "may not change once set")
    elif old is None and not str(address).startswith("10.96."):
        text = f"failed to allocate IP {address}: the provided network does not match the current"
        yield f"{field}.clusterIPs", invalid([address], f"{text} range")


def _same_namespace(root: Object, event: Object, _: Any, field: str) -> Found:
    namespace = (event.get("involvedObject") or {}).get("namespace", "")
    if namespace != root["metadata"].get("namespace", "") and (namespace or "default") != root[
        "metadata"
    ].get("namespace"):
        yield f"{field}.namespace", invalid(namespace, "does not match event.namespace")


def _role_reference(_: Object, binding: Object, old: Any, field: str) -> Found:
    role = binding["roleRef"]
    if old is not None and old["roleRef"] != role:
        names = ("apiGroup", "APIGroup"), ("kind", "Kind"), ("name", "Name")
        shown = {name: role.get(key, "") for key, name in names}
        yield field, invalid(shown, "cannot change roleRef")


def _limit_range(_: Object, item: Object, __: Any, field: str) -> Found:
    for part, most in (("min", "max"), ("default", "max"), ("defaultRequest", "default")):
        for key, amount in (item.get(part) or {}).items():
            bound = (item.get(most) or {}).get(key)
            if bound is not None and quantities.parse(amount) > quantities.parse(bound):
                text = f"{part} value {amount} is greater than {most} value {bound}"
                yield f"{field}.{part}[{key}]", invalid(str(amount), text)


def _definition_name(root: Object, __: Object, ___: Any, _: str) -> Found:
    spec, metadata = root.get("spec") or {}, root["metadata"]
    plural, group = (spec.get("names") or {}).get("plural", ""), str(spec.get("group", ""))
    if metadata.get("name") != f"{plural}.{group}":
        yield (
            "metadata.name",
            invalid(metadata.get("name"), 'must be spec.names.plural+"."+spec.group'),
        )
    key = "api-approved.kubernetes.io"
    protected = group.endswith((".k8s.io", ".kubernetes.io"))
    if protected and key not in (metadata.get("annotations") or {}):
        text = f'protected groups must have approval annotation "{key}", see '
        link = "https://github.com/kubernetes/enhancements/pull/1111"
        yield f"metadata.annotations[{key}]", f"Required value: {text}{link}"


def _storage_version(_: Object, spec: Object, __: Any, field: str) -> Found:
    versions = spec.get("versions") or []
    if versions and sum(bool(row.get("storage")) for row in versions) != 1:
        yield field, invalid(versions, "must have exactly one version marked as storage version")


def _has_schema(_: Object, version: Object, __: Any, field: str) -> Found:
    schema, field = (version.get("schema") or {}).get("openAPIV3Schema"), f"{field}.schema"
    if schema is None:
        yield f"{field}.openAPIV3Schema", "Required value"
        return
    if schema.get("type") != "object":
        where = f"{field}.openAPIV3Schema.type"
        if not schema.get("type"):
            yield where, "Required value: must not be empty at the root"
        else:
            yield where, invalid(schema["type"], "must be object at the root")
    yield from _structural(schema, f"{field}.openAPIV3Schema", root=True)


def _structural(schema: Object, field: str, *, root: bool = False) -> Found:
    """The types of a structural schema (apiextensions ``schema.ValidateStructural``)."""
    kind = schema.get("type")
    free = any(
        schema.get(f"x-kubernetes-{key}") for key in ("int-or-string", "preserve-unknown-fields")
    )
    if not kind and not root and not free:
        yield f"{field}.type", "Required value: must not be empty for specified object fields"
    elif kind and kind not in _TYPES:
        yield f"{field}.type", unsupported(kind, _TYPES)
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield f"{field}.items", "Required value: must be specified"
    for key, row in (schema.get("properties") or {}).items():
        yield from _structural(row, f"{join(field, 'properties')}[{key}]")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _structural(schema[key], join(field, key))
