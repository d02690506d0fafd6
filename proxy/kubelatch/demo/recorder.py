"""Events: what the controllers report, as ``kubectl describe`` shows it."""

import itertools

from .resources import EVENTS, Resource
from .status import Object
from .store import Store


class Recorder:
    """Writes core/v1 events."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sequence = itertools.count(0x17E0_5A3C_0000_0000, 0x3B9A_CA07)

    def record(
        self,
        resource: Resource,
        about: Object,
        reason: str,
        message: str,
        *,
        component: str,
        host: str = "",
        kind: str = "Normal",
    ) -> None:
        """Record that ``reason`` happened to ``about``."""
        metadata, now = about["metadata"], self._store.now()
        name = f"{metadata['name']}.{next(self._sequence):016x}"
        self._store.create(
            EVENTS,
            {
                "metadata": {"name": name, "namespace": metadata["namespace"]},
                "involvedObject": {
                    "kind": resource.kind,
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "apiVersion": resource.api_version,
                    "resourceVersion": metadata["resourceVersion"],
                },
                "reason": reason,
                "message": message,
                "source": {"component": component} | ({"host": host} if host else {}),
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "type": kind,
                "eventTime": None,
                "reportingComponent": component,
                "reportingInstance": host,
            },
            by="kubelet" if component == "kubelet" else "kube-controller-manager",
        )
