"""Persistent volumes and their claims: who is bound to whom, and who may go.

Nothing is provisioned: a claim without a fitting volume stays pending.
"""

from . import quantities
from .ownership import MANAGER
from .resources import CLAIMS, PERSISTENT_VOLUMES, PODS, Resource
from .status import Object
from .store import Store

_PROTECTION = {"kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"}


def settle(store: Store) -> None:
    """Take one step for every volume and claim (kube-controller-manager ``persistentvolume``)."""
    claims = store.list(CLAIMS)
    uids = {claim["metadata"]["uid"] for claim in claims}
    for volume in store.list(PERSISTENT_VOLUMES):
        holder = (volume["spec"].get("claimRef") or {}).get("uid")
        if holder in uids:
            _phase(store, PERSISTENT_VOLUMES, volume, "Bound")
        elif holder:
            _phase(store, PERSISTENT_VOLUMES, volume, "Released")
        elif volume["status"].get("phase") != "Available":
            _phase(store, PERSISTENT_VOLUMES, volume, "Available")
    for claim in claims:
        if not claim["metadata"].get("deletionTimestamp"):
            _bind(store, claim)
        elif not _in_use(store, claim) and _is_free(claim):
            store.remove(CLAIMS, claim)
    for volume in store.list(PERSISTENT_VOLUMES):
        bound = volume["status"].get("phase") == "Bound"
        if volume["metadata"].get("deletionTimestamp") and not bound and _is_free(volume):
            store.remove(PERSISTENT_VOLUMES, volume)


def _bind(store: Store, claim: Object) -> None:
    spec, metadata = claim["spec"], claim["metadata"]
    if claim["status"].get("phase") == "Bound":
        return
    fitting = [volume for volume in store.list(PERSISTENT_VOLUMES) if _fits(volume, spec)]
    if not fitting:
        return
    volume = min(fitting, key=lambda row: quantities.parse(row["spec"]["capacity"]["storage"]))
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
    reference |= {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")}
    volume_spec = volume["spec"] | {"claimRef": reference}
    bound = volume | {"spec": volume_spec, "status": {"phase": "Bound"}}
    store.replace(PERSISTENT_VOLUMES, bound, by=MANAGER)
    status = {
        "phase": "Bound",
        "accessModes": volume["spec"]["accessModes"],
        "capacity": volume["spec"]["capacity"],
    }
    claimed = claim | {"spec": spec | {"volumeName": volume["metadata"]["name"]}}
    store.replace(CLAIMS, claimed | {"status": status}, by=MANAGER, through="status")


def _fits(volume: Object, wanted: Object) -> bool:
    spec = volume["spec"]
    if spec.get("claimRef") or volume["status"].get("phase") != "Available":
        return False
    if wanted.get("volumeName") not in {None, "", volume["metadata"]["name"]}:
        return False
    size = quantities.parse(spec["capacity"].get("storage", "0"))
    return (
        spec.get("storageClassName", "") == wanted.get("storageClassName", "")
        and set(wanted["accessModes"]) <= set(spec["accessModes"])
        and size >= quantities.parse(wanted["resources"]["requests"]["storage"])
    )


def _in_use(store: Store, claim: Object) -> bool:
    name = claim["metadata"]["name"]
    return any(
        (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
        for pod in store.list(PODS, claim["metadata"]["namespace"])
        for volume in pod["spec"].get("volumes") or []
    )


def _is_free(obj: Object) -> bool:
    """Whether nothing but the protection of what is in use keeps an object."""
    return set(obj["metadata"].get("finalizers") or []) <= _PROTECTION


def _phase(store: Store, resource: Resource, obj: Object, phase: str) -> None:
    store.replace(resource, obj | {"status": obj["status"] | {"phase": phase}})
