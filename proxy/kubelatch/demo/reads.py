"""Get, list and watch."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from aiohttp import web

from . import status, tables, versions
from .calls import Call, json_response, response_headers
from .goerrors import json_syntax
from .negotiation import JSON, PROTOBUF, YAML, Format, negotiate
from .options import list_options
from .resources import Resource
from .selectors import Predicate, field_predicate, label_predicate
from .status import Object, StatusError
from .store import Change, Store, Subscription

_BOOKMARK_INTERVAL = 60.0
_WATCH_TIMEOUT = 1800.0
"""Seconds; the API server's ``--min-request-timeout``."""
_BAD_CONTINUE = "invalid continue token: continue key is not valid"
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def get_response(call: Call, obj: Object, code: int = 200) -> web.Response:
    """One object in the form that the client prefers."""
    form = call.format
    return json_response(call.request, _Shaper(call, form).one(obj), code, form=form)


def list_response(store: Store, call: Call) -> web.Response:
    """A list: selected, in pages if asked for, in the form that the client prefers."""
    resource, form = call.kind, call.format
    options = list_options(call.target, store.revision)
    revision, start = store.revision, None
    if options.following:
        revision, start = _read_continue(options.following, store)
    elif options.exact:
        revision = options.version
    selects = _selection(call)
    selected = [o for o in store.list_at(resource, call.namespace, revision) if selects(o)]
    if start is not None:
        selected = [obj for obj in selected if _sort_key(obj) >= start]
    metadata: Object = {"resourceVersion": str(revision)}
    limit = options.limit
    if 0 < limit < len(selected):
        metadata["continue"] = _write_continue(revision, selected[limit])
        if not (call.target.option("labelSelector") or call.target.option("fieldSelector")):
            metadata["remainingItemCount"] = len(selected) - limit
        selected = selected[:limit]
    shaped = _Shaper(call, form).many(selected, metadata)
    return json_response(call.request, shaped, form=form)


def collection(store: Store, call: Call) -> list[Object]:
    """What a deletecollection is about."""
    list_options(call.target, store.revision)
    selects = _selection(call)
    return [obj for obj in store.list(call.kind, call.namespace) if selects(obj)]


def plain_list(resource: Resource, objects: list[Object], metadata: Object) -> Object:
    """A ``PodList`` or the like; its items do not repeat the kind."""
    hidden = {"kind", "apiVersion"}
    items = [{k: v for k, v in obj.items() if k not in hidden} for obj in objects]
    return {
        "kind": resource.list_kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "items": items,
    }


async def watch(store: Store, call: Call) -> web.StreamResponse:
    """A watch: one JSON event a line, until the time is up or the client leaves."""
    resource = call.kind
    selects = _selection(call)
    encoder = _EventEncoder(call)
    response = web.StreamResponse(headers=response_headers(call.request) | {"Content-Type": JSON})
    response.enable_chunked_encoding()
    options = list_options(call.target, store.revision)
    since = options.version
    initial = not since or options.initial_events
    try:
        subscription = store.subscribe(resource, None if initial else since)
    except StatusError as error:
        await response.prepare(call.request)
        await response.write(encoder.line("ERROR", error.body()))
        return response
    try:
        first = store.list(resource, call.namespace) if initial else []
        await response.prepare(call.request)
        for obj in filter(selects, first):
            await response.write(encoder.event("ADDED", obj))
        if options.initial_events and call.target.flag("allowWatchBookmarks"):
            revision = str(max(since, store.revision))
            await response.write(encoder.bookmark(revision, {_INITIAL_EVENTS_END: "true"}))
        end = asyncio.get_running_loop().time() + (options.timeout or _WATCH_TIMEOUT)
        async for line in _follow(store, call, subscription, selects, encoder, end):
            await response.write(line)
    finally:
        store.unsubscribe(subscription)
    return response


async def _follow(
    store: Store,
    call: Call,
    subscription: Subscription,
    selects: Predicate,
    encoder: "_EventEncoder",
    end: float,
) -> AsyncIterator[bytes]:
    """Lines of what happens; bookmarks in between, if the client wants them."""
    loop = asyncio.get_running_loop()
    bookmarks = call.target.flag("allowWatchBookmarks")
    while True:
        now = loop.time()
        if now >= end:
            return
        try:
            async with asyncio.timeout_at(min(end, now + _BOOKMARK_INTERVAL)):
                change = await subscription.next()
        except TimeoutError:
            if bookmarks and loop.time() < end:
                yield encoder.bookmark(str(store.revision), {})
            continue
        if change is None:
            return
        if (event := _event(change, call.namespace, selects)) is not None:
            kind, obj = event
            yield encoder.event(kind, versions.present(call.kind, obj))


def _event(change: Change, namespace: str, selects: Predicate) -> tuple[str, Object] | None:
    """What a change means to a watcher who sees a selection only."""
    if namespace and change.object["metadata"].get("namespace") != namespace:
        return None
    before = change.previous is not None and selects(change.previous)
    after = change.kind != "DELETED" and selects(change.object)
    if not before and not after:
        return None
    if after:
        return ("MODIFIED" if before else "ADDED"), change.object
    left = change.previous or change.object
    version = {"resourceVersion": change.object["metadata"]["resourceVersion"]}
    return "DELETED", left | {"metadata": left["metadata"] | version}


class _Shaper:
    """Brings objects into the transformation that a client asked for."""

    def __init__(self, call: Call, form: Format) -> None:
        self._resource = call.kind
        self._what = form.transformation
        self._meta = f"meta.k8s.io/{form.version}"
        self._include = call.target.option("includeObject") or "Metadata"
        if self._what == "Table" and self._include not in {"None", "Metadata", "Object"}:
            raise status.bad_request(
                "Unable to convert to Table as requested: includeObject: Invalid value: "
                f"\"{self._include}\": must be 'Metadata', 'Object', 'None', or empty"
            )

    def one(self, obj: Object, *, headers: bool = True) -> Object:
        """One object."""
        if self._what == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self.table([self._row(obj)], metadata, headers=headers)
        if self._what == "PartialObjectMetadataList":
            raise self._unfit("is not a list", self._resource.kind)
        return tables.partial(obj, self._meta) if self._what else obj

    def many(self, objects: list[Object], metadata: Object) -> Object:
        """A list of objects."""
        if self._what == "Table":
            return self.table([self._row(obj) for obj in objects], metadata)
        if self._what == "PartialObjectMetadata":
            raise self._unfit("is a list", f"{self._resource.kind}List")
        if not self._what:
            return plain_list(self._resource, objects, metadata)
        items = [tables.partial(obj, self._meta) for obj in objects]
        head = {"kind": self._what, "apiVersion": self._meta, "metadata": metadata}
        return head | {"items": items}

    def table(self, rows: list[Object], metadata: Object, *, headers: bool = True) -> Object:
        """A Table of these rows."""
        return tables.table(self._resource, rows, metadata, self._meta, headers=headers)

    def _row(self, obj: Object) -> Object:
        return tables.row(self._resource, obj, self._include, self._meta)

    def _unfit(self, why: str, kind: str) -> StatusError:
        group = self._resource.group.partition(".")[0] or "core"
        return StatusError(
            406,
            "NotAcceptable",
            f"you requested {self._what}, but the requested object {why} (*{group}.{kind})",
        )


class _EventEncoder:
    """Writes watch events in the form that the client prefers."""

    def __init__(self, call: Call) -> None:
        form = call.format
        if form.media_type == PROTOBUF:
            form = negotiate(call.request, served=(JSON, YAML))
        if form.media_type != JSON:
            raise status.not_acceptable(f"{JSON};stream=watch, {PROTOBUF};stream=watch")
        self._resource = call.kind
        self._table = form.transformation == "Table"
        if form.transformation == "PartialObjectMetadataList":
            form = replace(form, transformation="PartialObjectMetadata")
        self._shaper = _Shaper(call, form)
        self._headers = True

    def event(self, kind: str, obj: Object) -> bytes:
        headers, self._headers = self._headers, False
        return self.line(kind, self._shaper.one(obj, headers=headers))

    def bookmark(self, revision: str, annotations: Object) -> bytes:
        metadata: Object = {"resourceVersion": revision}
        if annotations:
            metadata["annotations"] = annotations
        bare: Object = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
        bare["metadata"] = metadata
        if self._table:
            rows = [{"cells": [], "object": bare}] if annotations else []
            return self.line("BOOKMARK", self._shaper.table(rows, metadata, headers=False))
        return self.line("BOOKMARK", bare)

    def line(self, kind: str, obj: Object) -> bytes:
        return Format().encode({"type": kind, "object": obj})


def _selection(call: Call) -> Predicate:
    labels = label_predicate(call.target.option("labelSelector"))
    fields = field_predicate(call.target.option("fieldSelector"), call.kind)
    name = call.target.name
    return lambda obj: labels(obj) and fields(obj) and (not name or obj["metadata"]["name"] == name)


def _sort_key(obj: Object) -> list[str]:
    return [obj["metadata"].get("namespace", ""), obj["metadata"]["name"]]


def _write_continue(revision: int, following: Object) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": _sort_key(following)}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")


def _read_continue(token: str, store: Store) -> tuple[int, list[str]]:
    """Revision of the first page and key of the next object."""
    decoded = b""
    try:
        decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        read: Any = json.loads(decoded)
        revision, start = int(read["rv"]), [str(part) for part in read["start"]]
    except binascii.Error as error:
        problem = f"illegal base64 data at input byte {len(token)}"
        raise status.bad_request(f"{_BAD_CONTINUE}: {problem}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise status.bad_request(f"{_BAD_CONTINUE}: {json_syntax(decoded)}") from error
    if revision < store.forgotten:
        raise status.expired(
            "The provided continue parameter is too old to display a consistent list result. You "
            "can start a new list without the continue parameter, or use the continue token in "
            "this response to retrieve the remainder of the results. Continuing with the provided "
            "token results in an inconsistent list - objects that were created, modified, or "
            "deleted between the time the first chunk was returned and now may show up in the list."
        )
    return revision, start
