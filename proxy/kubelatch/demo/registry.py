"""Create, update, patch and delete as the API server means them.

Between the HTTP side and the store: names, versions, generations, finalizers, grace, dry runs.
Everything here is synchronous; a write is seen whole or not at all.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import status
from .admission import complete_pod
from .defaults import validate, validate_name, with_defaults
from .resources import (
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Catalog,
    Resource,
)
from .status import Object
from .store import Store

Admission = Callable[[Object, Object | None], Object]
"""Gives an object as it may be stored, from the new and the stored one; refuses others."""
_CONTROLLED = frozenset({PODS, SERVICES, DEPLOYMENTS, REPLICA_SETS})
"""Resources whose status is only ever written by controllers: what a client creates has none."""
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(slots=True, kw_only=True)
class Registry:
    """The rules of writing, over a store."""

    store: Store
    catalog: Catalog = field(default_factory=Catalog)
    _addresses: Any = field(default_factory=lambda: itertools.count(10))

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            StatusError: 404.
        """
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise status.not_found(resource, name)
        return found

    def create(
        self,
        resource: Resource,
        namespace: str,
        obj: Object,
        *,
        dry_run: bool = False,
        admit: Admission | None = None,
    ) -> Object:
        """Store a new object, with defaults, and as ``admit`` leaves it.

        Raises:
            StatusError: 400, 403, 404, 409 or 422.
        """
        metadata = self._checked_metadata(resource, namespace, obj)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{self.store.identifiers.suffix()}"
        for key in ("resourceVersion", "selfLink", *_SERVER_OWNED):
            metadata.pop(key, None)
        validate_name(resource, metadata.get("name", ""))
        if namespace:
            self._require_namespace(resource, namespace)
        if resource in _CONTROLLED:
            obj = {key: value for key, value in obj.items() if key != "status"}
        obj = _prepared(resource, obj | {"metadata": metadata})
        name = metadata["name"]
        if self.store.get(resource, namespace, name) is not None:
            raise status.already_exists(resource, name)
        if resource == PODS:
            obj = complete_pod(self.store, obj)
        if admit is not None:
            obj = admit(obj, None)
        if "spec" in obj and resource not in {SERVICES, NAMESPACES}:
            obj["metadata"]["generation"] = 1
        if resource == SERVICES and obj["spec"].get("type") != "ExternalName":
            address = obj["spec"].setdefault("clusterIP", self._cluster_ip())
            obj["spec"].setdefault("clusterIPs", [address])
        if resource == NAMESPACES:
            self._new_namespace(obj)
        return self.store.stamp(obj) if dry_run else self.store.create(resource, obj)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        *,
        subresource: str = "",
        dry_run: bool = False,
        admit: Admission | None = None,
    ) -> Object:
        """Replace an object by ``change`` of its stored version, as ``admit`` leaves it.

        Raises:
            StatusError: 400, 404, 409 or 422.
        """
        stored = self.get(resource, namespace, name)
        obj = change(stored)
        metadata = self._checked_metadata(resource, namespace, obj)
        if metadata.get("name") != name:
            raise status.bad_request(
                f"the name of the object ({metadata.get('name')}) does not match the name on "
                f"the URL ({name})"
            )
        old = stored["metadata"]
        if metadata.get("resourceVersion") not in {None, "", old["resourceVersion"]}:
            raise status.conflict(resource, name)
        if metadata.get("uid") not in {None, "", old["uid"]}:
            why = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {old['uid']}"
            )
            raise status.conflict(resource, name, why)
        metadata |= {key: old[key] for key in _SERVER_OWNED if key in old}
        obj = obj | {"metadata": metadata}
        if subresource in {"status", "approval"}:
            obj = stored | {"status": obj.get("status", {})}
        else:
            obj = self._updated_spec(resource, stored, obj)
        if admit is not None:
            obj = admit(obj, stored)
        if dry_run:
            return _preview(obj, stored)
        if old.get("deletionTimestamp") and not metadata.get("finalizers") and resource != PODS:
            self.store.remove(resource, obj)
            return obj
        return self.store.replace(resource, obj)

    def delete(
        self, resource: Resource, obj: Object, *, grace: int | None = None, dry_run: bool = False
    ) -> Object:
        """Delete at once, or mark for those that finish the work (finalizers, kubelet)."""
        if dry_run:
            return obj
        metadata = obj["metadata"]
        waits = resource in {PODS, NAMESPACES} and grace != 0
        if resource == NAMESPACES:
            waits = True
        if not waits and not metadata.get("finalizers"):
            self.store.remove(resource, obj)
            return obj
        if metadata.get("deletionTimestamp"):
            return obj
        marks = {"deletionTimestamp": self.store.now(), "deletionGracePeriodSeconds": 0}
        if resource == PODS:
            default = obj["spec"].get("terminationGracePeriodSeconds", 30)
            marks["deletionGracePeriodSeconds"] = default if grace is None else grace
        marked = obj | {"metadata": metadata | marks}
        if resource == NAMESPACES:
            marked |= {"status": {"phase": "Terminating"}}
        return self.store.replace(resource, marked)

    def orphan(self, owner: Object) -> None:
        """Let what ``owner`` owns live on without it."""
        uid = owner["metadata"]["uid"]
        for resource in self.catalog.stored():
            for obj in self.store.list(resource):
                owners = obj["metadata"].get("ownerReferences") or []
                kept = [reference for reference in owners if reference.get("uid") != uid]
                if len(kept) != len(owners):
                    metadata = obj["metadata"] | {"ownerReferences": kept}
                    self.store.replace(resource, obj | {"metadata": metadata})

    def _updated_spec(self, resource: Resource, stored: Object, obj: Object) -> Object:
        obj = _prepared(resource, obj)
        if "status" in resource.subresources and "status" in stored:
            obj["status"] = stored["status"]
        if resource == SERVICES:
            for key in ("clusterIP", "clusterIPs"):
                if key in stored["spec"]:
                    obj["spec"].setdefault(key, stored["spec"][key])
        generation = stored["metadata"].get("generation")
        if generation is not None:
            changed = obj.get("spec") != stored.get("spec")
            obj["metadata"]["generation"] = generation + int(changed)
        return obj

    def _checked_metadata(self, resource: Resource, namespace: str, obj: Object) -> Object:
        """A copy of the metadata, once kind and namespace are known to fit the URL."""
        kind, version = obj.get("kind", resource.kind), obj.get("apiVersion", resource.api_version)
        if version != resource.api_version:
            raise status.bad_request(
                f"the API version in the data ({version}) does not match the expected API "
                f"version ({resource.api_version})"
            )
        if kind != resource.kind:
            raise status.bad_request(
                f'{kind} in version "{version}" cannot be handled as a {resource.kind}'
            )
        metadata = obj.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise status.bad_request("metadata is not an object")
        if metadata.get("namespace", namespace) != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        return metadata | ({"namespace": namespace} if namespace else {})

    def _require_namespace(self, resource: Resource, namespace: str) -> None:
        found = self.get(NAMESPACES, "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            raise status.forbidden(
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated",
                {"kind": resource.plural},
            )

    def _new_namespace(self, obj: Object) -> None:
        metadata = obj["metadata"]
        labels = metadata.get("labels") or {}
        metadata["labels"] = labels | {"kubernetes.io/metadata.name": metadata["name"]}
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def _cluster_ip(self) -> str:
        high, low = divmod(next(self._addresses), 250)
        return f"10.96.{high}.{low + 1}"


def _preview(obj: Object, stored: Object) -> Object:
    """What an update would have stored, for a dry run."""
    version = {"resourceVersion": stored["metadata"]["resourceVersion"]}
    return obj | {"metadata": obj["metadata"] | version}


def _prepared(resource: Resource, obj: Object) -> Object:
    """The object with its defaults, if it has the shape of its kind.

    Raises:
        StatusError: 400 or 422.
    """
    for key in ("spec", "status"):
        if not isinstance(obj.get(key) or {}, dict):
            raise status.bad_request(f"{resource.kind}.{key} is not an object")
    try:
        obj = with_defaults(resource, obj)
        validate(resource, obj)
    except (AttributeError, KeyError, TypeError) as error:
        message = f"the object does not have the shape of a {resource.kind}: {error}"
        raise status.bad_request(message) from error
    return obj
