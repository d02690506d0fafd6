"""The controller that aggregates ClusterRoles."""

from .resources import CLUSTER_ROLES
from .selectors import matches_labels
from .status import Object
from .store import Store

_AGGREGATOR = "clusterrole-aggregation-controller"


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
