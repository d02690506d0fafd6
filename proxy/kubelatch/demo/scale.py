"""The subresource ``scale``: how many replicas something has, as ``autoscaling/v1`` Scale."""

from collections.abc import Callable
from typing import Any

from . import status, validation
from .resources import Resource
from .status import Object

_PATHS = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": "",
}
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(resource: Resource, obj: Object) -> Object:
    """The Scale of an object."""
    paths = _paths(resource)
    found: Object = {"replicas": _at(obj, paths["statusReplicasPath"]) or 0}
    if selector := _selector(obj, paths["labelSelectorPath"]):
        found["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]},
        "spec": {"replicas": _at(obj, paths["specReplicasPath"]) or 0},
        "status": found,
    }


def through_scale(
    resource: Resource, change: Callable[[Object], Object]
) -> Callable[[Object], Object]:
    """A change of an object's Scale as a change of the object.

    Raises:
        StatusError: 422 for a Scale that breaks a rule.
    """

    def apply(stored: Object) -> Object:
        scale = change(scale_of(resource, stored))
        if problems := validation.find("io.k8s.api.autoscaling.v1.Scale", scale):
            name = stored["metadata"]["name"]
            raise status.invalid_fields("autoscaling", "Scale", name, problems)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        version = (scale.get("metadata") or {}).get("resourceVersion")
        metadata = stored["metadata"] | ({"resourceVersion": version} if version else {})
        changed = _with(stored, _paths(resource)["specReplicasPath"].split(".")[1:], replicas)
        return changed | {"metadata": metadata}

    return apply


def _paths(resource: Resource) -> dict[str, str]:
    given = resource.custom.scale if resource.custom else None
    return _PATHS | dict(given or {})


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for step in path.split(".")[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _selector(obj: Object, path: str) -> str:
    if path:
        return str(_at(obj, path) or "")
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _with(obj: Object, steps: list[str], value: Any) -> Object:
    first, *rest = steps
    return obj | {first: _with(obj.get(first) or {}, rest, value) if rest else value}
