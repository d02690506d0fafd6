"""A record read: what its target asks of Kubernetes, and what its header fields say.

The same few targets come again and again, so what is found out about one is kept for a while.
Pure: no I/O, no format, no policy.
"""

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from ..gate import Target, parse_target
from ..record import Pairs, Record
from ..request_info import RequestInfo, query_values, request_info
from .masking import mask_target, printable, scrub, shorten

StreamKind = Literal["", "watch", "follow", "tunnel"]

_REMEMBERED: Final = 1024
# What of a query the verb, the name or the kind of stream can depend on; pages and versions of a
# list, of which there are many, are all the same request.
_CHANGES_VERB: Final = re.compile(r"watch|fieldSelector|follow|%")
# A target that is a path, the same when decoded, and clean.
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_:-][A-Za-z0-9_.:-]*)+/?|/")
# Longer ones are seldom seen twice, and a thousand of them would be a lot of memory.
_WORTH_REMEMBERING: Final = 512


class Reading(NamedTuple):
    """What a method and a target say.

    Attributes:
        info: the request in the API server's terms.
        kind: the resource as kubectl names it, such as ``deployments.apps/scale``; may be empty.
        target: as it may be shown: secrets masked, control characters escaped, not too long.
        stream: what kind of stream an answer would be; empty for an ordinary one.
    """

    info: RequestInfo
    kind: str
    target: str
    stream: StreamKind


class Reader:
    """Reads records.

    Args:
        api_prefix: where the API is mounted, as in ``--api-prefix``.
    """

    def __init__(self, api_prefix: str = "/") -> None:
        # As the gate mounts it (gate.settings, mount_points; gate.gate, Gate).
        self._prefix = api_prefix if api_prefix.endswith("/") else api_prefix + "/"
        if self._prefix.startswith("/api"):
            self._prefix = "/"
        self._remembered = lru_cache(_REMEMBERED)(self._read)
        self._infos = lru_cache(_REMEMBERED)(self._info)

    def read(self, record: Record) -> Reading:
        """Read a record; a tunnel is one from the moment that it is asked for."""
        target = record.target
        find = self._remembered if len(target) <= _WORTH_REMEMBERING else self._read
        reading = find(record.method, target)
        return reading._replace(stream="tunnel") if record.protocol else reading

    def _read(self, method: str, target: str) -> Reading:
        if "eyJ" not in target and _PLAIN.fullmatch(target):
            # Most requests: nothing to decode, to mask, or to refuse.
            info = self._info(method, target, "")
            return Reading(info, _kind(info), shorten(target), "")
        path, _, query = target.partition("?")
        if not _CHANGES_VERB.search(query):
            query = ""
        find = self._infos if len(target) <= _WORTH_REMEMBERING else self._info
        info = find(method, path, query)
        shown = printable(shorten(mask_target(target)))
        return Reading(info, _kind(info), shown, _stream(info, query))

    def _info(self, method: str, path: str, query: str) -> RequestInfo:
        prefix = self._prefix
        if not _PLAIN.fullmatch(path):
            target = parse_target(path, prefix)
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
    return f"{info.resource}{group}{subresource}" if info.resource else ""


def field(pairs: Pairs, name: bytes) -> bytes:
    """The first value of the field *name* (lower case); empty if there is none."""
    size = len(name)
    for key, value in pairs:
        if len(key) == size and key.lower() == name:
            return value
    return b""


def shown_field(pairs: Pairs, name: bytes) -> str:
    """The same as text that may be shown, of a field that holds no secret by design."""
    value = field(pairs, name)
    return _shown(value) if value else ""


def user_agent(record: Record) -> str:
    """Who the client says it is: of all fields the one that is always the same."""
    value = field(record.headers, b"user-agent")
    if len(value) > _WORTH_REMEMBERING:
        return _shown(value)
    return _remembered_shown(value) if value else ""


def _shown(value: bytes) -> str:
    return printable(shorten(scrub(value.decode("utf-8", "surrogateescape"))))


_remembered_shown: Final = lru_cache(_REMEMBERED)(_shown)


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
