"""The roles and bindings that every cluster starts with, and the aggregation of ClusterRoles.

``data/roles.txt`` has those that a reader meets: cluster-admin, admin, edit, view, and what
everybody may see. Roles of controllers and nodes are left out, since none of those sign in here.
"""

import importlib.resources

from .resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Resource
from .selectors import matches_labels
from .status import Object
from .store import Store

RBAC = "rbac.authorization.k8s.io"
MANAGER = "apiserver"
"""Who wrote them, as ``managedFields`` names it."""
_AGGREGATOR = "clusterrole-aggregation-controller"
_BOOTSTRAP = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AUTO_UPDATE = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_VERBS = {
    "read": "get,list,watch",
    "write": "create,delete,deletecollection,patch,update",
    "all": "create,delete,deletecollection,get,list,patch,update,watch",
}


def objects() -> list[tuple[Resource, Object]]:
    """The roles and bindings."""
    path = importlib.resources.files(__package__) / "data" / "roles.txt"
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
                subjects = [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups]
                binding: Object = {"subjects": subjects, "roleRef": reference(name)}
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
            metadata = role["metadata"]
            others = [
                row for row in metadata.get("managedFields") or [] if row["manager"] != _AGGREGATOR
            ]
            own = {
                "manager": _AGGREGATOR,
                "operation": "Apply",
                "apiVersion": CLUSTER_ROLES.api_version,
                "time": store.now(),
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:rules": {}},
            }
            metadata = metadata | {"managedFields": [own, *others]}
            store.replace(CLUSTER_ROLES, role | {"metadata": metadata, "rules": rules})


def _metadata(name: str, wholes: list[str]) -> Object:
    labels = _BOOTSTRAP | {_aggregate_to(whole): "true" for whole in wholes}
    return {"name": name, "labels": labels, "annotations": dict(_AUTO_UPDATE)}


def _aggregate_to(whole: str) -> str:
    return f"{RBAC}/aggregate-to-{whole}"
