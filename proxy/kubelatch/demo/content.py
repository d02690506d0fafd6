"""What the demo cluster holds when it starts: a small shop on two nodes.

Only what a person would write is listed here. Replica sets, pods and endpoint slices are made from
it by the controllers, as in any cluster.
"""

import datetime as dt
from typing import Any

from . import roles
from .controllers import Controllers
from .ownership import Writer
from .registry import ResourceRegistry
from .resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    ROLE_BINDINGS,
    SECRETS,
    SERVICES,
    Resource,
)
from .status import Object

VIEWER = "viewer"
_AGE = dt.timedelta(days=3, hours=4)
_NODE_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def seed(registry: ResourceRegistry, controllers: Controllers) -> None:
    """Fill an empty store; everything in it is three days old and at rest."""
    store = registry.store
    present, store.clock = store.clock, lambda: dt.datetime.now(dt.UTC) - _AGE
    controllers.recorder.quiet = True
    writer = Writer(manager=roles.MANAGER, now=store.now())
    writers = dict.fromkeys((CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS), writer)
    for resource, namespace, obj in _objects(store.now()):
        registry.create(resource, namespace, obj, writer=writers.get(resource))
    controllers.settle(None)
    controllers.recorder.quiet = False
    store.clock = present


def _objects(now: str) -> list[tuple[Resource, str, Object]]:
    rows: list[tuple[Resource, str, Object]] = [
        (NAMESPACES, "", {"metadata": {"name": name}})
        for name in ("default", "kube-system", "kube-public", "kube-node-lease", "shop")
    ]
    for number, (name, labels) in enumerate(
        (
            ("demo-control-plane", {"node-role.kubernetes.io/control-plane": ""}),
            ("demo-worker", {}),
        )
    ):
        rows.append((NODES, "", _node(name, f"172.18.0.{number + 2}", labels, now)))
        lease = {"holderIdentity": name, "leaseDurationSeconds": 40}
        rows.append((LEASES, "kube-node-lease", {"metadata": {"name": name}, "spec": lease}))
    for namespace, name, image, replicas, port in (
        ("default", "hello", "registry.k8s.io/e2e-test-images/agnhost:2.53", 1, 8080),
        ("kube-system", "coredns", "registry.k8s.io/coredns/coredns:v1.12.1", 2, 53),
        ("shop", "web", "nginx:1.29", 3, 80),
        ("shop", "cart", "example.com/shop/cart:2.4.1", 2, 8080),
        ("shop", "orders", "example.com/shop/orders:1.9.0", 2, 8080),
        ("shop", "db", "postgres:17", 1, 5432),
    ):
        rows.append((DEPLOYMENTS, namespace, _deployment(name, image, replicas, port)))
        labels = {"k8s-app": "kube-dns"} if name == "coredns" else {"app": name}
        rows.append((SERVICES, namespace, _service(name, labels, port)))
    api: Object = _service("kubernetes", {"component": "apiserver"}, 443)
    del api["spec"]["selector"]
    rows += [
        (SERVICES, "default", api | {"spec": api["spec"] | {"clusterIP": "10.96.0.1"}}),
        (CONFIG_MAPS, "shop", _named("settings", {"data": {"currency": "EUR", "theme": "light"}})),
        (
            SECRETS,
            "shop",
            _named("db", {"stringData": {"username": "shop", "password": "not-a-real-password"}}),
        ),
        *((resource, "", obj) for resource, obj in roles.objects()),
        (ROLE_BINDINGS, "shop", _named("viewer", _viewer())),
    ]
    return rows


def _named(name: str, rest: Object, labels: Object | None = None) -> Object:
    metadata: Object = {"name": name}
    return {"metadata": metadata | ({"labels": labels} if labels else {})} | rest


def _node(name: str, address: str, labels: Object, now: str) -> Object:
    resources = {"cpu": "4", "memory": "16309868Ki", "pods": "110", "ephemeral-storage": "98Gi"}
    own: Object = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    own["kubernetes.io/arch"] = "amd64"
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    conditions = [
        {"type": kind, "status": value, "reason": reason, "message": message} | times
        for kind, value, reason, message in _NODE_CONDITIONS
    ]
    status = {
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": {
            "architecture": "amd64",
            "containerRuntimeVersion": "demo://1.0",
            "kernelVersion": "6.12.0",
            "kubeletVersion": "v1.36.2",
            "operatingSystem": "linux",
            "osImage": "Demo Linux",
        },
    }
    cidr = f"10.244.{address.rpartition('.')[2]}.0/24"
    return _named(
        name, {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}, "status": status}, own | labels
    )


def _deployment(name: str, image: str, replicas: int, port: int) -> Object:
    labels = {"k8s-app": "kube-dns"} if name == "coredns" else {"app": name}
    container: Object = {
        "name": name,
        "image": image,
        "ports": [{"containerPort": port}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
    if name == "hello":
        container["ports"].append({"containerPort": 7, "name": "echo"})
    if name == "cart":
        container["env"] = [{"name": "ORDERS_URL", "value": "http://orders:8080"}]
    containers = [container]
    if name == "orders":
        containers.append({"name": "metrics", "image": "example.com/shop/metrics:0.3.0"})
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return _named(name, {"spec": spec}, labels)


def _service(name: str, selector: Object, port: int) -> Object:
    scheme: Any = {53: "dns", 443: "https", 5432: "postgres"}.get(port, "http")
    ports = [{"name": scheme, "port": port, "targetPort": port}]
    return _named(name, {"spec": {"selector": selector, "ports": ports}}, selector)


def _viewer() -> Object:
    """The viewer may read the namespace ``shop``, but no secret."""
    subject = {"kind": "User", "apiGroup": roles.RBAC, "name": VIEWER}
    return {"subjects": [subject], "roleRef": roles.reference("view")}
