"""Disruption budgets: their status, and whether they let a pod be evicted."""

import math
from typing import Any

from .registry import ResourceRegistry
from .resources import DISRUPTION_BUDGETS, PODS
from .selectors import matches_labels
from .status import Object, StatusError
from .store import Store
from .workloads import is_active, is_ready


def check(store: Store, pod: Object) -> None:
    """Raise StatusError 429 when a budget forbids the eviction of a pod."""
    if not (is_ready(pod) and is_active(pod)):
        return
    labels = pod["metadata"].get("labels") or {}
    for budget in store.list(DISRUPTION_BUDGETS, pod["metadata"]["namespace"]):
        if not matches_labels(budget["spec"].get("selector"), labels):
            continue
        status = _status(store, budget)
        if status["disruptionsAllowed"] > 0:
            continue
        message = (
            f"The disruption budget {budget['metadata']['name']} needs {status['desiredHealthy']} "
            f"healthy pods and has {status['currentHealthy']} currently"
        )
        raise StatusError(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
            {"causes": [{"reason": "DisruptionBudget", "message": message}]},
        )


def settle(registry: ResourceRegistry) -> None:
    """Bring the status of every budget up to date."""
    store = registry.store
    for budget in store.list(DISRUPTION_BUDGETS):
        status = (budget.get("status") or {}) | _status(store, budget)
        status["observedGeneration"] = budget["metadata"].get("generation", 1)
        store.replace(DISRUPTION_BUDGETS, budget | {"status": status})


def _status(store: Store, budget: Object) -> dict[str, int]:
    spec, namespace = budget["spec"], budget["metadata"]["namespace"]
    pods = [
        pod
        for pod in store.list(PODS, namespace)
        if matches_labels(spec.get("selector"), pod["metadata"].get("labels") or {})
    ]
    healthy = sum(is_ready(pod) and is_active(pod) for pod in pods)
    if "maxUnavailable" in spec:
        desired = max(0, len(pods) - _count(spec["maxUnavailable"], len(pods)))
    else:
        desired = _count(spec.get("minAvailable", 1), len(pods))
    counts = {"disruptionsAllowed": max(0, healthy - desired), "currentHealthy": healthy}
    return counts | {"desiredHealthy": desired, "expectedPods": len(pods)}


def _count(value: Any, total: int) -> int:
    """A number of pods, or a share of them rounded up."""
    if isinstance(value, int):
        return value
    return math.ceil(int(str(value).rstrip("%") or 0) * total / 100)
