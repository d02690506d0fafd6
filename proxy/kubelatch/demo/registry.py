"""Create, update, patch and delete as the API server means them.

Between the HTTP side and the store: names, versions, generations, finalizers, grace, dry runs.
Everything here is synchronous; a write is seen whole or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from . import addresses, checks, custom, goerrors, quotas, schemas, status
from .admission import complete_pod
from .defaults import admitted_pod, with_defaults
from .ownership import MANAGER, Writer, recorded
from .resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    Catalog,
    Resource,
)
from .status import Object
from .store import Store
from .validation import refuse, validate, validate_name

Admission = Callable[[Object, Object | None], Object]
"""Gives an object as it may be stored, from the new and the stored one; refuses others."""
_PROTECTED = {
    "persistentvolumeclaims": ["kubernetes.io/pvc-protection"],
    "persistentvolumes": ["kubernetes.io/pv-protection"],
}
"""Finalizers that new objects get, by resource."""
_PARTS = {"ephemeralcontainers": ("ephemeralContainers",), "resize": ("containers",)}
"""What of a pod's spec a subresource writes."""
_GVK = 'no kind "{kind}" is registered for version "{version}" in scheme'
_SCHEME = '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a write is carried out: as a dry run or not, admitted by whom, and who manages it."""

    dry_run: bool = False
    admit: Admission | None = None
    writer: Writer | None = None


_PLAINLY = How()


@dataclass(slots=True, kw_only=True)
class ResourceRegistry:
    """The rules of writing, over a store."""

    store: Store
    catalog: Catalog = field(default_factory=Catalog)

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
        how: How = _PLAINLY,
    ) -> Object:
        """Store a new object, with defaults, and as it is admitted.

        Raises:
            StatusError: 400, 403, 404, 409 or 422.
        """
        metadata = self._checked_metadata(resource, namespace, obj)
        if metadata.pop("resourceVersion", ""):
            raise status.plain_error("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{self.store.identifiers.suffix()}"
        for key in ("selfLink", "managedFields", *_SERVER_OWNED):
            metadata.pop(key, None)
        name = str(metadata.get("name") or "")
        if namespace:
            self._require_namespace(resource, namespace, name)
        if not name:
            refuse(resource, {"metadata": metadata}, validate_name(resource, name))
        if "status" in resource.subresources and resource != NODES:
            obj = {key: value for key, value in obj.items() if key != "status"}
        identity = {"kind": resource.kind, "apiVersion": resource.api_version}
        obj = with_defaults(resource, identity | obj | {"metadata": metadata})
        if resource == NAMESPACES:
            labels = metadata.get("labels") or {}
            labels = labels | {"kubernetes.io/metadata.name": name}
            obj["metadata"]["labels"] = labels
        writer = how.writer or Writer(manager=MANAGER, now=self.store.now())
        obj = recorded(resource, {}, obj, writer)
        obj = self._completed(resource, obj)
        validate(resource, obj)
        if resource == SERVICES:
            obj["spec"] = addresses.allocate(self.store, obj)
        if how.admit is not None:
            obj = how.admit(obj, None)
        quotas.check(self.store, resource, obj)
        if self.store.get(resource, namespace, name) is not None:
            raise status.already_exists(resource, name)
        if how.dry_run:
            return self.store.stamp(obj)
        created = self.store.create(resource, obj)
        if resource == CUSTOM_RESOURCE_DEFINITIONS:
            custom.serve(self.store, self.catalog)
        return created

    def bind(self, namespace: str, name: str, node: str, *, dry_run: bool = False) -> None:
        """Place a pod on a node, as a scheduler does.

        Raises:
            StatusError: 404 or 409.
        """
        pod = self.get(PODS, namespace, name)
        if current := pod["spec"].get("nodeName"):
            details = {"name": name, "kind": "pods/binding"}
            why = f'pod {name} is already assigned to node "{current}"'
            message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
            raise status.StatusError(409, "Conflict", message, details)
        if not dry_run:
            spec = schemas.in_order("io.k8s.api.core.v1.PodSpec", pod["spec"] | {"nodeName": node})
            self.store.replace(PODS, pod | {"spec": spec})

    def _completed(self, resource: Resource, obj: Object) -> Object:
        """What a new object gets besides its defaults: addresses, tokens, finalizers."""
        if resource == PODS:
            obj = admitted_pod(complete_pod(self.store, obj))
            quotas.limit(self.store, obj)
        if resource == NAMESPACES:
            obj |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        metadata = obj["metadata"]
        if resource.generations or resource.custom is not None:
            metadata["generation"] = 1
        if finalizers := _PROTECTED.get(resource.qualified):
            metadata["finalizers"] = [*(metadata.get("finalizers") or []), *finalizers]
        if resource == JOBS:
            self._select_pods(obj)
        return obj

    def _select_pods(self, job: Object) -> None:
        """The labels by which a Job finds its pods; its uid is among them."""
        spec, metadata = job["spec"], job["metadata"]
        if spec.get("manualSelector") or spec.get("selector"):
            return
        metadata["uid"] = self.store.identifiers.uid()
        names = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
        labels = {f"batch.kubernetes.io/{key}": value for key, value in names.items()} | names
        key = "batch.kubernetes.io/controller-uid"
        spec["selector"] = {"matchLabels": {key: metadata["uid"]}}
        for owner in (metadata, spec["template"].setdefault("metadata", {})):
            owner["labels"] = (owner.get("labels") or {}) | labels

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        how: How = _PLAINLY,
        *,
        subresource: str = "",
    ) -> Object:
        """Replace an object by ``change`` of its stored version, as it is admitted.

        Raises:
            StatusError: 400, 404, 409 or 422.
        """
        stored = self.get(resource, namespace, name)
        obj = change(stored)
        metadata = self._checked_metadata(resource, namespace, obj)
        old = stored["metadata"]
        _check_preconditions(resource, namespace, name, metadata, old)
        metadata |= {key: old[key] for key in _SERVER_OWNED if key in old}
        obj = obj | {"metadata": metadata}
        if subresource in {"status", "approval"}:
            obj = stored | ({"status": obj["status"]} if "status" in obj else {})
        elif subresource in _PARTS:
            spec = with_defaults(resource, obj)["spec"]
            part = {key: spec[key] for key in _PARTS[subresource] if key in spec}
            obj = stored | {"spec": stored["spec"] | part}
            metadata["generation"] = metadata.get("generation", 0) + int(obj != stored)
            obj["metadata"] = metadata
        else:
            obj = self._updated_spec(resource, stored, obj)
        writer = how.writer or Writer(manager=MANAGER, now=self.store.now())
        if old.get("managedFields"):  # fieldmanager.skipNonAppliedManager
            obj = recorded(resource, stored, obj, writer)
        if subresource == "resize":
            refuse(resource, obj, list(checks.resize(obj["spec"], stored["spec"])))
        validate(resource, obj, None if subresource in _PARTS else stored)
        if resource == SERVICES and not subresource:
            obj["spec"] = addresses.allocate(self.store, obj, stored)
        if how.admit is not None:
            obj = how.admit(obj, stored)
        if how.dry_run:
            version = {"resourceVersion": stored["metadata"]["resourceVersion"]}
            return obj | {"metadata": obj["metadata"] | version}
        if old.get("deletionTimestamp") and not metadata.get("finalizers") and resource != PODS:
            self.store.remove(resource, obj)
            return obj
        replaced = self.store.replace(resource, obj)
        if resource == CUSTOM_RESOURCE_DEFINITIONS:
            custom.serve(self.store, self.catalog)
        return replaced

    def _updated_spec(self, resource: Resource, stored: Object, obj: Object) -> Object:
        obj = with_defaults(resource, obj)
        if resource == SERVICES:
            obj["spec"] = addresses.released(obj["spec"], stored["spec"])
        if "status" in resource.subresources and "status" in stored:
            obj["status"] = stored["status"]
        generation = stored["metadata"].get("generation")
        if generation is not None:
            changed = obj.get("spec") != stored.get("spec")
            obj["metadata"]["generation"] = generation + int(changed)
        return obj

    def check_kind(self, resource: Resource, obj: Object) -> None:
        """Raise StatusError 400 for an object of another kind or version."""
        kind = obj.get("kind") or resource.kind
        version = obj.get("apiVersion") or resource.api_version
        served = {(row.api_version, row.kind) for row in self.catalog}
        unfit = f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
        if (version, kind) == (resource.api_version, resource.kind):
            pass
        elif kind == resource.kind and "/" in version:
            raise status.bad_request(
                f"the API version in the data ({version}) does not match the expected API "
                f"version ({resource.api_version})"
            )
        elif (version, kind) in served:
            types = f"({_go(version)}.{kind}) to ({resource.group or 'core'}.{resource.kind})"
            raise status.bad_request(f"{unfit}converting {types}: unknown conversion")
        else:
            known = _GVK.format(kind=kind, version=version)
            raise status.bad_request(f"{unfit}{known} {_SCHEME}")

    def _checked_metadata(self, resource: Resource, namespace: str, obj: Object) -> Object:
        """A copy of the metadata, once kind and namespace are known to fit the URL."""
        self.check_kind(resource, obj)
        metadata = obj.get("metadata") or {}
        if metadata.get("namespace", namespace) != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        return metadata | ({"namespace": namespace} if namespace else {})

    def _require_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        found = self.get(NAMESPACES, "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise status.not_admitted(
                resource,
                name,
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated",
                [cause],
            )


def _go(api_version: str) -> str:
    """The name of the Go package of a version."""
    return api_version.rpartition("/")[2]


def _check_preconditions(
    resource: Resource, namespace: str, name: str, metadata: Object, old: Object
) -> None:
    """Refuse an update of another object, or of a version that is not stored any more.

    Raises:
        StatusError: 400 or 409.
    """
    if metadata.get("name") != name:
        if not metadata.get("name"):
            raise status.bad_request(
                f"the name of the object ({name} based on URL) was undeterminable: name must "
                "be provided"
            )
        raise status.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({name})"
        )
    version = str(metadata.get("resourceVersion") or old["resourceVersion"])
    if problem := goerrors.number(version, signed=False):
        raise status.plain_error(problem)
    if version != old["resourceVersion"]:
        raise status.conflict(resource, name)
    if metadata.get("uid") not in {None, "", old["uid"]}:
        why = (
            "StorageError: invalid object, Code: 4, Key: /registry/"
            f"{'/'.join(filter(None, (resource.qualified, namespace, name)))}, "
            "ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {metadata['uid']}, "
            f"UID in object meta: {old['uid']}"
        )
        raise status.conflict(resource, name, why)
