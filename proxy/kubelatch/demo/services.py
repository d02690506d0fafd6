"""What is behind each service: the controllers of EndpointSlices and of Endpoints."""

from .ownership import MANAGER
from .resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, Resource
from .selectors import matches_labels
from .status import Object
from .store import Store
from .workloads import is_ready, owner_reference

_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
_MANAGED = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
_NAME = "kubernetes.io/service-name"


def settle(store: Store) -> None:
    """Bring the endpoints of every service with a selector up to date."""
    slices = {
        (row["metadata"]["namespace"], row["metadata"]["labels"][_NAME]): row
        for row in store.list(ENDPOINT_SLICES)
        if _NAME in (row["metadata"].get("labels") or {})
    }
    for endpoints in store.list(ENDPOINTS):
        metadata = endpoints["metadata"]
        managed = _MANAGED.items() <= (metadata.get("labels") or {}).items()
        if managed and store.get(SERVICES, metadata["namespace"], metadata["name"]) is None:
            store.remove(ENDPOINTS, endpoints)
    for service in store.list(SERVICES):
        metadata, selector = service["metadata"], service["spec"].get("selector")
        if not selector or metadata.get("deletionTimestamp"):
            continue
        place = metadata["namespace"], metadata["name"]
        pods = [
            pod
            for pod in store.list(PODS, metadata["namespace"])
            if pod["status"].get("podIP")
            and matches_labels({"matchLabels": selector}, pod["metadata"].get("labels") or {})
        ]
        content = _slice_content(service, pods)
        _write(store, ENDPOINT_SLICES, slices.get(place), _slice(service), content)
        subsets = _subsets(service, [pod for pod in pods if is_ready(pod)])
        _write(store, ENDPOINTS, store.get(ENDPOINTS, *place), _endpoints(service), subsets)


def _write(
    store: Store, resource: Resource, stored: Object | None, metadata: Object, content: Object
) -> None:
    annotations = {"annotations": {_TRIGGER: store.now()}}
    if stored is None:
        if "generateName" in metadata:
            suffix = store.identifiers.suffix()
            metadata = {"name": f"{metadata['generateName']}{suffix}"} | metadata
        store.create(resource, {"metadata": metadata | annotations} | content, by=MANAGER)
    elif any(stored.get(key) != value for key, value in content.items()):
        metadata = stored["metadata"] | annotations
        if "generation" in metadata:
            metadata["generation"] += 1
        store.replace(resource, stored | {"metadata": metadata} | content, by=MANAGER)


def _slice(service: Object) -> Object:
    metadata = service["metadata"]
    labels = (metadata.get("labels") or {}) | {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        _NAME: metadata["name"],
    }
    return {
        "generateName": f"{metadata['name']}-",
        "namespace": metadata["namespace"],
        "generation": 1,
        "labels": labels,
        "ownerReferences": [owner_reference(SERVICES, service)],
    }


def _endpoints(service: Object) -> Object:
    metadata = service["metadata"]
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "labels": (metadata.get("labels") or {}) | _MANAGED,
    }


def _ports(service: Object, pods: list[Object]) -> list[Object]:
    return [
        {"name": port.get("name", ""), "port": number, "protocol": port["protocol"]}
        for port in service["spec"].get("ports") or []
        if (number := _target(port, pods)) is not None
    ]


def _target(port: Object, pods: list[Object]) -> int | None:
    """The pods' port that a service's leads to, which may be named (FindPort)."""
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    declared = (
        row
        for pod in pods
        for container in pod["spec"]["containers"]
        for row in container.get("ports") or []
    )
    return next((row["containerPort"] for row in declared if row.get("name") == wanted), None)


def _slice_content(service: Object, pods: list[Object]) -> Object:
    return {
        "addressType": "IPv4",
        "endpoints": [_endpoint(pod) for pod in pods] or None,
        "ports": _ports(service, pods) if pods else None,
    }


def _endpoint(pod: Object) -> Object:
    serving = not pod["metadata"].get("deletionTimestamp")
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": serving, "serving": True, "terminating": not serving},
        "targetRef": _reference(pod),
        "nodeName": pod["spec"]["nodeName"],
    }


def _subsets(service: Object, pods: list[Object]) -> Object:
    addresses = [
        {
            "ip": pod["status"]["podIP"],
            "nodeName": pod["spec"]["nodeName"],
            "targetRef": _reference(pod),
        }
        for pod in pods
    ]
    ports = [
        {key: value for key, value in port.items() if value != ""} for port in _ports(service, pods)
    ]
    return {"subsets": [{"addresses": addresses, "ports": ports}] if addresses else []}


def _reference(pod: Object) -> Object:
    metadata = pod["metadata"]
    names = {key: metadata[key] for key in ("namespace", "name", "uid")}
    return {"kind": "Pod"} | names
