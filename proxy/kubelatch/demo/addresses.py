"""The addresses of services, and their ports on the nodes."""

import itertools
from typing import Any

from . import schemas, status
from .resources import SERVICES
from .status import Object
from .store import Store
from .texts import invalid

_ON_NODES = frozenset({"NodePort", "LoadBalancer"})
_SPEC, _PORT = "io.k8s.api.core.v1.ServiceSpec", "io.k8s.api.core.v1.ServicePort"


def released(spec: Object, before: Object) -> Object:
    """A service's spec without what its former type had and its new one has not.

    Kubernetes does so for what the client leaves as it was (``dropTypeDependentFields``).
    """
    kind, gone = spec.get("type"), set[str]()
    if kind not in _ON_NODES:
        gone.add("externalTrafficPolicy")
        known = {row.get("nodePort") for row in before.get("ports") or []}
        ports = [
            {key: value for key, value in row.items() if key != "nodePort" or value not in known}
            for row in spec.get("ports") or []
        ]
        spec = spec | ({"ports": ports} if ports else {})
    if kind != "LoadBalancer":
        gone |= {"allocateLoadBalancerNodePorts", "loadBalancerClass"}
    if kind == "ExternalName":
        gone |= {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"}
    return {k: v for k, v in spec.items() if k not in gone or v != before.get(k)}


def allocate(store: Store, service: Object, old: Object | None = None) -> Object:
    """A service's spec with an address, node ports and what goes with them (``service/storage``).

    Raises:
        StatusError: 422 for an address or a port that another service has.
    """
    spec, name = service["spec"], service["metadata"]["name"]
    before = (old or {"spec": {}})["spec"]
    place = (service["metadata"]["namespace"], name)
    others = [
        row["spec"]
        for row in store.list(SERVICES)
        if (row["metadata"]["namespace"], row["metadata"]["name"]) != place
    ]
    if spec.get("type") != "ExternalName":
        headless = spec.get("clusterIP") == "None" and not spec.get("selector")
        taken = {row.get("clusterIP") for row in others}
        free = (f"10.96.{n // 250}.{n % 250 + 1}" for n in itertools.count(10))
        address = spec.get("clusterIP") or before.get("clusterIP")
        address = address or next(row for row in free if row not in taken)
        if address in taken - {"None"}:
            text = f"failed to allocate IP {address}: provided IP is already allocated"
            raise status.invalid(SERVICES, name, "spec.clusterIPs", invalid([address], text))
        chosen = {
            "ipFamilies": ["IPv4", "IPv6"] if headless else ["IPv4"],
            "ipFamilyPolicy": "RequireDualStack" if headless else "SingleStack",
        }
        spec = chosen | spec | {"clusterIP": address, "clusterIPs": [address]}
    if "ports" in spec:
        spec = spec | {"ports": _node_ports(name, spec, before, others)}
    return schemas.in_order(_SPEC, spec)


def _node_ports(name: str, spec: Object, before: Object, others: list[Object]) -> list[Object]:
    """The ports of a service, each with a port of the nodes if its type has them."""
    if spec.get("type") not in _ON_NODES:
        return list(spec["ports"])
    taken = {row.get("nodePort") for other in others for row in other.get("ports") or []}
    for index, row in enumerate(spec["ports"]):
        if (port := row.get("nodePort")) and port in taken:
            text = invalid(port, "provided port is already allocated")
            raise status.invalid(SERVICES, name, f"spec.ports[{index}].nodePort", text)
    kept = {
        (row["port"], row["protocol"]): row.get("nodePort") for row in before.get("ports") or []
    }
    rows = []
    for row in spec["ports"]:
        port = row.get("nodePort") or kept.get(_key(row))
        port = port or next(n for n in range(30000, 32768) if n not in taken)
        taken.add(port)
        rows.append(schemas.in_order(_PORT, row | {"nodePort": port}))
    return rows


def _key(port: Object) -> tuple[Any, Any]:
    return port["port"], port["protocol"]
