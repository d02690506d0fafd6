"""The kinds that are served, one row each.

Discovery, routing, authorisation and storage are all driven by this table. A kind that is not
in it does not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_READ_WRITE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_EVERY_METHOD = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A path below an object, e.g. ``pods/log``."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind, as discovery describes it."""

    group: str
    version: str = "v1"
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: Mapping[str, Subresource] = field(default_factory=dict, hash=False)

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``pods`` or ``deployments.apps``, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()

    @property
    def stored(self) -> bool:
        """Whether objects of it are kept; reviews are only answered."""
        return "get" in self.verbs


def _subresources(*rows: Subresource) -> dict[str, Subresource]:
    return {row.name: row for row in rows}


def _status(kind: str) -> Subresource:
    return Subresource(name="status", kind=kind, verbs=_READ_WRITE)


_SCALE = Subresource(
    name="scale", kind="Scale", verbs=_READ_WRITE, group="autoscaling", version="v1"
)
_APPS = "apps"
_RBAC = "rbac.authorization.k8s.io"
_CREATE_ONLY = ("create",)

NAMESPACES = Resource(
    group="",
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=_subresources(_status("Namespace")),
)
NODES = Resource(
    group="",
    plural="nodes",
    kind="Node",
    namespaced=False,
    short_names=("no",),
    subresources=_subresources(_status("Node")),
)
PODS = Resource(
    group="",
    plural="pods",
    kind="Pod",
    short_names=("po",),
    categories=("all",),
    subresources=_subresources(
        Subresource(name="attach", kind="PodAttachOptions", verbs=_CONNECT),
        Subresource(
            name="eviction", kind="Eviction", verbs=("create",), group="policy", version="v1"
        ),
        Subresource(name="exec", kind="PodExecOptions", verbs=_CONNECT),
        Subresource(name="log", kind="Pod", verbs=("get",)),
        Subresource(name="portforward", kind="PodPortForwardOptions", verbs=_CONNECT),
        Subresource(name="proxy", kind="PodProxyOptions", verbs=_EVERY_METHOD),
        _status("Pod"),
    ),
)
SERVICES = Resource(
    group="",
    plural="services",
    kind="Service",
    short_names=("svc",),
    categories=("all",),
    subresources=_subresources(
        Subresource(name="proxy", kind="ServiceProxyOptions", verbs=_EVERY_METHOD),
        _status("Service"),
    ),
)
CONFIG_MAPS = Resource(group="", plural="configmaps", kind="ConfigMap", short_names=("cm",))
SECRETS = Resource(group="", plural="secrets", kind="Secret")
SERVICE_ACCOUNTS = Resource(
    group="", plural="serviceaccounts", kind="ServiceAccount", short_names=("sa",)
)
EVENTS = Resource(group="", plural="events", kind="Event", short_names=("ev",))
DEPLOYMENTS = Resource(
    group=_APPS,
    plural="deployments",
    kind="Deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=_subresources(_SCALE, _status("Deployment")),
)
REPLICA_SETS = Resource(
    group=_APPS,
    plural="replicasets",
    kind="ReplicaSet",
    short_names=("rs",),
    categories=("all",),
    subresources=_subresources(_SCALE, _status("ReplicaSet")),
)
ENDPOINT_SLICES = Resource(group="discovery.k8s.io", plural="endpointslices", kind="EndpointSlice")
LEASES = Resource(group="coordination.k8s.io", plural="leases", kind="Lease")
ROLES = Resource(group=_RBAC, plural="roles", kind="Role")
ROLE_BINDINGS = Resource(group=_RBAC, plural="rolebindings", kind="RoleBinding")
CLUSTER_ROLES = Resource(group=_RBAC, plural="clusterroles", kind="ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    group=_RBAC, plural="clusterrolebindings", kind="ClusterRoleBinding", namespaced=False
)
SELF_SUBJECT_REVIEWS = Resource(
    group="authentication.k8s.io",
    plural="selfsubjectreviews",
    kind="SelfSubjectReview",
    namespaced=False,
    verbs=_CREATE_ONLY,
)
SELF_SUBJECT_ACCESS_REVIEWS = Resource(
    group="authorization.k8s.io",
    plural="selfsubjectaccessreviews",
    kind="SelfSubjectAccessReview",
    namespaced=False,
    verbs=_CREATE_ONLY,
)
SELF_SUBJECT_RULES_REVIEWS = Resource(
    group="authorization.k8s.io",
    plural="selfsubjectrulesreviews",
    kind="SelfSubjectRulesReview",
    namespaced=False,
    verbs=_CREATE_ONLY,
)

RESOURCES: tuple[Resource, ...] = (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    DEPLOYMENTS,
    REPLICA_SETS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    LEASES,
    ENDPOINT_SLICES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
)

_BY_PATH = {(row.group, row.version, row.plural): row for row in RESOURCES}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(row.group for row in RESOURCES))


def find(group: str, version: str, plural: str) -> Resource | None:
    """The row that a path names, or None."""
    return _BY_PATH.get((group, version, plural))
