"""Rules that look at several fields at once; ``data/rules.txt`` names them.

Each takes the whole object, the struct that the rule stands in, the stored one (None for a new
object) and the field, and yields problems.
"""

import json
from collections.abc import Iterator
from typing import Any

from . import quantities
from .defaults import qos_class
from .selectors import matches_labels
from .status import Object
from .texts import CONFIG_KEY, QUALIFIED, invalid, listed, unsupported

Found = Iterator[tuple[str, str]]

LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    f"'12345', regex used for validation is '({QUALIFIED.pattern.pattern})?')"
)
ENV_NAME = (
    "a valid environment variable name must consist only of printable ASCII characters other than "
    "'='"
)
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


def check(name: str, root: Object, value: Object, old: Any, field: str) -> Found:
    """The problems that the check of that name finds."""
    found: Found = globals()[f"_{name}"](root, value, old, field)
    return found


def counterpart(index: int, old: Any) -> Any:
    """The stored item of a list that a new one takes the place of."""
    return old[index] if isinstance(old, list) and index < len(old) else None


def unique(items: list[Any], key: str, field: str) -> Found:
    """No two items with the same value of ``key``."""
    seen: set[Any] = set()
    for index, item in enumerate(items):
        value = item.get(key) if isinstance(item, dict) else None
        if value is not None and value in seen:
            yield f"{field}[{index}].{key}", f"Duplicate value: {json.dumps(value)}"
        seen.add(value)


def config_keys(data: Object, field: str) -> Found:
    """The keys of a ConfigMap or Secret."""
    for key in data:
        if len(key) > 253:
            yield f"{field}[{key}]", invalid(key, "must be no more than 253 characters")
        if not CONFIG_KEY.pattern.fullmatch(key):
            yield f"{field}[{key}]", invalid(key, CONFIG_KEY.text)


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


def _secret_data(_: Object, value: Object, __: Any, ___: str) -> Found:
    data = value.get("data") or {}
    kind = value.get("type")
    for key in _SECRET_KEYS.get(str(kind), ()):
        if key not in data:
            yield f"data[{key}]", "Required value"


def _limits(_: Object, value: Object, __: Any, field: str) -> Found:
    resources = value.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantities.parse(amount) < 0:
                text = invalid(str(amount), "must be greater than or equal to 0")
                yield f"{field}.{part}[{name}]", text
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


def _has_ports(_: Object, spec: Object, __: Any, field: str) -> Found:
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        yield field, "Required value"
    if len(ports) > 1:
        for index, port in enumerate(ports):
            if not port.get("name"):
                yield f"{field}[{index}].name", "Required value"


def _cluster_ip(_: Object, spec: Object, old: Any, field: str) -> Found:
    address = spec.get("clusterIP")
    if not address or address == "None" or spec.get("type") == "ExternalName":
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


def _job_restart(_: Object, spec: Object, __: Any, field: str) -> Found:
    pod = (spec.get("template") or {}).get("spec") or {}
    policy = pod.get("restartPolicy")
    if policy == "Always":
        known = ["OnFailure", "Never"]
        yield f"{field}.spec.restartPolicy", f"Required value: valid values: {listed(known)}"


def _schedule(_: Object, spec: Object, __: Any, field: str) -> Found:
    text = str(spec.get("schedule") or "@")
    fields = text.split()
    if not text.startswith("@") and len(fields) != 5:
        shown = f"[{' '.join(fields)}]"
        yield field, invalid(text, f"expected exactly 5 fields, found {len(fields)}: {shown}")


def _definition_name(root: Object, __: Object, ___: Any, _: str) -> Found:
    spec, name = root.get("spec") or {}, root["metadata"].get("name")
    plural = (spec.get("names") or {}).get("plural", "")
    if name != f"{plural}.{spec.get('group', '')}":
        yield "metadata.name", invalid(name, 'must be spec.names.plural+"."+spec.group')


def _has_schema(_: Object, version: Object, __: Any, field: str) -> Found:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield f"{field}.schema.openAPIV3Schema", "Required value"
    elif schema.get("type") != "object":
        where = f"{field}.schema.openAPIV3Schema.type"
        if not schema.get("type"):
            yield where, "Required value: must not be empty at the root"
        else:
            yield where, invalid(schema["type"], "must be object at the root")
