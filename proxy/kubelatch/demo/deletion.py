"""Deletion: at once, after a grace period, or when finalizers are done; and the garbage collector.

What ``propagationPolicy`` asks for is a finalizer, which :func:`collect` carries out (apiserver
``registry/generic/registry/store.go``, kube-controller-manager ``garbagecollector``).
"""

from . import custom, status
from .registry import ResourceRegistry
from .resources import CUSTOM_RESOURCE_DEFINITIONS, JOBS, NAMESPACES, PODS, Resource
from .status import Object
from .store import Store

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_FINALIZERS = {"Orphan": _ORPHAN, "Foreground": _FOREGROUND}
_PROTECTION = frozenset({"kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"})
"""Finalizers of what may be in use, which nothing is here."""
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that the admission plugin NamespaceLifecycle keeps."""


def check(resource: Resource, obj: Object, preconditions: Object) -> None:
    """Raise StatusError 403 or 409 when an object may not be deleted."""
    metadata = obj["metadata"]
    name = metadata["name"]
    if resource == NAMESPACES and name in _IMMORTAL:
        raise status.not_admitted(resource, name, "this namespace may not be deleted")
    for key, label, why in (
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ):
        wanted, actual = preconditions.get(key), metadata[key]
        if wanted not in {None, actual}:
            raise status.StatusError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {resource.kind} "{name}": the {label} in the '
                f"precondition ({wanted}) does not match the {label} in record ({actual}). "
                f"The object might have been {why}",
                {"name": name}
                | ({"group": resource.group} if resource.group else {})
                | {"kind": resource.kind},
            )


def delete(
    registry: ResourceRegistry,
    resource: Resource,
    obj: Object,
    *,
    grace: int | None = None,
    policy: str | None = None,
    dry_run: bool = False,
) -> tuple[Object, bool]:
    """Delete an object, or mark it for those that finish the work.

    Args:
        grace: seconds; only pods have any.
        policy: what becomes of its dependents; ``Background`` unless the kind has another.

    Returns:
        the object as it is then, and whether it is gone.
    """
    store, metadata = registry.store, obj["metadata"]
    if resource == CUSTOM_RESOURCE_DEFINITIONS and custom.FINALIZER in (
        metadata.get("finalizers") or ()
    ):
        return _delete_definition(store, obj, dry_run=dry_run), False
    if policy is None and resource == JOBS:
        policy = "Orphan"
    finalizers = [f for f in metadata.get("finalizers") or [] if f not in _FINALIZERS.values()]
    if policy in _FINALIZERS:
        finalizers.append(_FINALIZERS[policy])
    elif policy is None:
        finalizers = metadata.get("finalizers") or []
    marks: Object = {}
    if resource == PODS:
        seconds = _pod_grace(obj, grace)
        marks["deletionGracePeriodSeconds"] = seconds
        gone = not seconds and not finalizers
    elif resource == NAMESPACES:
        gone = False
    else:
        marks["deletionGracePeriodSeconds"] = 0
        gone = not set(finalizers) - _PROTECTION
    if gone and resource != PODS:
        if not dry_run:
            store.remove(resource, obj)
        return obj, True
    marked = _marked(store, obj, marks, finalizers)
    if resource == NAMESPACES:
        marked |= {"status": {"phase": "Terminating"}}
    if dry_run:
        return marked, gone
    if gone:
        store.remove(resource, obj)
        return marked, True
    return store.replace(resource, marked), False


def _delete_definition(store: Store, obj: Object, *, dry_run: bool) -> Object:
    """Mark a definition; :func:`collect` deletes its objects first."""
    now = store.now()
    message = (
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    )
    terminating = custom.condition(now, "Terminating", "InstanceDeletionPending", message)
    conditions = [row for row in obj["status"]["conditions"] if row["type"] != "Terminating"]
    metadata = {"deletionTimestamp": now} | obj["metadata"]
    marked = obj | {
        "metadata": metadata,
        "status": obj["status"] | {"conditions": [*conditions, terminating]},
    }
    return marked if dry_run else store.replace(CUSTOM_RESOURCE_DEFINITIONS, marked)


def _finish_definitions(registry: ResourceRegistry) -> None:
    """Delete the objects of definitions that are being deleted, then those."""
    for definition in registry.store.list(CUSTOM_RESOURCE_DEFINITIONS):
        finalizers = definition["metadata"].get("finalizers") or []
        if not definition["metadata"].get("deletionTimestamp") or (
            custom.FINALIZER not in finalizers
        ):
            continue
        left = [
            (row, obj)
            for row in custom.resources(definition)[:1]
            for obj in registry.store.list(row)
        ]
        for row, obj in left:
            if not obj["metadata"].get("deletionTimestamp"):
                delete(registry, row, obj, policy="Background")
        if not left:
            _finalize(registry.store, CUSTOM_RESOURCE_DEFINITIONS, definition, custom.FINALIZER)
            custom.serve(registry.store, registry.catalog)


def _marked(store: Store, obj: Object, marks: Object, finalizers: list[str]) -> Object:
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp"):
        marks = marks | {"deletionTimestamp": store.now()}
        if "generation" in metadata:
            marks["generation"] = metadata["generation"] + 1
    elif marks.get("deletionGracePeriodSeconds", 0) > metadata["deletionGracePeriodSeconds"]:
        marks = {}
    if finalizers != (metadata.get("finalizers") or []):
        marks = marks | {"finalizers": finalizers}
    return obj | {"metadata": metadata | marks}


def _pod_grace(pod: Object, grace: int | None) -> int:
    """Seconds until a pod is gone: none for one that does not run (``pod/strategy.go``)."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in {"Succeeded", "Failed"}:
        return 0
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
    return 1 if grace < 0 else int(grace)


def collect(registry: ResourceRegistry) -> None:
    """The garbage collector: one step for everything that has, or had, an owner."""
    store = registry.store
    _finish_definitions(registry)
    objects = [(row, obj) for row in registry.catalog.stored() for obj in store.list(row)]
    alive = {obj["metadata"]["uid"] for _, obj in objects}
    dependents: dict[str, list[tuple[Resource, Object]]] = {}
    for resource, obj in objects:
        owners = obj["metadata"].get("ownerReferences") or []
        for owner in owners:
            dependents.setdefault(owner.get("uid", ""), []).append((resource, obj))
        orphaned = owners and not any(owner.get("uid") in alive for owner in owners)
        if orphaned and not obj["metadata"].get("deletionTimestamp"):
            delete(registry, resource, obj, policy="Background")
    for resource, obj in objects:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        owned = dependents.get(metadata["uid"], [])
        if not metadata.get("deletionTimestamp"):
            continue
        if _ORPHAN in finalizers:
            for row, dependent in owned:
                _disown(store, row, dependent, metadata["uid"])
            _finalize(store, resource, obj, _ORPHAN)
        elif _FOREGROUND in finalizers:
            for row, dependent in owned:
                if not dependent["metadata"].get("deletionTimestamp"):
                    delete(registry, row, dependent, policy="Foreground")
            if not owned:
                _finalize(store, resource, obj, _FOREGROUND)


def _disown(store: Store, resource: Resource, obj: Object, uid: str) -> None:
    """Let an object live on without that owner."""
    owners = [row for row in obj["metadata"]["ownerReferences"] if row.get("uid") != uid]
    metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
    metadata |= {"ownerReferences": owners} if owners else {}
    store.replace(resource, obj | {"metadata": metadata})


def _finalize(store: Store, resource: Resource, obj: Object, finalizer: str) -> None:
    current = store.get(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    if current is None:
        return
    metadata = dict(current["metadata"])
    left = [row for row in metadata.pop("finalizers", []) if row != finalizer]
    if left:
        store.replace(resource, current | {"metadata": metadata | {"finalizers": left}})
    elif resource != PODS:
        store.remove(resource, current)
    else:
        store.replace(resource, current | {"metadata": metadata})
