"""The roles and bindings that every cluster starts with, and the aggregation of ClusterRoles.

Those that a reader meets: cluster-admin, admin, edit, view, and what everybody may see. The roles
of controllers and nodes are left out, since none of those sign in here.
"""

from collections.abc import Iterator

from .authentication import AUTHENTICATED, UNAUTHENTICATED
from .rbac import MASTERS
from .resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Resource
from .selectors import matches_labels
from .status import Object
from .store import Store

RBAC = "rbac.authorization.k8s.io"
_ACCOUNTS = "system:serviceaccounts"
_BOOTSTRAP = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AUTO_UPDATE = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_ALL = (*_WRITE[:3], *_READ[:2], *_WRITE[3:], _READ[2])
_INFO = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi")
_OPENID = ("/.well-known/openid-configuration", "/openid/v1/jwks")
_INSIDE = "pods/attach pods/exec pods/portforward pods/proxy"
_EXTENSIONS = (
    "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "
    "replicasets replicasets/scale replicationcontrollers/scale"
)


def _rule(groups: str, resources: str, *verbs: str) -> Object:
    """A rule for resources with spaces between, in groups with commas between."""
    return {
        "verbs": list(verbs),
        "apiGroups": groups.split(","),
        "resources": resources.split(),
    }


def _paths(*paths: str, verb: str = "get") -> Object:
    return {"verbs": [verb], "nonResourceURLs": list(paths)}


_VIEW = (
    _rule(
        "",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services "
        "services/status",
        *_READ,
    ),
    _rule(
        "",
        "bindings limitranges namespaces/status pods/log pods/status "
        "replicationcontrollers/status resourcequotas resourcequotas/status",
        *_READ,
    ),
    _rule("", "namespaces", *_READ),
    _rule(",events.k8s.io", "events", *_READ),
    _rule("discovery.k8s.io", "endpointslices", *_READ),
    _rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
        "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
        "statefulsets/scale statefulsets/status",
        *_READ,
    ),
    _rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", *_READ),
    _rule("batch", "cronjobs cronjobs/status jobs jobs/status", *_READ),
    _rule(
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
        "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
        "replicationcontrollers/scale",
        *_READ,
    ),
    _rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", *_READ),
    _rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", *_READ),
    _rule("resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", *_READ),
)
_EDIT = (
    _rule("", f"{_INSIDE} secrets services/proxy", *_READ),
    _rule("", "serviceaccounts", "impersonate"),
    _rule("", f"pods {_INSIDE}", *_WRITE),
    _rule("", "pods/eviction", "create"),
    _rule(
        "",
        "configmaps events persistentvolumeclaims replicationcontrollers "
        "replicationcontrollers/scale secrets serviceaccounts services services/proxy",
        *_WRITE,
    ),
    _rule("", "serviceaccounts/token", "create"),
    _rule(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets "
        "replicasets/scale statefulsets statefulsets/scale",
        *_WRITE,
    ),
    _rule("autoscaling", "horizontalpodautoscalers", *_WRITE),
    _rule("batch", "cronjobs jobs", *_WRITE),
    _rule("extensions", _EXTENSIONS, *_WRITE),
    _rule("policy", "poddisruptionbudgets", *_WRITE),
    _rule("networking.k8s.io", "ingresses networkpolicies", *_WRITE),
    _rule("coordination.k8s.io", "leases", *_ALL),
    _rule("resource.k8s.io", "resourceclaims resourceclaimtemplates", *_WRITE),
)
_ADMIN = (
    _rule("authorization.k8s.io", "localsubjectaccessreviews", "create"),
    _rule(RBAC, "rolebindings roles", *_ALL),
)
_REVIEWS = (
    _rule("authentication.k8s.io", "tokenreviews", "create"),
    _rule("authorization.k8s.io", "subjectaccessreviews", "create"),
)
_SELF_REVIEWS = (
    _rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
    _rule("authentication.k8s.io", "selfsubjectreviews", "create"),
)
_ROLES: tuple[tuple[str, tuple[Object, ...], tuple[str, ...]], ...] = (
    ("cluster-admin", (_rule("*", "*", "*"), _paths("*", verb="*")), (MASTERS,)),
    ("system:aggregate-to-view", _VIEW, ()),
    ("system:aggregate-to-edit", _EDIT, ()),
    ("system:aggregate-to-admin", _ADMIN, ()),
    ("system:auth-delegator", _REVIEWS, ()),
    ("system:basic-user", _SELF_REVIEWS, (AUTHENTICATED,)),
    (
        "system:discovery",
        (_paths(*_DISCOVERY, "/openapi/*", "/readyz", "/version", "/version/"),),
        (AUTHENTICATED,),
    ),
    (
        "system:monitoring",
        (
            _paths(
                "/healthz",
                "/healthz/*",
                "/livez",
                "/livez/*",
                "/metrics",
                "/metrics/slis",
                "/readyz",
                "/readyz/*",
            ),
        ),
        ("system:monitoring",),
    ),
    ("system:public-info-viewer", (_paths(*_INFO),), (AUTHENTICATED, UNAUTHENTICATED)),
    (
        "system:service-account-issuer-discovery",
        (_paths(_OPENID[0], f"{_OPENID[0]}/", _OPENID[1], f"{_OPENID[1]}/"),),
        (_ACCOUNTS,),
    ),
)
"""Name, rules, and the groups that it is bound to."""
_AGGREGATED = (("view", ("edit",)), ("edit", ("admin",)), ("admin", ()))
"""Name, and the roles that it is a part of."""


def objects() -> Iterator[tuple[Resource, Object]]:
    """The roles and bindings."""
    for name, rules, groups in _ROLES:
        part_of = [name.rpartition("-")[2]] if name.startswith("system:aggregate-to-") else []
        yield CLUSTER_ROLES, {"metadata": _metadata(name, part_of), "rules": list(rules)}
        if groups:
            subjects = [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups]
            binding: Object = {"subjects": subjects, "roleRef": reference(name)}
            yield CLUSTER_ROLE_BINDINGS, {"metadata": _metadata(name, [])} | binding
    for name, wholes in _AGGREGATED:
        rule = {"clusterRoleSelectors": [{"matchLabels": {_aggregate_to(name): "true"}}]}
        yield CLUSTER_ROLES, {"metadata": _metadata(name, wholes), "aggregationRule": rule}


def reference(role: str) -> Object:
    """How a binding refers to a ClusterRole."""
    return {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}


def aggregate(store: Store) -> None:
    """Give each ClusterRole with an ``aggregationRule`` the rules of those that it selects."""
    roles = store.list(CLUSTER_ROLES)
    for role in roles:
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if selectors is None:
            continue
        rules: list[Object] = []
        for part in roles:
            labels = part["metadata"].get("labels") or {}
            if part is role or not any(matches_labels(row, labels) for row in selectors):
                continue
            rules += [rule for rule in part.get("rules") or [] if rule not in rules]
        if rules != (role.get("rules") or []):
            store.replace(CLUSTER_ROLES, role | {"rules": rules})


def _metadata(name: str, wholes: list[str] | tuple[str, ...]) -> Object:
    labels = _BOOTSTRAP | {_aggregate_to(whole): "true" for whole in wholes}
    return {"name": name, "labels": labels, "annotations": dict(_AUTO_UPDATE)}


def _aggregate_to(whole: str) -> str:
    return f"{RBAC}/aggregate-to-{whole}"
