"""Stateful sets, daemon sets and jobs: the controllers that own pods without replica sets."""

from .deletion import delete
from .ownership import MANAGER
from .recorder import Recorder
from .registry import Registry
from .resources import CLAIMS, DAEMON_SETS, JOBS, NODES, PODS, STATEFUL_SETS, Resource
from .status import Object
from .workloads import is_active, is_ready, owned_by, owner_reference

_DONE = frozenset({"Succeeded", "Failed"})


class Sets:
    """Keeps pods as stateful sets, daemon sets and jobs want them."""

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry = registry
        self._store = registry.store
        self._recorder = recorder

    def settle(self) -> None:
        """Take one step for every set and job."""
        for resource, step in (
            (STATEFUL_SETS, self._stateful),
            (DAEMON_SETS, self._daemon),
            (JOBS, self._job),
        ):
            for obj in self._store.list(resource):
                if not obj["metadata"].get("deletionTimestamp"):
                    pods = owned_by(self._store, PODS, obj)
                    counts = step(obj, [pod for pod in pods if is_active(pod)])
                    self._write_status(resource, obj, counts)

    def _write_status(self, resource: Resource, obj: Object, status: Object) -> None:
        if resource != JOBS:
            status["observedGeneration"] = obj["metadata"]["generation"]
        old = obj.get("status") or {}
        if any(old.get(key) != value for key, value in status.items()):
            rows = (old | status).items()
            changed = obj | {"status": {key: value for key, value in rows if value is not None}}
            self._store.replace(resource, changed, by=MANAGER, through="status")

    def _stateful(self, obj: Object, pods: list[Object]) -> Object:
        name, spec = obj["metadata"]["name"], obj["spec"]
        wanted = [f"{name}-{number}" for number in range(spec["replicas"])]
        by_name = {pod["metadata"]["name"]: pod for pod in pods}
        for index, pod_name in enumerate(wanted):
            if pod_name not in by_name:
                labels = {
                    "apps.kubernetes.io/pod-index": str(index),
                    "statefulset.kubernetes.io/pod-name": pod_name,
                }
                more = {"hostname": pod_name, "subdomain": spec.get("serviceName", "")}
                more = {key: value for key, value in more.items() if value}
                more |= self._claims(obj, pod_name)
                self._create(STATEFUL_SETS, obj, {"name": pod_name}, labels, more)
            if not is_ready(by_name.get(pod_name)) and spec["podManagementPolicy"] != "Parallel":
                break
        for pod_name in sorted(by_name.keys() - set(wanted))[-1:]:
            self._remove(STATEFUL_SETS, obj, by_name[pod_name])
        kept = [by_name[pod_name] for pod_name in wanted if pod_name in by_name]
        ready = sum(map(is_ready, kept))
        return {
            "replicas": len(kept),
            "readyReplicas": ready,
            "currentReplicas": len(kept),
            "updatedReplicas": len(kept),
            "availableReplicas": ready,
        }

    def _claims(self, obj: Object, pod_name: str) -> Object:
        """The volumes of a stateful pod; their claims are made, and outlive it."""
        spec, namespace = obj["spec"], obj["metadata"]["namespace"]
        volumes = list(spec["template"]["spec"].get("volumes") or [])
        for template in spec.get("volumeClaimTemplates") or []:
            name = template["metadata"]["name"]
            claim = f"{name}-{pod_name}"
            if self._store.get(CLAIMS, namespace, claim) is None:
                labels = spec["selector"].get("matchLabels") or {}
                metadata = {"name": claim, "labels": labels}
                self._registry.create(CLAIMS, namespace, template | {"metadata": metadata})
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        return {"volumes": volumes} if volumes else {}

    def _daemon(self, obj: Object, pods: list[Object]) -> Object:
        nodes = {node["metadata"]["name"] for node in self._store.list(NODES)}
        placed = {pod["spec"].get("nodeName"): pod for pod in pods}
        for node in sorted(nodes - placed.keys()):
            generate = {"generateName": f"{obj['metadata']['name']}-"}
            self._create(DAEMON_SETS, obj, generate, {}, {"nodeName": node})
        current = len(nodes & placed.keys())
        ready = sum(map(is_ready, pods))
        return {
            "currentNumberScheduled": current,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": len(nodes),
            "numberReady": ready,
            "updatedNumberScheduled": current,
            "numberAvailable": ready or None,
            "numberUnavailable": len(nodes) - ready or None,
        }

    def _job(self, obj: Object, pods: list[Object]) -> Object:
        spec, old = obj["spec"], obj.get("status") or {}
        if old.get("completionTime") or spec.get("suspend"):
            return {}
        succeeded = sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
        failed = sum(pod["status"]["phase"] == "Failed" for pod in pods)
        active = [pod for pod in pods if pod["status"]["phase"] not in _DONE]
        wanted = spec.get("completions") or 1
        missing = min(spec["parallelism"], wanted - succeeded) - len(active)
        for _ in range(max(0, missing) if failed <= spec["backoffLimit"] else 0):
            self._create(JOBS, obj, {"generateName": f"{obj['metadata']['name']}-"}, {}, {})
        now = self._store.now()
        counts = {
            "startTime": old.get("startTime", now),
            "active": len(active) or None,
            "succeeded": succeeded or None,
            "failed": failed or None,
            "terminating": 0,
            "ready": sum(map(is_ready, active)),
            "uncountedTerminatedPods": {},
        }
        if succeeded < wanted:
            return counts
        times = {"lastProbeTime": now, "lastTransitionTime": now}
        text = "Reached expected number of succeeded pods"
        conditions = [
            {"type": kind, "status": "True", **times, "reason": "CompletionsReached"}
            | {"message": text}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        self._tell(JOBS, obj, "Completed", "Job completed")
        return counts | {"conditions": conditions, "completionTime": now, "active": None}

    def _create(
        self, resource: Resource, owner: Object, names: Object, labels: Object, more: Object
    ) -> None:
        template = owner["spec"]["template"]
        metadata = template.get("metadata") or {}
        pod = self._registry.create(
            PODS,
            owner["metadata"]["namespace"],
            {
                "metadata": metadata
                | names
                | {"labels": (metadata.get("labels") or {}) | labels}
                | {"ownerReferences": [owner_reference(resource, owner)]},
                "spec": template["spec"] | more,
            },
        )
        self._tell(resource, owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    def _remove(self, resource: Resource, owner: Object, pod: Object) -> None:
        delete(self._registry, PODS, pod)
        self._tell(resource, owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _tell(self, resource: Resource, owner: Object, reason: str, message: str) -> None:
        component = f"{resource.kind.lower()}-controller"
        self._recorder.record(resource, owner, reason, message, component=component)
