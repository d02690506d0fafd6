"""Scheduler and kubelet: where pods go, when they run, when they are gone.

No container is ever started. A pod is said to run a moment after it was placed on a node, and is
removed a moment after it was marked for deletion.
"""

import itertools

from . import schemas
from .recorder import Recorder
from .resources import LEASES, NODES, PODS
from .status import Object
from .store import Store


class Kubelet:
    """All kubelets of the demo, and the scheduler.

    Args:
        start_delay: seconds from a pod's scheduling until it runs, and from its deletion until
            it is gone.
    """

    def __init__(self, store: Store, recorder: Recorder, *, start_delay: float) -> None:
        self._store = store
        self._recorder = recorder
        self._start_delay = start_delay
        self._addresses = itertools.count(5)
        self._due: dict[str, float] = {}

    @property
    def deadline(self) -> float | None:
        """When the next step is due, in the loop's time."""
        return min(self._due.values(), default=None)

    def renew_leases(self) -> None:
        """The node heartbeat."""
        renewed = self._store.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for lease in self._store.list(LEASES, "kube-node-lease"):
            self._store.replace(LEASES, lease | {"spec": lease["spec"] | {"renewTime": renewed}})

    def settle(self, now: float | None) -> None:
        """Take every step that is due; ``None`` means that every step is."""
        for pod in self._store.list(PODS):
            uid = pod["metadata"]["uid"]
            if pod["metadata"].get("deletionTimestamp"):
                if self.is_due(f"{uid}/end", now):
                    self._store.remove(PODS, pod)
            elif not pod["spec"].get("nodeName"):
                self._schedule(pod)
            elif pod["status"]["phase"] == "Pending" and self.is_due(f"{uid}/start", now):
                self._start(pod)
            elif _ends(pod) and self.is_due(f"{uid}/done", now):
                self._finish(pod)
        if now is not None:
            self._due = {key: at for key, at in self._due.items() if at > now}

    def is_due(self, key: str, now: float | None) -> bool:
        """Whether the delay of a step is over; the first question starts it."""
        if now is None:
            return True
        return now >= self._due.setdefault(key, now + self._start_delay)

    def _schedule(self, pod: Object) -> None:
        nodes = [node for node in self._store.list(NODES) if not node["spec"].get("unschedulable")]
        if not nodes:
            return
        loads = {node["metadata"]["name"]: 0 for node in nodes}
        for other in self._store.list(PODS):
            if (name := other["spec"].get("nodeName")) in loads:
                loads[name] += 1
        name = min(loads, key=lambda node: (loads[node], node))
        scheduled = _pod_condition("PodScheduled", self._store.now())
        status = pod["status"] | {"conditions": [scheduled]}
        self._store.replace(PODS, pod | {"spec": placed(pod["spec"], name), "status": status})
        full_name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        message = f"Successfully assigned {full_name} to {name}"
        self._recorder.record(PODS, pod, "Scheduled", message, component="default-scheduler")

    def _start(self, pod: Object) -> None:
        now, spec = self._store.now(), pod["spec"]
        node = self._store.get(NODES, "", spec["nodeName"])
        addresses = (node or {}).get("status", {}).get("addresses") or [{"address": ""}]
        address = f"10.244.{int(addresses[0]['address'].rpartition('.')[2] or 0)}"
        pod_ip = f"{address}.{next(self._addresses)}"
        kinds = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        generation = {"observedGeneration": pod["metadata"]["generation"]}
        conditions = [_pod_condition(kind, now) | generation for kind in kinds]
        scheduled = pod["status"].get("conditions") or [_pod_condition("PodScheduled", now)]
        status = (
            generation
            | pod["status"]
            | {
                "phase": "Running",
                "conditions": [*scheduled, *conditions],
                "hostIP": addresses[0]["address"],
                "hostIPs": [{"ip": addresses[0]["address"]}],
                "podIP": pod_ip,
                "podIPs": [{"ip": pod_ip}],
                "startTime": now,
                "containerStatuses": [_container_status(row, now) for row in spec["containers"]],
            }
        )
        self._store.replace(PODS, pod | {"status": status}, by="kubelet", through="status")
        for container in spec["containers"]:
            image, name = container["image"], container["name"]
            for reason, message in (
                ("Pulled", f'Container image "{image}" already present on machine'),
                ("Created", f"Created container: {name}"),
                ("Started", f"Started container {name}"),
            ):
                self._recorder.record(
                    PODS, pod, reason, message, component="kubelet", host=spec["nodeName"]
                )

    def _finish(self, pod: Object) -> None:
        now, status = self._store.now(), pod["status"]
        ended = {"exitCode": 0, "reason": "Completed", "finishedAt": now}
        containers = [
            row
            | {"ready": False, "started": False}
            | {"state": {"terminated": row["state"]["running"] | ended}}
            for row in status.get("containerStatuses") or []
        ]
        unready = {"status": "False", "reason": "PodCompleted", "lastTransitionTime": now}
        conditions = [
            row | unready if row["type"] in {"Ready", "ContainersReady"} else row
            for row in status["conditions"]
        ]
        more = {"phase": "Succeeded", "conditions": conditions, "containerStatuses": containers}
        changed = pod | {"status": status | more}
        self._store.replace(PODS, changed, by="kubelet", through="status")


def placed(spec: Object, node: str) -> Object:
    """A pod's spec once it has a node."""
    return schemas.in_order("io.k8s.api.core.v1.PodSpec", spec | {"nodeName": node})


def _ends(pod: Object) -> bool:
    """Whether what a pod runs comes to an end by itself: a job's does."""
    owners = pod["metadata"].get("ownerReferences") or []
    running = pod["status"]["phase"] == "Running"
    return running and any(owner.get("kind") == "Job" for owner in owners)


def _pod_condition(kind: str, now: str) -> Object:
    return {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}


def _container_status(container: Object, now: str) -> Object:
    image = container["image"]
    return {
        "name": container["name"],
        "image": image,
        "imageID": f"demo://{image}",
        "containerID": f"demo://{container['name']}",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
        "lastState": {},
    }
