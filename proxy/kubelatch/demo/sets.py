"""Stateful sets, daemon sets and jobs: the controllers that own pods without replica sets."""

from .deletion import delete
from .ownership import MANAGER
from .registry import ResourceRegistry
from .resources import CLAIMS, DAEMON_SETS, JOBS, NODES, PODS, STATEFUL_SETS
from .status import Object
from .workloads import PodMaker, is_active, is_ready, owned_by

_ENDED = frozenset({"Succeeded", "Failed"})


class Sets:
    """Makes the pods that these want; a new template is for new pods only."""

    def __init__(self, registry: ResourceRegistry, maker: PodMaker) -> None:
        self._registry = registry
        self._store = registry.store
        self._maker = maker

    def settle(self) -> None:
        """Take one step for every set and job."""
        steps = ((STATEFUL_SETS, self._stateful), (DAEMON_SETS, self._daemon), (JOBS, self._job))
        for resource, step in steps:
            for obj in self._store.list(resource):
                if not obj["metadata"].get("deletionTimestamp"):
                    pods = filter(is_active, owned_by(self._store, PODS, obj))
                    status = (obj.get("status") or {}) | step(obj, list(pods))
                    status = {key: value for key, value in status.items() if value is not None}
                    changed = obj | {"status": status}
                    self._store.replace(resource, changed, by=MANAGER, through="status")

    def _stateful(self, obj: Object, pods: list[Object]) -> Object:
        name, namespace, spec = obj["metadata"]["name"], obj["metadata"]["namespace"], obj["spec"]
        ready = sum(map(is_ready, pods))
        names = [f"{name}-{index}" for index in range(spec["replicas"])]
        missing = (row for row in names if self._store.get(PODS, namespace, row) is None)
        if ready == len(pods) and (pod_name := next(missing, None)):
            self._maker.make(STATEFUL_SETS, obj, pod_name, self._claimed(obj, pod_name))
        for pod in [pod for pod in pods if pod["metadata"]["name"] not in names][-1:]:
            delete(self._registry, PODS, pod)
        counts = ("replicas", "currentReplicas", "updatedReplicas")
        done = {"readyReplicas": ready, "availableReplicas": ready}
        generation = {"observedGeneration": obj["metadata"]["generation"]}
        return dict.fromkeys(counts, len(pods)) | done | generation

    def _daemon(self, obj: Object, pods: list[Object]) -> Object:
        nodes = {node["metadata"]["name"] for node in self._store.list(NODES)}
        for node in sorted(nodes - {pod["spec"].get("nodeName") for pod in pods}):
            self._maker.make(DAEMON_SETS, obj, more={"nodeName": node})
        ready = sum(map(is_ready, pods))
        scheduled = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled")
        return dict.fromkeys(scheduled, len(nodes)) | {
            "numberMisscheduled": 0,
            "numberReady": ready,
            "numberAvailable": ready or None,
            "observedGeneration": obj["metadata"]["generation"],
        }

    def _job(self, obj: Object, pods: list[Object]) -> Object:
        spec, now = obj["spec"], self._store.now()
        started = (obj.get("status") or {}).get("startTime", now)
        if (obj.get("status") or {}).get("completionTime") or spec.get("suspend"):
            return {}
        succeeded = sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
        active = sum(pod["status"]["phase"] not in _ENDED for pod in pods)
        wanted = spec.get("completions") or 1
        failed = len(pods) - succeeded - active
        for _ in range(min(spec["parallelism"], wanted - succeeded) - active):
            if failed <= spec["backoffLimit"]:
                self._maker.make(JOBS, obj)
        counts: Object = {"startTime": started, "active": active or None, "failed": failed or None}
        counts |= {"succeeded": succeeded or None, "terminating": 0, "ready": 0}
        counts["uncountedTerminatedPods"] = {}
        if succeeded < wanted:
            return counts
        end = {"status": "True", "lastProbeTime": now, "lastTransitionTime": now}
        end |= {"reason": "CompletionsReached"}
        end |= {"message": "Reached expected number of succeeded pods"}
        conditions = [{"type": kind} | end for kind in ("SuccessCriteriaMet", "Complete")]
        return counts | {"conditions": conditions, "completionTime": now}

    def _claimed(self, obj: Object, pod_name: str) -> Object:
        """The volumes of a stateful set's pod, once the claims that they are of are there."""
        namespace, spec = obj["metadata"]["namespace"], obj["spec"]
        volumes = list(spec["template"]["spec"].get("volumes") or [])
        for template in spec.get("volumeClaimTemplates") or []:
            metadata = template.get("metadata") or {}
            claim = f"{metadata.get('name')}-{pod_name}"
            if self._store.get(CLAIMS, namespace, claim) is None:
                body = {"metadata": metadata | {"name": claim}, "spec": template["spec"]}
                self._registry.create(CLAIMS, namespace, body)
            source = {"persistentVolumeClaim": {"claimName": claim}}
            volumes.append({"name": metadata.get("name")} | source)
        return {"volumes": volumes} if volumes else {}
