"""Generates what the demo cluster holds when it starts: ``python -m tests.demo.content`` writes it.

A small shop on two nodes. Only what a person would write is listed here and in ``roles.txt``, which
has the roles that a reader meets: cluster-admin, admin, edit, view, and what everybody may see.
(Roles of controllers and nodes are left out, since none of those sign in.) Replica sets, pods and
endpoint slices are made from it by the demo's own controllers, as in any cluster. What differs from
run to run is a placeholder in the file; :mod:`kubelatch.demo.content` fills them in.
"""

import asyncio
import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubelatch.demo.accounts import Accounts
from kubelatch.demo.certificates import Authority
from kubelatch.demo.content import VIEWER
from kubelatch.demo.controllers import Controllers
from kubelatch.demo.identifiers import Identifiers
from kubelatch.demo.ownership import Writer
from kubelatch.demo.registry import How, ResourceRegistry
from kubelatch.demo.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PRIORITY_CLASSES,
    ROLE_BINDINGS,
    SECRETS,
    SERVICES,
    Resource,
)
from kubelatch.demo.status import Object
from kubelatch.demo.store import Store, timestamp
from kubelatch.demo.tokens import Signer

from .schemas import DATA, packed

_NOW = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_RBAC = "rbac.authorization.k8s.io"
_BOOTSTRAP = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AUTO_UPDATE = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_VERBS = {
    "read": "get,list,watch",
    "write": "create,delete,deletecollection,patch,update",
    "all": "create,delete,deletecollection,get,list,patch,update,watch",
}
_NODE_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


class _Placeholders(Identifiers):
    """Remembers what it makes up: the first uid is ``<uid:0>``, the first suffix ``<suffix:0>``."""

    def __init__(self) -> None:
        super().__init__(0)
        self.names: dict[str, str] = {}

    def suffix(self) -> str:
        return self._named("suffix", super().suffix)

    def uid(self) -> str:
        return self._named("uid", super().uid)

    def _named(self, kind: str, make: Callable[[], str]) -> str:
        made = make()
        number = sum(name.startswith(f"<{kind}:") for name in self.names.values())
        self.names[made] = f"<{kind}:{number}>"
        return made


async def cluster() -> Any:
    """The objects of each resource at rest, and the revision of the store."""
    identifiers = _Placeholders()
    store = Store(identifiers=identifiers)
    store.clock = lambda: _NOW
    registry = ResourceRegistry(store=store)
    controllers = Controllers(
        registry,
        start_delay=0,
        log_interval=60,
        ca_pem="<ca>",
        clients=Authority("none"),
        accounts=Accounts(store, Signer(), identifiers),
    )
    how = How(writer=Writer(manager="apiserver", now=store.now()))
    others = dict.fromkeys((CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS), how)
    for resource, namespace, obj in _objects(store.now()):
        registry.create(resource, namespace, obj, others.get(resource, How()))
    controllers.settle(None)
    await controllers.mains.close()
    rows = {row.storage: store.list(row) for row in registry.catalog.stored() if row != EVENTS}
    text = json.dumps({"revision": store.revision, "objects": rows})
    text = text.replace(timestamp(_NOW), "<time>")
    made = "|".join(map(re.escape, identifiers.names))
    return json.loads(re.sub(rf"\b({made})\b", lambda match: identifiers.names[match[0]], text))


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
    for name, value, text in (
        ("cluster", 0, "must run in the cluster, but can be moved to another node if necessary"),
        ("node", 1000, "must not be moved from their current node"),
    ):
        critical: Object = {"value": 2_000_000_000 + value}
        critical["description"] = f"Used for system critical pods that {text}."
        rows.append((PRIORITY_CLASSES, "", _named(f"system-{name}-critical", critical)))
    rows += [
        (SERVICES, "default", api | {"spec": api["spec"] | {"clusterIP": "10.96.0.1"}}),
        (CONFIG_MAPS, "shop", _named("settings", {"data": {"currency": "EUR", "theme": "light"}})),
        (
            SECRETS,
            "shop",
            _named("db", {"stringData": {"username": "shop", "password": "not-a-real-password"}}),
        ),
        *((resource, "", obj) for resource, obj in _roles()),
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
    subject = {"kind": "User", "apiGroup": _RBAC, "name": VIEWER}
    return {"subjects": [subject], "roleRef": _reference("view")}


def _roles() -> list[tuple[Resource, Object]]:
    """The roles and bindings that every cluster starts with."""
    path = Path(__file__).with_name("roles.txt")
    role: Object = {}
    found: list[tuple[Resource, Object]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if line.startswith("  "):
            role["rules"].append(_rule(words))
        elif not line.startswith("#"):
            name, *marks = words
            part_of = [word[1:] for word in marks if word[0] == ">"]
            role = {"metadata": _metadata(name, part_of), "rules": []}
            if "=" in marks:
                selector = {"matchLabels": {_aggregate_to(name): "true"}}
                role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
                del role["rules"]
            found.append((CLUSTER_ROLES, role))
            groups = [word[1:] for word in marks if word[0] == "@"]
            if groups:
                subjects = [{"kind": "Group", "apiGroup": _RBAC, "name": group} for group in groups]
                binding: Object = {"subjects": subjects, "roleRef": _reference(name)}
                binding |= {"metadata": _metadata(name, [])}
                found.append((CLUSTER_ROLE_BINDINGS, binding))
    return found


def _rule(words: list[str]) -> Object:
    if words[0] == "paths":
        return {"verbs": [words[1]], "nonResourceURLs": words[2:]}
    verbs, groups, *resources = words
    return {
        "verbs": _VERBS.get(verbs, verbs).split(","),
        "apiGroups": ["" if group == "-" else group for group in groups.split(",")],
        "resources": resources,
    }


def _reference(role: str) -> Object:
    """How a binding refers to a ClusterRole."""
    return {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role}


def _metadata(name: str, wholes: list[str]) -> Object:
    labels = _BOOTSTRAP | {_aggregate_to(whole): "true" for whole in wholes}
    return {"name": name, "labels": labels, "annotations": dict(_AUTO_UPDATE)}


def _aggregate_to(whole: str) -> str:
    return f"{_RBAC}/aggregate-to-{whole}"


def main() -> None:
    content = asyncio.run(cluster())
    (DATA / "cluster.json.gz").write_bytes(packed(content))


if __name__ == "__main__":
    main()
