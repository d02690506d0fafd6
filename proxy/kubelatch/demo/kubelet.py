"""Scheduler and kubelet: where pods go, when they run, when they end and are gone.

No container is ever started. A pod runs a moment after it was placed on a node, and is removed a
moment after it was marked for deletion; the commands of its containers are run by :mod:`.mains`.
"""

import itertools

from . import schemas
from .mains import Mains, command_of
from .recorder import Recorder
from .resources import LEASES, NODES, PODS
from .status import Object
from .store import Store

_READY = ("ContainersReady", "Ready")
_BACKOFF, _LONGEST_BACKOFF = 10.0, 300.0
"""Seconds until a container that ends again is started again; doubled each time."""


class Kubelet:
    """All kubelets of the demo, and the scheduler.

    Args:
        start_delay: seconds from a pod's scheduling until it runs, and from its deletion until
            it is gone.
    """

    def __init__(
        self, store: Store, recorder: Recorder, mains: Mains, *, start_delay: float
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._mains = mains
        self._start_delay = start_delay
        self._addresses = itertools.count(5 + len(store.list(PODS)))
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
                    self._remove(pod)
            elif not pod["spec"].get("nodeName"):
                self._schedule(pod)
            elif pod["status"]["phase"] == "Pending" and self.is_due(f"{uid}/start", now):
                self._start(pod)
            elif pod["status"]["phase"] == "Running":
                self._follow(pod, now)
        if now is not None:
            self._due = {key: at for key, at in self._due.items() if at > now}

    def is_due(self, key: str, now: float | None, delay: float | None = None) -> bool:
        """Whether a step, first asked for a while ago, may be taken."""
        if now is None:
            return True
        return now >= self._due.setdefault(
            key, now + (self._start_delay if delay is None else delay)
        )

    def _schedule(self, pod: Object) -> None:
        nodes = [node for node in self._store.list(NODES) if not node["spec"].get("unschedulable")]
        if not nodes:
            return
        loads = {node["metadata"]["name"]: 0 for node in nodes}
        for other in self._store.list(PODS):
            if (name := other["spec"].get("nodeName")) in loads:
                loads[name] += 1
        name = min(loads, key=lambda node: (loads[node], node))
        scheduled = _condition("PodScheduled", self._store.now())
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
        known = pod["status"].get("conditions") or [_condition("PodScheduled", now)]
        kinds = ("PodReadyToStartContainers", "Initialized", *_READY)
        self._report(
            pod,
            {
                "observedGeneration": pod["metadata"]["generation"],
                "phase": "Running",
                "conditions": [*known, *(_condition(kind, now, observed=True) for kind in kinds)],
                "hostIP": addresses[0]["address"],
                "hostIPs": [{"ip": addresses[0]["address"]}],
                "podIP": pod_ip,
                "podIPs": [{"ip": pod_ip}],
                "startTime": now,
                "containerStatuses": [_container_status(row, now) for row in spec["containers"]],
            },
        )
        for container in spec["containers"]:
            self._run(pod, container)

    def _run(self, pod: Object, container: Object) -> None:
        image, name = container["image"], container["name"]
        self._mains.start(pod, container)
        for reason, message in (
            ("Pulled", f'Container image "{image}" already present on machine'),
            ("Created", f"Created container: {name}"),
            ("Started", f"Started container {name}"),
        ):
            self._recorder.record(
                PODS, pod, reason, message, component="kubelet", host=pod["spec"]["nodeName"]
            )

    def _follow(self, pod: Object, now: float | None) -> None:
        """Bring the status of a running pod up to what its commands have done."""
        pairs = zip(pod["spec"]["containers"], pod["status"]["containerStatuses"], strict=True)
        rows = [self._status(pod, container, row, now) for container, row in pairs]
        status: Object = {"containerStatuses": rows}
        if extra := pod["spec"].get("ephemeralContainers"):
            status["ephemeralContainerStatuses"] = [self._extra(pod, row, now) for row in extra]
        if status.items() <= pod["status"].items():
            return
        ended = [row["state"]["terminated"] for row in rows if "terminated" in row["state"]]
        if len(ended) == len(rows):
            failed = any(state["exitCode"] for state in ended)
            status["phase"] = "Failed" if failed else "Succeeded"
        ready = all(row["ready"] for row in rows)
        self._report(pod, status | {"conditions": self._conditions(pod, ready=ready)})

    def _extra(self, pod: Object, container: Object, now: float | None) -> Object:
        """The status of an ephemeral container: it is started once."""
        for row in pod["status"].get("ephemeralContainerStatuses") or []:
            if row["name"] == container["name"]:
                once = pod | {"spec": pod["spec"] | {"restartPolicy": "Never"}}
                return self._status(once, container, row, now)
        self._run(pod, container)
        return _container_status(container, self._store.now())

    def _status(self, pod: Object, container: Object, row: Object, now: float | None) -> Object:
        """The status of a container, given the last one; it may be started again."""
        main, running = self._mains.find(pod, container["name"]), "running" in row["state"]
        if main is not None and main.code is not None and running:
            return self._ended(pod, row, main.code)
        if running and _ends(pod) and not command_of(container):
            done = self.is_due(f"{pod['metadata']['uid']}/{container['name']}/done", now)
            return self._ended(pod, row, 0) if done else row
        if "waiting" not in row["state"]:
            return row
        delay = min(_BACKOFF * 2 ** row["restartCount"], _LONGEST_BACKOFF)
        if not self.is_due(f"{pod['metadata']['uid']}/{container['name']}", now, delay):
            return row
        self._run(pod, container)
        return _container_status(container, self._store.now()) | {
            "restartCount": row["restartCount"] + 1,
            "lastState": row["lastState"],
        }

    def _ended(self, pod: Object, row: Object, code: int) -> Object:
        """The status of a container whose command has ended."""
        terminated = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "startedAt": row["state"]["running"]["startedAt"],
            "finishedAt": self._store.now(),
            "containerID": row["containerID"],
        }
        row = row | {"ready": False, "started": False}
        policy = pod["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and not code):
            return row | {"state": {"terminated": terminated}}
        waiting = {
            "reason": "CrashLoopBackOff",
            "message": f"back-off restarting failed container={row['name']}",
        }
        return row | {"state": {"waiting": waiting}, "lastState": {"terminated": terminated}}

    def _conditions(self, pod: Object, *, ready: bool) -> list[Object]:
        value = "True" if ready else "False"
        now = self._store.now()
        return [
            row
            if row["type"] not in _READY or row["status"] == value
            else row | {"status": value, "lastTransitionTime": now}
            for row in pod["status"].get("conditions") or []
        ]

    def _remove(self, pod: Object) -> None:
        """End a pod: it is not ready, then it has no time left, then it is gone."""
        self._mains.stop(pod)
        if pod["status"].get("containerStatuses"):
            rows = [row | {"ready": False} for row in pod["status"]["containerStatuses"]]
            conditions = self._conditions(pod, ready=False)
            pod = self._report(pod, {"containerStatuses": rows, "conditions": conditions})
        over = {"deletionGracePeriodSeconds": 0}
        pod = self._store.replace(PODS, pod | {"metadata": pod["metadata"] | over})
        if not pod["metadata"].get("finalizers"):
            self._store.remove(PODS, pod)

    def _report(self, pod: Object, status: Object) -> Object:
        reported = pod | {"status": pod["status"] | status}
        return self._store.replace(PODS, reported, by="kubelet", through="status")


def placed(spec: Object, node: str) -> Object:
    """A pod's spec once it has a node."""
    return schemas.in_order("io.k8s.api.core.v1.PodSpec", spec | {"nodeName": node})


def _ends(pod: Object) -> bool:
    """Whether what a pod runs comes to an end by itself: a job's does."""
    owners = pod["metadata"].get("ownerReferences") or []
    return any(owner.get("kind") == "Job" for owner in owners)


def _condition(kind: str, now: str, *, observed: bool = False) -> Object:
    condition: Object = {"type": kind, "status": "True"}
    condition |= {"lastProbeTime": None, "lastTransitionTime": now}
    return condition | ({"observedGeneration": 1} if observed else {})


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
