"""Resource quotas and limit ranges: what a namespace may hold (admission, and the quota's status).

Counted are objects (``pods``, ``count/deployments.apps``), and the requests and limits of pods.
"""

from fractions import Fraction

from . import quantities, status
from .ownership import MANAGER
from .resources import LIMIT_RANGES, PODS, RESOURCE_QUOTAS, Catalog, Resource
from .status import Object
from .store import Store

_AMOUNTS = ("cpu", "memory", "ephemeral-storage")


def check(store: Store, catalog: Catalog, resource: Resource, obj: Object) -> None:
    """Raise StatusError 403 when a new object would exceed a quota of its namespace."""
    name = obj["metadata"]["name"]
    for quota in store.list(RESOURCE_QUOTAS, obj["metadata"].get("namespace", "\0")):
        hard = (quota.get("spec") or {}).get("hard") or {}
        used = _used(store, catalog, quota)
        asked = {key: _asked(key, resource, obj) for key in hard}
        over = sorted(
            key
            for key in hard
            if asked[key] and used[key] + asked[key] > quantities.parse(hard[key])
        )
        if not over:
            continue
        lists = [
            ",".join(f"{key}={_text(key, amount)}" for key, amount in ((k, row[k]) for k in over))
            for row in (asked, used, {key: quantities.parse(hard[key]) for key in over})
        ]
        raise status.not_admitted(
            resource,
            name,
            f"exceeded quota: {quota['metadata']['name']}, requested: {lists[0]}, used: "
            f"{lists[1]}, limited: {lists[2]}",
        )


def settle(store: Store, catalog: Catalog) -> None:
    """Bring the status of every quota up to date."""
    for quota in store.list(RESOURCE_QUOTAS):
        hard = (quota.get("spec") or {}).get("hard") or {}
        used = {key: _text(key, amount) for key, amount in _used(store, catalog, quota).items()}
        changed = quota | {"status": {"hard": hard, "used": used}}
        store.replace(RESOURCE_QUOTAS, changed, by=MANAGER, through="status")


def _used(store: Store, catalog: Catalog, quota: Object) -> dict[str, Fraction]:
    hard = (quota.get("spec") or {}).get("hard") or {}
    counted = {row.qualified: row for row in catalog.stored() if row.namespaced}
    result: dict[str, Fraction] = {}
    for key in hard:
        row = counted.get(key.removeprefix("count/"), PODS)
        objects = store.list(row, quota["metadata"]["namespace"])
        result[key] = sum((_asked(key, row, obj) for obj in objects), Fraction(0))
    return result


def _asked(key: str, resource: Resource, obj: Object) -> Fraction:
    """How much of what a quota counts under ``key`` an object takes."""
    if key.removeprefix("count/") == resource.qualified:
        return Fraction(1)
    if resource != PODS or obj.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return Fraction(0)
    kind, dot, name = key.rpartition(".")
    part = kind if dot and kind in {"requests", "limits"} else "requests"
    if name not in _AMOUNTS:
        return Fraction(0)
    containers = obj["spec"].get("containers") or []
    amounts = [((row.get("resources") or {}).get(part) or {}).get(name, "0") for row in containers]
    return sum(map(quantities.parse, amounts), Fraction(0))


def _text(key: str, amount: Fraction) -> str:
    if amount.denominator == 1:
        mebi = 1024**2
        large = "memory" in key or "storage" in key
        return f"{amount // mebi}Mi" if large and amount and amount % mebi == 0 else str(amount)
    return f"{amount * 1000}m"


def limit(store: Store, pod: Object) -> Object:
    """A new pod with the defaults of its namespace's limit ranges.

    Raises:
        StatusError: 403 when it is outside of their bounds.
    """
    for limits in store.list(LIMIT_RANGES, pod["metadata"]["namespace"]):
        for item in (limits.get("spec") or {}).get("limits") or []:
            if item["type"] != "Container":
                continue
            containers = [_limited(row, item) for row in pod["spec"]["containers"]]
            pod = pod | {"spec": pod["spec"] | {"containers": containers}}
            problems = [text for row in containers for text in _outside(row, item)]
            if len(problems) > 1:
                problems = [f"[{', '.join(problems)}]"]
            if problems:
                raise status.not_admitted(PODS, pod["metadata"]["name"], problems[0])
    return pod


def _limited(container: Object, item: Object) -> Object:
    resources = container.get("resources") or {}
    limits = (item.get("default") or item.get("max") or {}) | (resources.get("limits") or {})
    requests = (item.get("defaultRequest") or {}) | (resources.get("requests") or {})
    requests = limits | requests
    parts = {key: value for key, value in (("limits", limits), ("requests", requests)) if value}
    return container | {"resources": resources | parts}


def _outside(container: Object, item: Object) -> list[str]:
    resources = container["resources"]
    problems = []
    for name, bound in (item.get("min") or {}).items():
        amount = (resources.get("requests") or {}).get(name)
        if amount is None or quantities.parse(amount) < quantities.parse(bound):
            found = "no request is specified" if amount is None else f"request is {amount}"
            problems.append(f"minimum {name} usage per Container is {bound}, but {found}")
    for name, bound in (item.get("max") or {}).items():
        amount = (resources.get("limits") or {}).get(name)
        if amount is None or quantities.parse(amount) > quantities.parse(bound):
            found = "no limit is specified" if amount is None else f"limit is {amount}"
            problems.append(f"maximum {name} usage per Container is {bound}, but {found}")
    return problems
