"""A record's request in Kubernetes' terms, ready to be shown, and what kind of outcome it had.

Clients repeat the same few targets, so views are cached. Pure.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from ...gate import Target, parse_target, stripped_prefix
from ...gate.request_info import RequestInfo, query_values, request_info
from ...gate.settings import CLUSTERS
from ...http1.fields import Pairs
from ...redact import printable
from ...relay.record import Record
from .redaction import visible, visible_name, visible_target

StreamKind = Literal["", "watch", "follow", "tunnel"]

_FOLLOW: Final = frozenset({"follow"})

_CACHE_SIZE: Final = 1024
# The parameters on which verb, name or kind of stream depend. Queries without one, such as the
# pages of a list, share a cached RequestInfo.
_CHANGES_VERB: Final = re.compile(r"watch|fieldSelector|follow|%")
# A clean path without percent-encoding, which needs no parsing.
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_:-][A-Za-z0-9_.:-]*)+/?|/")
# Longer targets seldom repeat, and a thousand of them take much memory.
LONGEST_CACHED: Final = 512


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class RequestView:
    """A request's method and target, parsed and redacted.

    Attributes:
        info: the request in the API server's terms, neither redacted nor escaped.
        kind: the resource as kubectl names it, such as ``deployments.apps/scale``, redacted; may be
            empty.
        method: escaped.
        target: redacted, escaped and shortened.
        stream: the kind of stream that its response is; empty for an ordinary one.
        columns: what a line of text has of it; made at its first use, as the next one.
        keys: what a line of JSON has of it.
    """

    info: RequestInfo
    kind: str
    method: str
    target: str
    stream: StreamKind
    columns: str = ""
    keys: str = ""

    @property
    def object_name(self) -> str:
        """``namespace/name``, as far as the request has them, redacted; computed at each use."""
        info = self.info
        name = visible_name(info.name)
        if not info.namespace or info.resource == "namespaces":
            return name
        return f"{visible_name(info.namespace)}/{name}"


class RequestViews:
    """Makes the views of records, and caches them.

    Args:
        api_prefix: where the API is mounted, as in ``--api-prefix``.
        clusters: several contexts are served, below ``/clusters/``.
    """

    def __init__(self, api_prefix: str = "/", *, clusters: bool = False) -> None:
        self._prefix = stripped_prefix(api_prefix)
        self._clusters = clusters
        self._cached = lru_cache(_CACHE_SIZE)(self._read)
        self._infos = lru_cache(_CACHE_SIZE)(self._info)

    def read(self, record: Record) -> RequestView:
        """The view of a record's request; one that asks for an upgrade is a tunnel."""
        memo = record.memo
        if memo is not None:
            if memo.view is None:
                memo.view = self._find(record)
            view: RequestView = memo.view
            return view
        return self._find(record)

    def _find(self, record: Record) -> RequestView:
        if record.carrier is not None:
            return _of_application(record, record.carrier)
        target = record.target
        find = self._cached if len(target) <= LONGEST_CACHED else self._read
        return find(record.method, target, bool(record.protocol))

    def _read(self, method: str, target: str, tunnel: bool) -> RequestView:
        path, _, query = target.partition("?")
        if not _CHANGES_VERB.search(query):
            query = ""
        find = self._infos if len(target) <= LONGEST_CACHED else self._info
        info = find(method, path, query)
        return RequestView(
            info=info,
            kind=_kind(info),
            method=printable(method),
            target=visible_target(target),
            stream="tunnel" if tunnel else _stream(info, query),
        )

    def _info(self, method: str, path: str, query: str) -> RequestInfo:
        prefix = self._prefix_of(path) if self._clusters else self._prefix
        if not _PLAIN.fullmatch(path):
            target = parse_target(path)
            if not isinstance(target, Target):
                return RequestInfo(False, method.lower(), "")
            if not target.raw.startswith(prefix):
                return RequestInfo(False, method.lower(), "")
            path = target.path
        elif not path.startswith(prefix):
            return RequestInfo(False, method.lower(), "")
        return request_info(method, path[len(prefix) - 1 :], query)

    def _prefix_of(self, path: str) -> str:
        """The prefix of the context that a path is for."""
        if path[:1] != "/":
            target = parse_target(path)
            path = target.raw if isinstance(target, Target) else path
        if not path.startswith(CLUSTERS):
            return self._prefix
        return path[: path.find("/", len(CLUSTERS)) + 1] or path


def _of_application(record: Record, carrier: RequestInfo) -> RequestView:
    """The view of a request to a service by its host name: what it asks of Kubernetes is to be
    carried there, and what it asks of the application is not known."""
    name = carrier.path.rsplit("/", 2)[1]
    info = carrier._replace(resource="services", name=name, path=record.target)
    return RequestView(
        info=info,
        kind=_kind(info),
        method=printable(record.method),
        target=visible_target(record.target),
        stream="tunnel" if record.protocol else "",
    )


def _stream(info: RequestInfo, query: str) -> StreamKind:
    if info.verb == "watch":
        return "watch"
    if info.subresource == "log" and "follow" in query:
        follow = query_values(query, _FOLLOW).get("follow", ["false"])[0]
        return "" if follow.lower() in {"false", "0"} else "follow"
    return ""


def _kind(info: RequestInfo) -> str:
    group = f".{info.group}" if info.group else ""
    subresource = f"/{info.subresource}" if info.subresource else ""
    return visible_name(f"{info.resource}{group}{subresource}") if info.resource else ""


def field(pairs: Pairs, name: bytes) -> bytes:
    """The first value of the field *name*, given in lower case; empty if there is none."""
    size = len(name)
    for key, value in pairs:
        if len(key) == size and key.lower() == name:
            return value
    return b""


def user_agent_field(record: Record) -> bytes:
    """The client's ``User-Agent`` as it was sent; empty if it sent none."""
    memo = record.memo
    if memo is None:
        return field(record.headers, b"user-agent")
    if memo.user_agent is None:
        memo.user_agent = field(record.headers, b"user-agent")
    return memo.user_agent


def visible_agent(value: bytes) -> str:
    """A ``User-Agent``, redacted and escaped; cached, since clients repeat it."""
    return _visible_cached(value) if len(value) <= LONGEST_CACHED else visible(value)


def user_agent(record: Record) -> str:
    """The client's ``User-Agent``, redacted and escaped; empty if it sent none."""
    value = user_agent_field(record)
    return visible_agent(value) if value else ""


_visible_cached: Final = lru_cache(_CACHE_SIZE)(visible)


def is_refusal(record: Record) -> bool:
    """Whether the gate refused the request; a missing file of ``--www`` is no refusal."""
    return bool(record.rule) and record.status >= 400 and record.rule != "www"


def is_problem(record: Record) -> bool:
    """Whether the proxy refused the request or failed to complete it.

    Error responses of the API server and clients that disconnect do not count.
    """
    if record.cause:
        return record.cause != "client-gone"
    return is_refusal(record)
