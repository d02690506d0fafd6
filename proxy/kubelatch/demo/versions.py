"""One object in each version that a resource is served in (apiserver: conversion).

Objects are kept in one version; those of events.k8s.io, of ``autoscaling/v1`` and of custom
resources with several versions are read and written through here.
"""

from typing import Any

from .resources import Resource
from .status import Object

_EVENT_FIELDS = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
"""Fields of an Event in core/v1, and what events.k8s.io/v1 calls them."""
_HPA_SPEC = "targetCPUUtilizationPercentage"
_HPA_STATUS = "currentCPUUtilizationPercentage"


def present(resource: Resource, obj: Object) -> Object:
    """A stored object in the version of ``resource``."""
    if obj.get("apiVersion", resource.api_version) == resource.api_version:
        return obj
    if resource.group == "events.k8s.io":
        obj = _renamed(obj, dict(_EVENT_FIELDS))
    elif resource.group == "autoscaling":
        obj = obj | {
            "spec": _to_percentage(obj.get("spec") or {}, "metrics", _HPA_SPEC, "target"),
            "status": _to_percentage(
                obj.get("status") or {}, "currentMetrics", _HPA_STATUS, "current"
            ),
        }
    return {"kind": resource.kind, "apiVersion": resource.api_version} | {
        key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}
    }


def keep(resource: Resource, obj: Object) -> Object:
    """An object of ``resource`` in the version that is stored."""
    if resource.storage_version in {"", resource.version} and resource.storage in {
        "",
        resource.qualified,
    }:
        return obj
    group = resource.storage.partition(".")[2]
    version = resource.storage_version
    if resource.group == "events.k8s.io":
        obj = _renamed(obj, {new: old for old, new in _EVENT_FIELDS})
    elif resource.group == "autoscaling":
        obj = obj | {"spec": _to_metrics(obj.get("spec") or {}, "metrics", _HPA_SPEC, "target")}
    return obj | {"apiVersion": f"{group}/{version}" if group else version}


def _renamed(obj: Object, names: dict[str, str]) -> Object:
    return {names.get(key, key): value for key, value in obj.items()}


def _to_percentage(part: Object, listed: str, name: str, key: str) -> Object:
    metrics: list[Any] = part.get(listed) or []
    result = {field: value for field, value in part.items() if field != listed}
    for metric in metrics:
        resource = metric.get("resource") or {}
        utilization = (resource.get(key) or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and utilization is not None:
            result[name] = utilization
    return result


def _to_metrics(part: Object, listed: str, name: str, key: str) -> Object:
    result = {field: value for field, value in part.items() if field != name}
    if name in part:
        utilization = {"type": "Utilization", "averageUtilization": part[name]}
        result[listed] = [{"type": "Resource", "resource": {"name": "cpu", key: utilization}}]
    return result
