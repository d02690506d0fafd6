"""Stateful sets, daemon sets and jobs: the controllers that own pods without replica sets."""

from .ownership import MANAGER
from .recorder import Recorder
from .registry import ResourceRegistry
from .resources import DAEMON_SETS, JOBS, NODES, PODS, STATEFUL_SETS, Resource
from .status import Object
from .workloads import is_active, is_ready, owned_by, owner_reference

_ENDED = frozenset({"Succeeded", "Failed"})


class Sets:
    """Makes the pods that these want; scaling down is left to deployments."""

    def __init__(self, registry: ResourceRegistry, recorder: Recorder) -> None:
        self._registry = registry
        self._store = registry.store
        self._recorder = recorder

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
        name, spec = obj["metadata"]["name"], obj["spec"]
        ready = sum(map(is_ready, pods))
        if ready == len(pods) < spec["replicas"]:
            self._create(STATEFUL_SETS, obj, {"name": f"{name}-{len(pods)}"}, {})
        counts = ("replicas", "currentReplicas", "updatedReplicas")
        done = {"readyReplicas": ready, "availableReplicas": ready}
        generation = {"observedGeneration": obj["metadata"]["generation"]}
        return dict.fromkeys(counts, len(pods)) | done | generation

    def _daemon(self, obj: Object, pods: list[Object]) -> Object:
        nodes = {node["metadata"]["name"] for node in self._store.list(NODES)}
        for node in sorted(nodes - {pod["spec"].get("nodeName") for pod in pods}):
            generate = {"generateName": f"{obj['metadata']['name']}-"}
            self._create(DAEMON_SETS, obj, generate, {"nodeName": node})
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
                self._create(JOBS, obj, {"generateName": f"{obj['metadata']['name']}-"}, {})
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

    def _create(self, resource: Resource, owner: Object, names: Object, more: Object) -> None:
        template = owner["spec"]["template"]
        metadata = (template.get("metadata") or {}) | names
        metadata |= {"ownerReferences": [owner_reference(resource, owner)]}
        body = {"metadata": metadata, "spec": template["spec"] | more}
        pod = self._registry.create(PODS, owner["metadata"]["namespace"], body)
        text = f"Created pod: {pod['metadata']['name']}"
        component = f"{resource.kind.lower()}-controller"
        self._recorder.record(resource, owner, "SuccessfulCreate", text, component=component)
