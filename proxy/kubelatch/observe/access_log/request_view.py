"""A record read: what its target asks of Kubernetes, and what its header fields say.

The same few targets come again and again, so what is found out about one is kept for a while.
Pure: no I/O, no format, no policy.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from ...gate import Target, parse_target, stripped_prefix
from ...gate.request_info import RequestInfo, query_values, request_info
from ...redact import printable
from ...relay.record import Pairs, Record
from .redaction import visible, visible_name, visible_target

StreamKind = Literal["", "watch", "follow", "tunnel"]

_CACHE_SIZE: Final = 1024
# What of a query the verb, the name or the kind of stream can depend on; pages and versions of a
# list, of which there are many, are all the same request.
_CHANGES_VERB: Final = re.compile(r"watch|fieldSelector|follow|%")
# A target that is a path, the same when decoded, and clean.
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_:-][A-Za-z0-9_.:-]*)+/?|/")
# Longer ones are seldom seen twice, and a thousand of them would be a lot of memory.
_LONGEST_CACHED: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestView:
    """What a method and a target say. The same request has the same object, for a while.

    Attributes:
        info: the request in the API server's terms, as they are and not to be shown.
        kind: the resource as kubectl names it, such as ``deployments.apps/scale``, and as it may
            be shown; may be empty.
        method: as it may be shown: control characters escaped.
        target: as it may be shown: secrets masked as well, and not too long.
        stream: what kind of stream an answer would be; empty for an ordinary one.
    """

    info: RequestInfo
    kind: str
    method: str
    target: str
    stream: StreamKind


class RequestViews:
    """Reads records.

    Args:
        api_prefix: where the API is mounted, as in ``--api-prefix``.
    """

    def __init__(self, api_prefix: str = "/") -> None:
        self._prefix = stripped_prefix(api_prefix)
        self._cached = lru_cache(_CACHE_SIZE)(self._read)
        self._infos = lru_cache(_CACHE_SIZE)(self._info)

    def read(self, record: Record) -> RequestView:
        """Read a record; a tunnel is one from the moment that it is asked for."""
        target = record.target
        find = self._cached if len(target) <= _LONGEST_CACHED else self._read
        return find(record.method, target, bool(record.protocol))

    def _read(self, method: str, target: str, tunnel: bool) -> RequestView:
        path, _, query = target.partition("?")
        if not _CHANGES_VERB.search(query):
            query = ""
        find = self._infos if len(target) <= _LONGEST_CACHED else self._info
        info = find(method, path, query)
        return RequestView(
            info=info,
            kind=_kind(info),
            method=printable(method),
            target=visible_target(target),
            stream="tunnel" if tunnel else _stream(info, query),
        )

    def _info(self, method: str, path: str, query: str) -> RequestInfo:
        prefix = self._prefix
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


def _stream(info: RequestInfo, query: str) -> StreamKind:
    if info.verb == "watch":
        return "watch"
    if info.subresource == "log" and "follow" in query:
        follow = query_values(query).get("follow", ["false"])[0]
        return "" if follow.lower() in {"false", "0"} else "follow"
    return ""


def _kind(info: RequestInfo) -> str:
    group = f".{info.group}" if info.group else ""
    subresource = f"/{info.subresource}" if info.subresource else ""
    return visible_name(f"{info.resource}{group}{subresource}") if info.resource else ""


def field(pairs: Pairs, name: bytes) -> bytes:
    """The first value of the field *name* (lower case); empty if there is none."""
    size = len(name)
    for key, value in pairs:
        if len(key) == size and key.lower() == name:
            return value
    return b""


def user_agent(record: Record) -> str:
    """Who the client says it is: of all fields the one that is always the same."""
    value = field(record.headers, b"user-agent")
    if len(value) > _LONGEST_CACHED:
        return visible(value)
    return _visible_cached(value) if value else ""


_visible_cached: Final = lru_cache(_CACHE_SIZE)(visible)


def is_refusal(record: Record) -> bool:
    """The gate turned the request away; a file that ``--www`` has not got is no such case."""
    return bool(record.rule) and record.status >= 400 and record.rule != "www"


def is_problem(record: Record) -> bool:
    """This proxy refused the request, or could not carry it through.

    What the API server itself says, and a client that leaves, are no problems of ours.
    """
    if record.cause:
        return record.cause != "client-gone"
    return is_refusal(record)
