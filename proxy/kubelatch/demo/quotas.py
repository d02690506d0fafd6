"""Resource quotas and limit ranges: how many objects and what maxima a namespace admits.

Of a quota, numbers of objects are counted (``pods``, ``count/deployments.apps``); of a limit range,
the maximum for a container is kept.
"""

from . import quantities, status
from .ownership import MANAGER
from .resources import LIMIT_RANGES, PODS, RESOURCE_QUOTAS, Catalog, Resource
from .status import Object
from .store import Store


def check(store: Store, resource: Resource, obj: Object) -> None:
    """Raise StatusError 403 when a new object would exceed a quota of its namespace."""
    namespace, name = obj["metadata"].get("namespace", "\0"), obj["metadata"]["name"]
    for quota in store.list(RESOURCE_QUOTAS, namespace):
        for key, hard in (quota["spec"].get("hard") or {}).items():
            used = len(store.list(resource, namespace))
            if key.removeprefix("count/") == resource.qualified and used >= quantities.parse(hard):
                why = f"exceeded quota: {quota['metadata']['name']}, requested: {key}=1, used: "
                why += f"{key}={used}, limited: {key}={hard}"
                raise status.not_admitted(resource, name, why)


def limit(store: Store, pod: Object) -> None:
    """Raise StatusError 403 when a container asks for more than its namespace's maximum."""
    ranges = store.list(LIMIT_RANGES, pod["metadata"]["namespace"])
    for item in (row for limits in ranges for row in limits["spec"].get("limits") or []):
        for name, most in (item.get("max") or {}).items():
            for container in pod["spec"].get("containers") or []:
                amount = ((container.get("resources") or {}).get("limits") or {}).get(name, "0")
                over = quantities.parse(amount) > quantities.parse(most)
                if over and item["type"] == "Container":
                    why = f"maximum {name} usage per Container is {most}, but limit is {amount}"
                    raise status.not_admitted(PODS, pod["metadata"]["name"], why)


def settle(store: Store, catalog: Catalog) -> None:
    """Bring the status of every quota up to date."""
    rows = {row.qualified: row for row in catalog.stored() if row.namespaced}
    for quota in store.list(RESOURCE_QUOTAS):
        hard, namespace = quota["spec"].get("hard") or {}, quota["metadata"]["namespace"]
        counted = {key: rows.get(key.removeprefix("count/")) for key in hard}
        used = {key: str(len(store.list(row, namespace))) for key, row in counted.items() if row}
        changed = quota | {"status": {"hard": hard, "used": used}}
        store.replace(RESOURCE_QUOTAS, changed, by=MANAGER, through="status")
