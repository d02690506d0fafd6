"""What stands in the cells of Tables, as ``kubectl get`` prints it."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from .status import Object

Cell = Callable[[Object], Any]

_NONE = "<none>"
_UNKNOWN = "<unknown>"


def reader(text: str) -> Cell:
    """The cell of a column.

    ``.a.path`` (with ``[]`` after a list: its items, joined), a text in quotes with paths and their
    defaults in braces, a function of the object here, or one with a path.
    """
    name, _, argument = text.partition(" ")
    if name.startswith('"'):
        parts = re.split(r"\{([^}|]*)\|?([^}]*)\}", text.strip('"'))
        reads = [at(*row) for row in zip(parts[1::3], parts[2::3], strict=True)]
        form = "{}".join(parts[::3])
        return lambda obj: form.format(*(read(obj) for read in reads))
    if name.startswith("."):
        return at(name)
    function = globals()[f"_{name}"]
    if not argument:
        cell: Cell = function
        return cell
    if name == "subjects":
        return lambda obj: _subjects(obj, argument)
    if name == "first":
        return lambda obj: _first([str(value) for value in _values(obj, argument)], "<unset>")
    read = at(argument, None)
    return lambda obj: function(read(obj))


def at(path: str, default: Any = _NONE) -> Cell:
    """A cell that reads one field, or joins those of a list's items."""

    def read(obj: Object) -> Any:
        found = [value for value in _values(obj, path) if value != ""]
        if "[]" in path:
            return ",".join(map(str, found)) or default
        return found[0] if found else default

    return read


def _values(obj: Object, path: str) -> list[Any]:
    """What is at a path."""
    found: list[Any] = [obj]
    for step in path[1:].split("."):
        name = step.removesuffix("[]")
        rows = [row[name] for row in found if isinstance(row, dict) and row.get(name) is not None]
        found = [item for row in rows for item in row] if step.endswith("[]") else rows
    return found


def age(since: str | None) -> str:
    """Time since."""
    if not since:
        return _UNKNOWN
    moment = dt.datetime.fromisoformat(re.sub(r"\.\d+", "", since))
    return human(max(0, int((dt.datetime.now(dt.UTC) - moment).total_seconds())))


def human(seconds: int) -> str:
    """A duration for people (apimachinery ``duration.HumanDuration``)."""
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


def _none(_: Object) -> str:
    return _NONE


def _age(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _since(value: Any) -> str:
    return age(value) if value else _NONE


def _number(value: Any) -> Any:
    return value or 0


def _text(value: Any) -> str:
    return str(value or "")


def _count(value: Any) -> int:
    return len(value or ())


def _boolean(value: Any) -> str:
    return str(bool(value))


def _duration(value: Any) -> str:
    return _NONE if value is None else human(int(value))


def _labels(value: Any) -> str:
    return ",".join(f"{key}={text}" for key, text in sorted((value or {}).items())) or _NONE


def _statuses(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses") or []


def _pod_ready(pod: Object) -> str:
    ready = sum(bool(status["ready"]) for status in _statuses(pod))
    return f"{ready}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Object) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    phase = str(pod["status"].get("phase", "Unknown"))
    states = [state for row in _statuses(pod) for state in row["state"].values()]
    for state in states:
        if "reason" in state:
            return str(state["reason"])
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
    shown = []
    for port in service["spec"].get("ports") or []:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node}/{port['protocol']}")
    return ",".join(shown) or _NONE


def _job_status(job: Object) -> str:
    conditions = (job.get("status") or {}).get("conditions") or []
    held = [row["type"] for row in conditions if row["status"] == "True"]
    for kind in ("Complete", "Failed"):
        if kind in held:
            return kind
    return "Terminating" if job["metadata"].get("deletionTimestamp") else "Running"


def _event_object(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _first(found: list[str], nothing: str) -> str:
    """The first three, and how many more there are."""
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more or nothing


def _endpoints(obj: Object) -> str:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or []
        for address in subset.get("addresses") or []
        for port in subset.get("ports") or []
    ]
    return _first(found, _NONE)


def _external_ip(service: Object) -> str:
    spec, kind = service["spec"], service["spec"].get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName") or _NONE)
    balancers = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    found = [row.get("ip") or row.get("hostname") or "" for row in balancers]
    return ",".join([*found, *(spec.get("externalIPs") or [])]) or (
        "<pending>" if kind == "LoadBalancer" else _NONE
    )


def _targets(scaler: Object) -> str:
    """What is aimed at; nothing is measured here."""
    shown = []
    for metric in scaler["spec"].get("metrics") or []:
        target = (metric.get("resource") or {}).get("target") or {}
        share = target.get("averageUtilization")
        aim = f"{share}%" if share is not None else target.get("averageValue", "<auto>")
        name = (metric.get("resource") or {}).get("name")
        shown.append(f"{name}: {_UNKNOWN}/{aim}" if name else f"{_UNKNOWN}/{aim}")
    return ", ".join(shown) or _NONE


def _claim(volume: Object) -> str:
    holder = volume["spec"].get("claimRef") or {}
    return f"{holder.get('namespace', '')}/{holder.get('name', '')}" if holder else ""


def _request_condition(obj: Object) -> str:
    status = obj.get("status") or {}
    types = {row["type"] for row in status.get("conditions") or []}
    words = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    words += ["Failed"] if "Failed" in types else []
    return ",".join([*words, *(["Issued"] if status.get("certificate") else [])])


def _subjects(binding: Object, kind: str) -> str:
    rows = [row for row in binding.get("subjects") or [] if row["kind"] == kind]
    prefixes = (f"{row['namespace']}/" if kind == "ServiceAccount" else "" for row in rows)
    return ",".join(prefix + row["name"] for prefix, row in zip(prefixes, rows, strict=True))
