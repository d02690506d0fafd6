"""The Table representation: columns and cells as ``kubectl get`` prints them.

One list of columns per resource, after k8s.io/kubernetes ``printers/internalversion``. A resource
without a list has name and age.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .resources import Resource
from .status import Object

_NONE = "<none>"
_UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; those of priority 1 are shown with ``-o wide`` only."""

    name: str
    cell: Callable[[Object], Any]
    kind: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> Object:
        """As the Table's ``columnDefinitions`` has it."""
        return {
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.name,
            "priority": self.priority,
        }


def columns_of(resource: Resource) -> list[Column]:
    """The columns of a resource."""
    if resource.custom is not None and resource.custom.columns:
        return [_NAME, *(_custom(row) for row in resource.custom.columns)]
    return _COLUMNS.get(resource.plural, _PLAIN)


def _custom(row: Mapping[str, Any]) -> Column:
    """A printer column of a CustomResourceDefinition."""
    path = str(row["jsonPath"])
    read = _at(re.sub(r"\['?([^'\]]*)'?\]", r".\1", path).strip("."), None)
    kind = str(row["type"])
    return Column(
        name=row["name"],
        cell=(lambda obj: age(read(obj)) if read(obj) else None) if kind == "date" else read,
        kind="string" if kind == "date" else kind,
        format=row.get("format", ""),
        priority=row.get("priority", 0),
    )


def row(resource: Resource, obj: Object, include: str, meta: str) -> Object:
    """One row; ``include`` says how much of the object goes with it: None, Metadata or Object."""
    cells = [column.cell(obj) for column in columns_of(resource)]
    if include == "None":
        return {"cells": cells}
    whole = obj if include == "Object" else partial(obj, meta)
    return {"cells": cells, "object": whole}


def table(
    resource: Resource, rows: list[Object], metadata: Object, meta: str, *, headers: bool = True
) -> Object:
    """A Table of the API version ``meta``."""
    columns = [column.definition() for column in columns_of(resource)] if headers else None
    return {
        "kind": "Table",
        "apiVersion": meta,
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }


def partial(obj: Object, meta: str) -> Object:
    """The object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": meta,
        "metadata": obj["metadata"],
    }


def age(since: str | None) -> str:
    """Time since, as :func:`duration` writes it."""
    if not since:
        return _UNKNOWN
    moment = dt.datetime.fromisoformat(re.sub(r"\.\d+", "", since))
    return duration(max(0, int((dt.datetime.now(dt.UTC) - moment).total_seconds())))


def duration(seconds: int) -> str:
    """A time as apimachinery ``duration.HumanDuration`` writes it."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def _at(path: str, default: Any = _NONE) -> Callable[[Object], Any]:
    """A cell that reads one field."""
    steps = path.split(".")

    def read(obj: Object) -> Any:
        value: Any = obj
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return default if value is None or value == "" else value

    return read


def _age_at(path: str) -> Callable[[Object], str]:
    read = _at(path, "")
    return lambda obj: age(read(obj))


def _count(path: str) -> Callable[[Object], int]:
    read = _at(path, ())
    return lambda obj: len(read(obj))


def _statuses(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses") or []


def _pod_ready(pod: Object) -> str:
    ready = sum(bool(status["ready"]) for status in _statuses(pod))
    return f"{ready}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Object) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    phase = str(pod["status"].get("phase", "Unknown"))
    return "ContainerCreating" if phase == "Pending" and pod["spec"].get("nodeName") else phase


def _pod_restarts(pod: Object) -> str:
    return str(sum(status["restartCount"] for status in _statuses(pod)))


def _node_status(node: Object) -> str:
    conditions = node["status"].get("conditions") or []
    ready = any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
    cordoned = ",SchedulingDisabled" if node["spec"].get("unschedulable") else ""
    return ("Ready" if ready else "NotReady") + cordoned


def _node_roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    roles = [label.removeprefix(prefix) for label in labels if label.startswith(prefix)]
    return ",".join(sorted(roles)) or _NONE


def _node_address(node: Object) -> str:
    addresses = node["status"].get("addresses") or []
    return next((row["address"] for row in addresses if row["type"] == "InternalIP"), _NONE)


def _service_ports(service: Object) -> str:
    ports = service["spec"].get("ports") or []
    return ",".join(f"{port['port']}/{port['protocol']}" for port in ports) or _NONE


def _workload_ready(obj: Object) -> str:
    ready = (obj.get("status") or {}).get("readyReplicas", 0)
    return f"{ready}/{obj['spec']['replicas']}"


def _containers(key: str) -> Callable[[Object], str]:
    def read(obj: Object) -> str:
        return ",".join(row[key] for row in obj["spec"]["template"]["spec"]["containers"])

    return read


def _selector(path: str) -> Callable[[Object], str]:
    read = _at(path, {})
    return lambda obj: ",".join(f"{k}={v}" for k, v in sorted(read(obj).items())) or _NONE


def _event_object(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _slice_ports(obj: Object) -> str:
    return ",".join(str(port.get("port")) for port in obj.get("ports") or []) or "<unset>"


def _slice_addresses(obj: Object) -> str:
    rows = obj.get("endpoints") or []
    return ",".join(address for row in rows for address in row["addresses"]) or "<unset>"


def _role(binding: Object) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _request_condition(request: Object) -> str:
    """``printers/internalversion`` ``extractCSRStatus``."""
    status = request.get("status") or {}
    types = {row["type"] for row in status.get("conditions") or []}
    words = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    words += ["Failed"] if "Failed" in types else []
    return ",".join([*words, *(["Issued"] if status.get("certificate") else [])])


def _request_duration(request: Object) -> str:
    seconds = request["spec"].get("expirationSeconds")
    return _NONE if seconds is None else duration(seconds)


_NAME = Column(name="Name", kind="string", format="name", cell=_at("metadata.name"))
_AGE = Column(name="Age", cell=_age_at("metadata.creationTimestamp"))
_CREATED = Column(name="Created At", cell=_at("metadata.creationTimestamp"))
_PLAIN = [_NAME, _AGE]
_IMAGES = [
    Column(name="Containers", cell=_containers("name"), priority=1),
    Column(name="Images", cell=_containers("image"), priority=1),
    Column(name="Selector", cell=_selector("spec.selector.matchLabels"), priority=1),
]
_COLUMNS: dict[str, list[Column]] = {
    "namespaces": [_NAME, Column(name="Status", cell=_at("status.phase")), _AGE],
    "nodes": [
        _NAME,
        Column(name="Status", cell=_node_status),
        Column(name="Roles", cell=_node_roles),
        _AGE,
        Column(name="Version", cell=_at("status.nodeInfo.kubeletVersion")),
        Column(name="Internal-IP", cell=_node_address, priority=1),
        Column(name="External-IP", cell=lambda _: _NONE, priority=1),
        Column(name="OS-Image", cell=_at("status.nodeInfo.osImage"), priority=1),
        Column(name="Kernel-Version", cell=_at("status.nodeInfo.kernelVersion"), priority=1),
        Column(
            name="Container-Runtime",
            cell=_at("status.nodeInfo.containerRuntimeVersion"),
            priority=1,
        ),
    ],
    "pods": [
        _NAME,
        Column(name="Ready", cell=_pod_ready),
        Column(name="Status", cell=_pod_status),
        Column(name="Restarts", cell=_pod_restarts),
        _AGE,
        Column(name="IP", cell=_at("status.podIP"), priority=1),
        Column(name="Node", cell=_at("spec.nodeName"), priority=1),
        Column(name="Nominated Node", cell=_at("status.nominatedNodeName"), priority=1),
        Column(name="Readiness Gates", cell=lambda _: _NONE, priority=1),
    ],
    "services": [
        _NAME,
        Column(name="Type", cell=_at("spec.type")),
        Column(name="Cluster-IP", cell=_at("spec.clusterIP")),
        Column(name="External-IP", cell=lambda _: _NONE),
        Column(name="Port(s)", cell=_service_ports),
        _AGE,
        Column(name="Selector", cell=_selector("spec.selector"), priority=1),
    ],
    "configmaps": [_NAME, Column(name="Data", kind="integer", cell=_count("data")), _AGE],
    "secrets": [
        _NAME,
        Column(name="Type", cell=_at("type")),
        Column(name="Data", kind="integer", cell=_count("data")),
        _AGE,
    ],
    "events": [
        Column(name="Last Seen", cell=_age_at("lastTimestamp")),
        Column(name="Type", cell=_at("type")),
        Column(name="Reason", cell=_at("reason")),
        Column(name="Object", cell=_event_object),
        Column(name="Message", cell=_at("message")),
    ],
    "deployments": [
        _NAME,
        Column(name="Ready", cell=_workload_ready),
        Column(name="Up-to-date", kind="integer", cell=_at("status.updatedReplicas", 0)),
        Column(name="Available", kind="integer", cell=_at("status.availableReplicas", 0)),
        _AGE,
        *_IMAGES,
    ],
    "replicasets": [
        _NAME,
        Column(name="Desired", kind="integer", cell=_at("spec.replicas", 0)),
        Column(name="Current", kind="integer", cell=_at("status.replicas", 0)),
        Column(name="Ready", kind="integer", cell=_at("status.readyReplicas", 0)),
        _AGE,
        *_IMAGES,
    ],
    "endpointslices": [
        _NAME,
        Column(name="AddressType", cell=_at("addressType")),
        Column(name="Ports", cell=_slice_ports),
        Column(name="Endpoints", cell=_slice_addresses),
        _AGE,
    ],
    "certificatesigningrequests": [
        _NAME,
        _AGE,
        Column(name="SignerName", cell=_at("spec.signerName")),
        Column(name="Requestor", cell=_at("spec.username")),
        Column(name="RequestedDuration", cell=_request_duration),
        Column(name="Condition", cell=_request_condition),
    ],
    "leases": [_NAME, Column(name="Holder", cell=_at("spec.holderIdentity")), _AGE],
    "roles": [_NAME, _CREATED],
    "clusterroles": [_NAME, _CREATED],
    "rolebindings": [_NAME, Column(name="Role", cell=_role), _AGE],
    "clusterrolebindings": [_NAME, Column(name="Role", cell=_role), _AGE],
}
