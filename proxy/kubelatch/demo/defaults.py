"""What the API server fills in before it validates and stores an object.

The published schemas have no defaults, so ``data/defaults.json`` has them by definition; those that
depend on other fields are :data:`_COMPUTED` (k8s.io/kubernetes ``pkg/apis/*/v1/defaults.go``).
"""

import base64
import copy
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from . import schemas
from .resources import Resource
from .schemas import Schema
from .status import Object


@functools.cache
def _defaults() -> Mapping[str, Object]:
    loaded: dict[str, Object] = json.loads(schemas.text("defaults.json"))
    return loaded


def with_defaults(resource: Resource, obj: Object) -> Object:
    """A copy of ``obj`` with the defaults of its kind."""
    obj = copy.deepcopy(obj)
    if resource.custom is not None:
        fill_custom(resource.custom.schema, obj)
        return {key: _sorted(value) for key, value in sorted(obj.items())}
    name, schema = schemas.resolve(schemas.schema_of(resource))
    for key in ("spec", "status"):
        if "$ref" in schema["properties"].get(key, {}):
            obj.setdefault(key, {})
    _fill(name, schema, obj, obj)
    return obj


def _sorted(value: Any) -> Any:
    """With keys in alphabetical order, as custom resources are written."""
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in sorted(value.items())}
    return value


def fill_custom(schema: Schema, value: Any) -> None:
    """Fill in the defaults of a CustomResourceDefinition's schema, in place."""
    if isinstance(value, dict):
        for key, row in (schema.get("properties") or {}).items():
            if key not in value and "default" in row:
                value[key] = copy.deepcopy(row["default"])
            if key in value:
                fill_custom(row, value[key])
        if isinstance(rest := schema.get("additionalProperties"), dict):
            for item in value.values():
                fill_custom(rest, item)
    elif isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for item in value:
            fill_custom(items, item)


def _fill(name: str, schema: Schema, value: Any, root: Object) -> None:
    if isinstance(value, list):
        item_name, item_schema = schemas.resolve(schema.get("items") or {})
        for item in value:
            _fill(item_name, item_schema, item, root)
        return
    if not isinstance(value, dict):
        return
    short = schemas.short_name(name)
    for key, default in (_defaults().get(short) or {}).items():
        if key not in value:
            value[key] = copy.deepcopy(default)
    if (compute := _COMPUTED.get(short)) is not None:
        compute(value, root)
    properties = schema.get("properties") or {}
    for key in schema.get("required") or ():
        if key not in value and (zero := _zero(properties[key], short)) is not None:
            value[key] = zero
    for key, item in value.items():
        if isinstance(item, dict | list) and key in properties:
            _fill(*schemas.resolve(properties[key]), item, root)
    if properties:
        fields = {key: value[key] for key in properties if key in value}
        value.clear()
        value.update(fields)


def _zero(schema: Schema, owner: str) -> Any:
    """What Go has in a field that must be there: an empty struct, and 0 in a status."""
    _, resolved = schemas.resolve(schema)
    if resolved.get("type") == "integer" and owner.endswith("Status"):
        return 0
    return {} if "properties" in resolved else None


def _missing(target: Object, **values: Any) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _container(container: Object, _: Object) -> None:
    image = str(container.get("image", ""))
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    _missing(container, imagePullPolicy="Always" if latest else "IfNotPresent")
    resources = container["resources"]
    for key, quantity in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(key, quantity)


def _volume(volume: Object, _: Object) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}


def _pod(obj: Object, _: Object) -> None:
    _missing(obj["spec"], enableServiceLinks=True)
    _missing(obj["status"], phase="Pending", qosClass=qos_class(obj["spec"]))


def admitted_pod(obj: Object) -> Object:
    """A pod with what admission adds to it (DefaultTolerationSeconds)."""
    spec = dict(obj["spec"])
    kept = list(spec.get("tolerations") or [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(row.get("key") in {key, None} for row in kept):
            toleration = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            kept.append(toleration | {"tolerationSeconds": 300})
    spec["tolerations"] = kept
    return obj | {"spec": schemas.in_order("io.k8s.api.core.v1.PodSpec", spec)}


def qos_class(spec: Object) -> str:
    """How a pod's resources class it (``qos.GetPodQOS``)."""
    resources = [container.get("resources") or {} for container in spec.get("containers") or []]
    if not any(row.get("requests") or row.get("limits") for row in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(row.get("limits") or {})
        and row.get("requests", row["limits"]) == row["limits"]
        for row in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _template_labels(obj: Object, _: Object) -> None:
    spec = obj.get("spec") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels and obj.get("kind") == "ReplicationController":
        _missing(spec, selector=labels)


def _strategy(strategy: Object, _: Object) -> None:
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _missing(rolling, maxUnavailable="25%", maxSurge="25%")


def _daemon_set(obj: Object, _: Object) -> None:
    generation = "deprecated.daemonset.template.generation"
    obj["metadata"].setdefault("annotations", {}).setdefault(generation, "1")


def _service(spec: Object, _: Object) -> None:
    if spec["type"] != "ExternalName":
        _missing(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _missing(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _missing(spec, allocateLoadBalancerNodePorts=True)


def _service_port(port: Object, _: Object) -> None:
    if "port" in port and port.get("targetPort") in {None, 0, ""}:
        port["targetPort"] = port["port"]


def _secret(obj: Object, _: Object) -> None:
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _job(spec: Object, root: Object) -> None:
    if root.get("kind") == "CronJob":
        return
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _missing(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _missing(spec, manualSelector=False, podReplacementPolicy="TerminatingOrFailed")


def _network_policy(spec: Object, _: Object) -> None:
    types = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    _missing(spec, podSelector={}, policyTypes=types)


def _subject(subject: Object, _: Object) -> None:
    group = "" if subject.get("kind") == "ServiceAccount" else "rbac.authorization.k8s.io"
    if group:
        _missing(subject, apiGroup=group)


def _definition(spec: Object, root: Object) -> None:
    names = spec.setdefault("names", {})
    kind = str(names.get("kind", ""))
    _missing(names, singular=kind.lower(), listKind=f"{kind}List" if kind else "")
    stored = [row.get("name", "") for row in spec.get("versions") or [] if row.get("storage")]
    root.setdefault("status", {}).setdefault("storedVersions", stored)


_COMPUTED: Mapping[str, Callable[[Object, Object], None]] = {
    "core.v1.Container": _container,
    "core.v1.EphemeralContainer": _container,
    "core.v1.Pod": _pod,
    "core.v1.Volume": _volume,
    "core.v1.ReplicationController": _template_labels,
    "core.v1.ServiceSpec": _service,
    "core.v1.ServicePort": _service_port,
    "core.v1.Secret": _secret,
    "apps.v1.DeploymentStrategy": _strategy,
    "apps.v1.DaemonSet": _daemon_set,
    "batch.v1.JobSpec": _job,
    "networking.v1.NetworkPolicySpec": _network_policy,
    "rbac.v1.Subject": _subject,
    "CustomResourceDefinitionSpec": _definition,
}
