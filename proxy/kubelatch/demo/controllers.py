"""The loop that makes the demo alive.

Level-triggered: each pass looks at what is in the store and takes the next step towards what
should be, until a pass changes nothing; then it sleeps until the next change or deadline.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from . import custom, disruption, quotas, services
from .accounts import Accounts
from .certificates import Authority
from .deletion import collect, delete
from .kubelet import Kubelet
from .mains import Mains
from .ownership import MANAGER
from .recorder import Recorder
from .registry import ResourceRegistry
from .resources import (
    CONFIG_MAPS,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    Resource,
)
from .roles import aggregate
from .sets import Sets
from .signing import sign_approved
from .status import Object
from .store import Store
from .workloads import PodMaker, Workloads

_BUNDLE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)
_log = logging.getLogger(__name__)
_LEASE_INTERVAL = 10.0
"""Seconds between node heartbeats, the kubelet's default."""


class Controllers:
    """Everything in a cluster that is not the API server.

    Args:
        registry: where to write.
        start_delay: see :class:`.kubelet.Kubelet`.
        log_interval: see :class:`.mains.Mains`.
        ca_pem: goes into each namespace's ``kube-root-ca.crt``.
        clients: signs the certificates of clients that are approved.
        accounts: fill token Secrets.
    """

    def __init__(
        self,
        registry: ResourceRegistry,
        *,
        start_delay: float,
        log_interval: float,
        ca_pem: str,
        clients: Authority,
        accounts: Accounts,
    ) -> None:
        self.recorder = Recorder(registry.store)
        self._registry = registry
        self._store: Store = registry.store
        maker = PodMaker(registry, self.recorder)
        self._workloads = Workloads(registry, self.recorder, maker)
        self._sets = Sets(registry, maker)
        self.mains = Mains(log_interval)
        self._kubelet = Kubelet(registry.store, self.recorder, self.mains, start_delay=start_delay)
        self._clients = clients
        self._ca_pem = ca_pem
        self._accounts = accounts
        self._wake = asyncio.Event()
        self.mains.on_end = self._wake.set
        self._store.on_change(self._wake.set)

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        lease_at = loop.time()
        while True:
            self._wake.clear()
            if loop.time() >= lease_at:
                self._kubelet.renew_leases()
                lease_at = loop.time() + _LEASE_INTERVAL
            await self._accounts.fill_secrets(self._ca_pem)
            self.settle(loop.time())
            deadline = min(lease_at, self._kubelet.deadline or lease_at)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._wake.wait()

    def settle(self, now: float | None) -> None:
        """Step until nothing changes; ``None`` means that every delay is over."""
        store, registry = self._store, self._registry
        steps: list[Callable[[], None]] = [
            lambda: self._namespaces(now),
            lambda: aggregate(store),
            lambda: sign_approved(store, self._clients),
            lambda: custom.settle(store),
            lambda: collect(registry),
            self._workloads.settle,
            self._sets.settle,
            lambda: self._kubelet.settle(now),
            lambda: services.settle(store),
            lambda: quotas.settle(store, registry.catalog),
            lambda: disruption.settle(registry),
        ]
        before = None
        while steps and before != store.revision:
            before = store.revision
            for step in list(steps):
                try:
                    step()
                except Exception:  # noqa: BLE001 - one odd object must not stop all controllers
                    _log.exception("a controller of the demo failed")
                    steps.remove(step)

    def _namespaces(self, now: float | None) -> None:
        for namespace in self._store.list(NAMESPACES):
            name = namespace["metadata"]["name"]
            if not namespace["metadata"].get("deletionTimestamp"):
                self._ensure(SERVICE_ACCOUNTS, {"name": "default", "namespace": name}, {})
                self._ensure(
                    CONFIG_MAPS,
                    {
                        "name": "kube-root-ca.crt",
                        "namespace": name,
                        "annotations": {"kubernetes.io/description": _BUNDLE},
                    },
                    {"data": {"ca.crt": self._ca_pem}},
                )
                continue
            content = [
                (row, obj)
                for row in self._registry.catalog.stored()
                for obj in self._namespaced(row, name)
            ]
            for resource, obj in content:
                if not obj["metadata"].get("deletionTimestamp"):
                    delete(self._registry, resource, obj, policy="Background")
            if not content and self._kubelet.is_due(f"{namespace['metadata']['uid']}/end", now):
                self._store.remove(NAMESPACES, namespace)

    def _namespaced(self, resource: Resource, namespace: str) -> list[Object]:
        return self._store.list(resource, namespace) if resource.namespaced else []

    def _ensure(self, resource: Resource, metadata: Object, obj: Object) -> None:
        if self._store.get(resource, metadata["namespace"], metadata["name"]) is None:
            manager = MANAGER if obj else ""
            self._store.create(resource, obj | {"metadata": metadata}, by=manager)
