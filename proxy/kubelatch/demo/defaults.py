"""What the API server fills in and refuses before it stores an object.

Only the defaults and rules that a reader of ``kubectl describe`` or a controller here would miss.
There is no schema: unknown fields are kept, not refused.
"""

import base64
import copy
import re
from collections.abc import Callable
from typing import Any

from .resources import DEPLOYMENTS, PODS, REPLICA_SETS, SECRETS, SERVICES, Resource
from .selectors import matches_labels
from .status import Object, StatusError, invalid

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_SUBDOMAIN_PROBLEM = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_LABEL}(\\.{_LABEL})*')"
)
_FREE_NAMES = ("rbac.authorization.k8s.io",)
"""Groups whose names are path segments, not DNS names: ``system:basic-user`` is one."""


def validate_name(resource: Resource, name: str) -> None:
    """Raise StatusError 422 for a name that the API server would refuse."""
    if not name:
        raise invalid(
            resource, "", "metadata.name", "Required value: name or generateName is required"
        )
    if resource.group in _FREE_NAMES:
        if "/" in name or "%" in name or name in {".", ".."}:
            raise _invalid_name(resource, name, "may not contain '/' or '%'")
        return
    if len(name) > 253:
        raise _invalid_name(resource, name, "must be no more than 253 bytes")
    if not _SUBDOMAIN.fullmatch(name):
        raise _invalid_name(resource, name, _SUBDOMAIN_PROBLEM)


def with_defaults(resource: Resource, obj: Object) -> Object:
    """A copy of ``obj`` with the defaults of its kind."""
    obj = copy.deepcopy(obj)
    fill = _DEFAULTS.get(resource)
    if fill is not None:
        fill(obj)
    return obj


def validate(resource: Resource, obj: Object) -> None:
    """Raise StatusError 422 for an object that a controller could not work with."""
    check = _CHECKS.get(resource)
    if check is not None and (problem := check(resource, obj)) is not None:
        raise problem


def _invalid_name(resource: Resource, name: str, problem: str) -> StatusError:
    return invalid(resource, name, "metadata.name", f'Invalid value: "{name}": {problem}')


def _fill(target: Object, **values: Any) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _pod_spec(spec: Object) -> None:
    for container in spec.get("containers") or []:
        image = str(container.get("image", ""))
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        _fill(
            container,
            resources={},
            terminationMessagePath="/dev/termination-log",
            terminationMessagePolicy="File",
            imagePullPolicy="Always" if latest else "IfNotPresent",
        )
        for port in container.get("ports") or []:
            _fill(port, protocol="TCP")
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)
    _fill(
        spec,
        serviceAccountName="default",
        enableServiceLinks=True,
        preemptionPolicy="PreemptLowerPriority",
        priority=0,
        tolerations=[
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
    )
    _fill(obj.setdefault("status", {}), phase="Pending", qosClass=_qos_class(spec))


def _qos_class(spec: Object) -> str:
    resources = [container.get("resources") or {} for container in spec.get("containers") or []]
    if not any(row.get("requests") or row.get("limits") for row in resources):
        return "BestEffort"
    guaranteed = all(
        row.get("limits") and row.get("requests", row["limits"]) == row["limits"]
        for row in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
    _fill(
        spec,
        replicas=1,
        strategy={"type": "RollingUpdate", "rollingUpdate": rolling},
        revisionHistoryLimit=10,
        progressDeadlineSeconds=600,
    )
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, replicas=1)
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports") or []:
        _fill(port, protocol="TCP", targetPort=port.get("port"))
    obj.setdefault("status", {"loadBalancer": {}})


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


_DEFAULTS: dict[Resource, Callable[[Object], None]] = {
    PODS: _pod,
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    SERVICES: _service,
    SECRETS: _secret,
}


def _check_containers(
    resource: Resource, name: str, spec: Object, field: str
) -> StatusError | None:
    containers = spec.get("containers")
    if not containers:
        return invalid(resource, name, f"{field}.containers", "Required value")
    for index, container in enumerate(containers):
        for key in ("name", "image"):
            if not container.get(key):
                place = f"{field}.containers[{index}].{key}"
                return invalid(resource, name, place, "Required value")
    return None


def _check_pod(resource: Resource, obj: Object) -> StatusError | None:
    return _check_containers(resource, obj["metadata"]["name"], obj["spec"], "spec")


def _check_workload(resource: Resource, obj: Object) -> StatusError | None:
    name, spec = obj["metadata"]["name"], obj["spec"]
    selector, template = spec.get("selector"), spec["template"]
    if not selector:
        return invalid(resource, name, "spec.selector", "Required value")
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not matches_labels(selector, labels):
        problem = f"Invalid value: {labels}: `selector` does not match template `labels`"
        return invalid(resource, name, "spec.template.metadata.labels", problem)
    replicas = spec["replicas"]
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        problem = f"Invalid value: {replicas}: must be greater than or equal to 0"
        return invalid(resource, name, "spec.replicas", problem)
    return _check_containers(resource, name, template["spec"], "spec.template.spec")


def _check_service(resource: Resource, obj: Object) -> StatusError | None:
    if not obj["spec"].get("ports") and obj["spec"].get("clusterIP") != "None":
        return invalid(resource, obj["metadata"]["name"], "spec.ports", "Required value")
    return None


_CHECKS: dict[Resource, Callable[[Resource, Object], StatusError | None]] = {
    PODS: _check_pod,
    DEPLOYMENTS: _check_workload,
    REPLICA_SETS: _check_workload,
    SERVICES: _check_service,
}
