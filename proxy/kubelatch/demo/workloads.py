"""Deployments and replica sets: the two controllers that own pods.

A rollout surges fully: the new replica set starts whole, and the last one that is ready goes when
the new one is. Nothing here waits; :class:`.controllers.Controllers` calls again until all is
settled.
"""

import hashlib
import json

from .deletion import delete
from .ownership import MANAGER
from .recorder import Recorder
from .registry import ResourceRegistry
from .resources import DEPLOYMENTS, PODS, REPLICA_SETS, Resource
from .status import Object, StatusError
from .store import Store

_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


class Workloads:
    """Keeps replica sets as deployments want them, and pods as replica sets do."""

    def __init__(self, registry: ResourceRegistry, recorder: Recorder, maker: "PodMaker") -> None:
        self._registry = registry
        self._store: Store = registry.store
        self._recorder = recorder
        self._maker = maker

    def settle(self) -> None:
        """Take one step for every workload."""
        for deployment in self._store.list(DEPLOYMENTS):
            if not deployment["metadata"].get("deletionTimestamp"):
                self._deployment(deployment)
        for replica_set in self._store.list(REPLICA_SETS):
            if not replica_set["metadata"].get("deletionTimestamp"):
                self._replica_set(replica_set)

    def _deployment(self, deployment: Object) -> None:
        spec = deployment["spec"]
        if spec.get("paused"):
            return
        owned = owned_by(self._store, REPLICA_SETS, deployment)
        digest = _digest(spec["template"])
        found = [rs for rs in owned if rs["metadata"]["name"].endswith(f"-{digest}")]
        last = max((_revision(rs) for rs in owned if rs not in found), default=0)
        current = found[0] if found else self._new_replica_set(deployment, digest)
        current = self._promote(deployment, current, last)
        owned = [rs for rs in owned if rs not in found]
        self._scale(deployment, current, spec["replicas"])
        standing = [
            rs
            for rs in (current, *sorted(owned, key=_revision, reverse=True))
            if (rs.get("status") or {}).get("readyReplicas", 0) >= spec["replicas"]
        ]
        for old in owned if standing else ():
            if old is not standing[0]:
                self._scale(deployment, old, 0)
        self._deployment_status(deployment, [*owned, current], current)

    def _new_replica_set(self, deployment: Object, digest: str) -> Object:
        spec, metadata = deployment["spec"], deployment["metadata"]
        template, selector = spec["template"], spec["selector"]
        labels = template["metadata"]["labels"] | {_HASH: digest}
        match_labels = (selector.get("matchLabels") or {}) | {_HASH: digest}
        return self._store.create(
            REPLICA_SETS,
            {
                "metadata": {
                    "name": f"{metadata['name']}-{digest}",
                    "namespace": metadata["namespace"],
                    "labels": labels,
                    "annotations": {"deployment.kubernetes.io/desired-replicas": "0"},
                    "ownerReferences": [owner_reference(DEPLOYMENTS, deployment)],
                    "generation": 1,
                },
                "spec": {
                    "replicas": 0,
                    "selector": selector | {"matchLabels": match_labels},
                    "template": template | {"metadata": template["metadata"] | {"labels": labels}},
                },
                "status": {"replicas": 0},
            },
            by=MANAGER,
        )

    def _promote(self, deployment: Object, current: Object, last: int) -> Object:
        """Give the wanted replica set the highest revision; the deployment carries the same."""
        if _revision(current) > last:
            return current
        for resource, obj in ((DEPLOYMENTS, deployment), (REPLICA_SETS, current)):
            metadata = obj["metadata"]
            annotations = (metadata.get("annotations") or {}) | {_REVISION: str(last + 1)}
            through = "status" if resource == DEPLOYMENTS else ""
            changed = obj | {"metadata": metadata | {"annotations": annotations}}
            current = self._store.replace(resource, changed, by=MANAGER, through=through)
        return current

    def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        before = replica_set["spec"]["replicas"]
        if before == replicas:
            return
        metadata = replica_set["metadata"]
        self._store.replace(
            REPLICA_SETS,
            replica_set
            | {
                "metadata": metadata | {"generation": metadata["generation"] + 1},
                "spec": replica_set["spec"] | {"replicas": replicas},
            },
            by=MANAGER,
        )
        direction = "up" if replicas > before else "down"
        message = f"Scaled {direction} replica set {metadata['name']} from {before} to {replicas}"
        self._recorder.record(
            DEPLOYMENTS, deployment, "ScalingReplicaSet", message, component="deployment-controller"
        )

    def _deployment_status(self, deployment: Object, owned: list[Object], current: Object) -> None:
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        stored = self._store.get(DEPLOYMENTS, namespace, name)
        if stored is None:
            return
        total = sum((rs.get("status") or {}).get("replicas", 0) for rs in owned)
        ready = sum((rs.get("status") or {}).get("readyReplicas", 0) for rs in owned)
        updated = (current.get("status") or {}).get("replicas", 0)
        wanted = stored["spec"]["replicas"]
        status: Object = {"observedGeneration": stored["metadata"]["generation"]}
        counts = {
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, max(wanted, total) - ready),
        }
        status |= {key: count for key, count in counts.items() if count}
        status["terminatingReplicas"] = 0
        available = ready >= wanted
        complete = available and updated == wanted and total == wanted
        old = (stored.get("status") or {}).get("conditions") or []
        set_name = current["metadata"]["name"]
        status["conditions"] = [
            self._condition(
                old,
                "Available",
                available,
                "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
                f"Deployment {'has' if available else 'does not have'} minimum availability.",
            ),
            self._condition(
                old,
                "Progressing",
                True,
                "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated",
                f'ReplicaSet "{set_name}" '
                f"{'has successfully progressed' if complete else 'is progressing'}.",
            ),
        ]
        changed = stored | {"status": status}
        self._store.replace(DEPLOYMENTS, changed, by=MANAGER, through="status")

    def _condition(
        self, old: list[Object], kind: str, held: bool, reason: str, message: str
    ) -> Object:
        """A condition whose times change only when it does."""
        value = "True" if held else "False"
        previous = next((row for row in old if row["type"] == kind), {})
        if previous.get("reason") == reason and previous.get("status") == value:
            return previous
        now = self._store.now()
        moved = previous.get("lastTransitionTime") if previous.get("status") == value else now
        return {
            "type": kind,
            "status": value,
            "lastUpdateTime": now,
            "lastTransitionTime": moved,
            "reason": reason,
            "message": message,
        }

    def _replica_set(self, replica_set: Object) -> None:
        metadata, spec = replica_set["metadata"], replica_set["spec"]
        pods = [pod for pod in owned_by(self._store, PODS, replica_set) if is_active(pod)]
        for _ in range(spec["replicas"] - len(pods)):
            if not self._maker.make(REPLICA_SETS, replica_set):
                break
        pods.sort(key=lambda pod: (is_ready(pod), pod["metadata"]["creationTimestamp"]))
        for pod in pods[: max(0, len(pods) - spec["replicas"])]:
            delete(self._registry, PODS, pod)
        pods = [pod for pod in owned_by(self._store, PODS, replica_set) if is_active(pod)]
        ready = sum(is_ready(pod) for pod in pods)
        status: Object = {"observedGeneration": metadata["generation"], "replicas": len(pods)}
        if pods:
            status["fullyLabeledReplicas"] = len(pods)
        if ready:
            status |= {"readyReplicas": ready, "availableReplicas": ready}
        changed = replica_set | {"status": status}
        self._store.replace(REPLICA_SETS, changed, by=MANAGER, through="status")


class PodMaker:
    """Makes pods from the templates of what owns them, and reports what comes of it."""

    def __init__(self, registry: ResourceRegistry, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder
        self._reported: set[tuple[str, str]] = set()

    def make(
        self, resource: Resource, owner: Object, name: str = "", more: Object | None = None
    ) -> bool:
        """Make a pod with ``more`` in its spec, and say whether that was allowed.

        A refusal is an event of the owner's, once for each reason.
        """
        template, metadata = owner["spec"]["template"], owner["metadata"]
        names: Object = {"name": name} if name else {"generateName": f"{metadata['name']}-"}
        names["ownerReferences"] = [owner_reference(resource, owner)]
        body = {"metadata": (template.get("metadata") or {}) | names}
        body["spec"] = template["spec"] | (more or {})
        reason, kind = "SuccessfulCreate", "Normal"
        try:
            pod = self._registry.create(PODS, metadata["namespace"], body)
            text = f"Created pod: {pod['metadata']['name']}"
        except StatusError as error:
            reason, kind, text = "FailedCreate", "Warning", f"Error creating: {error.message}"
            why = (metadata["uid"], error.message.split(": ", 1)[-1])
            if why in self._reported:
                return False
            self._reported.add(why)
        component = f"{resource.kind.lower()}-controller"
        self._recorder.record(resource, owner, reason, text, component=component, kind=kind)
        return kind == "Normal"


def owned_by(store: Store, resource: Resource, owner: Object) -> list[Object]:
    """The objects of a resource that have that owner."""
    uid = owner["metadata"]["uid"]
    return [
        obj
        for obj in store.list(resource, owner["metadata"]["namespace"])
        if any(ref.get("uid") == uid for ref in obj["metadata"].get("ownerReferences") or [])
    ]


def _digest(template: Object) -> str:
    text = json.dumps(template, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()[:10]


def owner_reference(resource: Resource, owner: Object) -> Object:
    """Names the controller of an object."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _revision(replica_set: Object) -> int:
    text = str((replica_set["metadata"].get("annotations") or {}).get(_REVISION, ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def is_active(pod: Object) -> bool:
    """Whether a pod is not being deleted."""
    return not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Object | None) -> bool:
    """Whether a pod has the condition Ready."""
    conditions = (pod or {"status": {}})["status"].get("conditions") or []
    return any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
