"""Objects, their versions, and the subscribers to changes.

One revision counter for everything, as in etcd. Stored objects are never changed in place: a
change replaces the whole object, so that readers need no copies. The last changes are kept, for
watches that resume; a client that asks for older ones must list again.
"""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from . import versions
from .identifiers import Identifiers
from .ownership import Writer, recorded
from .resources import Resource
from .status import Object, expired

Key = tuple[str, str]
"""Namespace (empty for cluster scope) and name."""

FIRST_REVISION = 1000
_QUEUE_LIMIT = 4096
"""Events a watcher may lag behind before it is dropped, as the API server drops slow ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one object."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: Resource
    object: Object
    previous: Object | None
    revision: int


class Subscription:
    """The changes of one resource from some revision on; bounded, and closed when it lags."""

    def __init__(self, resource: Resource, since: int) -> None:
        self.resource = resource
        self._since = since
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._closed = False

    def offer(self, change: Change) -> None:
        """Hand over a change; a full queue closes the subscription instead."""
        if self._closed or change.revision <= self._since:
            return
        if self._queue.qsize() >= _QUEUE_LIMIT:
            self.close()
        else:
            self._queue.put_nowait(change)

    def close(self) -> None:
        """No more changes after those already queued."""
        if not self._closed:
            self._closed = True
            self._queue.put_nowait(None)

    async def next(self) -> Change | None:
        """The next change, or None once closed."""
        return await self._queue.get()


class Store:
    """All objects of the demo.

    Args:
        history: how many changes are kept for watches that resume.
        identifiers: make up uids.
    """

    def __init__(self, *, history: int = 2048, identifiers: Identifiers | None = None) -> None:
        self.identifiers = identifiers or Identifiers()
        self.revision = FIRST_REVISION
        self.clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
        self._objects: dict[str, dict[Key, Object]] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self.forgotten = FIRST_REVISION
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> str:
        """The time as objects write it."""
        return timestamp(self.clock())

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        found = self._objects.get(resource.storage, {}).get((namespace, name))
        return None if found is None else versions.present(resource, found)

    def list_at(self, resource: Resource, namespace: str, revision: int) -> list[Object]:
        """What :meth:`list` gave at an earlier revision.

        Raises:
            StatusError: 410 when changes since then are no longer known.
        """
        if revision < self.forgotten:
            raise expired("The resourceVersion for the provided list is too old.")
        rows = {_key(obj): obj for obj in self.list(resource, namespace)}
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            key = _key(change.object)
            if change.resource != resource or (namespace and key[0] != namespace):
                continue
            if change.previous is None:
                rows.pop(key, None)
            else:
                rows[key] = change.previous
        return [rows[key] for key in sorted(rows)]

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a resource, of one namespace if one is named, in key order."""
        rows = self._objects.get(resource.storage, {})
        return [
            versions.present(resource, rows[key])
            for key in sorted(rows)
            if not namespace or key[0] == namespace
        ]

    def restore(self, objects: Mapping[str, Sequence[Object]], revision: int) -> None:
        """Hold these objects, by ``Resource.storage``, as they were at that revision."""
        self._objects = {
            storage: {_key(obj): obj for obj in rows} for storage, rows in objects.items()
        }
        self.revision = self.forgotten = revision

    def create(self, resource: Resource, obj: Object, *, by: str = "") -> Object:
        """Store a new object; ``by`` manages its fields, if it is given."""
        if by:
            obj = recorded(resource, {}, obj, Writer(manager=by, now=self.now()))
        return self._put("ADDED", resource, versions.keep(resource, self.stamp(obj)), None)

    def stamp(self, obj: Object) -> Object:
        """Give a new object its uid and creation time."""
        metadata = {"uid": self.identifiers.uid()} | obj["metadata"]
        metadata["creationTimestamp"] = self.now()
        return obj | {"metadata": metadata}

    def replace(
        self, resource: Resource, obj: Object, *, by: str = "", through: str = ""
    ) -> Object:
        """Store the next version of an object; one without any change keeps its version.

        Args:
            by: manages the fields that change, if it is given.
            through: the subresource that it writes.
        """
        previous = self._objects[resource.storage][_key(obj)]
        kept = versions.keep(resource, obj)
        if _without_version(kept) == _without_version(previous):
            return versions.present(resource, previous)
        if by:
            writer = Writer(manager=by, now=self.now(), subresource=through)
            obj = recorded(resource, versions.present(resource, previous), obj, writer)
            kept = versions.keep(resource, obj)
        return self._put("MODIFIED", resource, kept, previous)

    def remove(self, resource: Resource, obj: Object) -> None:
        """Forget an object."""
        previous = self._objects.get(resource.storage, {}).pop(_key(obj), None)
        if previous is not None:
            self._publish("DELETED", resource, previous, previous)

    def subscribe(self, resource: Resource, since: int | None) -> Subscription:
        """Changes after revision ``since``, or from now on.

        Raises:
            StatusError: 410 when changes since then are no longer known.
        """
        subscription = Subscription(resource, self.revision if since is None else since)
        if since is not None:
            if since < self.forgotten:
                raise expired(f"too old resource version: {since} ({self.forgotten})")
            for change in self._history:
                if change.resource.storage == resource.storage:
                    subscription.offer(change)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop telling of changes."""
        self._subscriptions.discard(subscription)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change."""
        self._listeners.append(listener)

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()

    def _put(
        self,
        kind: Literal["ADDED", "MODIFIED"],
        resource: Resource,
        obj: Object,
        previous: Object | None,
    ) -> Object:
        metadata = obj["metadata"] | {"resourceVersion": str(self.revision + 1)}
        stored: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
        stored |= obj
        stored = stored | {"metadata": {key: metadata[key] for key in sorted(metadata, key=_place)}}
        self._objects.setdefault(resource.storage, {})[_key(stored)] = stored
        self._publish(kind, resource, stored, previous)
        return versions.present(resource, stored)

    def _publish(
        self,
        kind: Literal["ADDED", "MODIFIED", "DELETED"],
        resource: Resource,
        obj: Object,
        previous: Object | None,
    ) -> None:
        self.revision += 1
        if kind == "DELETED":
            obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.revision)}}
        change = Change(
            kind=kind, resource=resource, object=obj, previous=previous, revision=self.revision
        )
        if len(self._history) == self._history.maxlen:
            self.forgotten = self._history[0].revision
        self._history.append(change)
        for subscription in self._subscriptions:
            if subscription.resource.storage == resource.storage:
                subscription.offer(change)
        for listener in self._listeners:
            listener()


def timestamp(moment: dt.datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as ``metav1.Time`` writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_ORDER = (
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation"),
    *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels"),
    *("annotations", "ownerReferences", "finalizers", "managedFields"),
)


def _place(key: str) -> int:
    """Where a field of the metadata stands, as ``ObjectMeta`` has them."""
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _without_version(obj: Object) -> Object:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    return obj | {"metadata": metadata}
