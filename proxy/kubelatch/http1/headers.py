"""Header fields between client and upstream: what passes, what is dropped, what is added.

Pure functions over raw ``(name, value)`` pairs; names and values keep their bytes and their
order. The order of work is Go's ReverseProxy's: strip first, inject last, so that no field of
the client's can remove or replace one of the proxy's (golang/go#50580).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from .fields import Fields, Pairs

# RFC 9110 section 7.6.1, and the two that predate it.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Response fields that affect more than the response. Browsers apply these to the whole origin, and
# most of them permanently: they would affect every other application with this proxy's origin, now
# or later.
_FOR_THE_ORIGIN: Final = frozenset(
    {
        # Service Workers section 6.1.
        b"service-worker-allowed",
        # Network Error Logging and the Reporting API: where to send reports on other requests.
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"clear-site-data",
        # RFC 9842: a dictionary that the browser offers with other requests.
        b"use-as-dictionary",
        # Device Bound Session Credentials: the browser delays other requests until it has renewed
        # a session.
        b"secure-session-registration",
        b"sec-session-registration",
    }
)
# These affect more than the origin: other ports of the host, or a reverse proxy in front.
_BEYOND_THE_ORIGIN: Final = frozenset(
    {
        # RFC 7838: another server for the origin, which would not be this proxy.
        b"alt-svc",
        # RFC 6797 section 7.2: not over plain HTTP. A reverse proxy that terminates TLS sends its
        # own; for localhost it would disable http on every port.
        b"strict-transport-security",
        # The same for a host's certificates (RFC 7469, RFC 9163).
        b"public-key-pins",
        b"public-key-pins-report-only",
        b"expect-ct",
        # Instructions to a reverse proxy: nginx (ngx_http_upstream.c), Apache, lighttpd.
        # X-Accel-Buffering, which is kept, only changes buffering.
        b"x-accel-redirect",
        b"x-accel-expires",
        b"x-accel-limit-rate",
        b"x-accel-charset",
        b"x-sendfile",
        b"x-sendfile-temporary",
        b"x-lighttpd-send-file",
    }
)
# Response fields that are never sent to the client.
NOT_FOR_CLIENTS: Final[frozenset[bytes]] = HOP_BY_HOP | _FOR_THE_ORIGIN | _BEYOND_THE_ORIGIN
# The same, for an application with an origin of its own.
NOT_FOR_ITS_CLIENTS: Final[frozenset[bytes]] = HOP_BY_HOP | _BEYOND_THE_ORIGIN
# Fields that the proxy sets itself, or that must not be in a trailer section
# (RFC 9110 section 6.5.1).
_NO_TRAILER: Final = NOT_FOR_CLIENTS | {
    b"content-length",
    b"host",
    b"content-encoding",
    b"set-cookie",
}
# Fields that ``Connection`` cannot remove: without them the message would have another end or
# another meaning.
_NEVER_NAMED: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-encoding", b"expect"}
)
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True, eq=False, repr=False)
class ClientFields:
    """A request's header fields, sorted.

    Attributes:
        kept: the fields that go upstream as they are.
        expect: the value of ``Expect``, lower case.
        forwarded_for: the values of ``X-Forwarded-For``.
        content_length: its value, or None.
        encodings: it has ``Accept-Encoding`` or ``Range``.
        user_agent: it has a ``User-Agent``.
        trailers: the client accepts trailers.
    """

    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    expect: bytes = b""
    forwarded_for: list[bytes] = field(default_factory=list)
    content_length: bytes | None = None
    encodings: bool = False
    user_agent: bool = False
    trailers: bool = False


def connection_options(fields: Fields) -> frozenset[bytes]:
    """The names of fields that ``Connection`` lists, lower case."""
    positions = fields.names.positions.get(b"connection")
    if positions is None:
        return _NO_OPTIONS
    value = fields.pairs[positions[0]][1]
    if len(positions) > 1:
        value = b",".join(fields.values(b"connection"))
    # Nearly all send this one, which names no field.
    return _NO_OPTIONS if value == b"keep-alive" else _options(value)


@lru_cache(128)
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(_tokens(value)) - _NEVER_NAMED - HOP_BY_HOP


def read_request(fields: Fields, strip: frozenset[bytes]) -> ClientFields:
    """Sort a request's fields into those that pass and those that are interpreted here.

    Dropped: hop-by-hop fields, fields that ``Connection`` names, ``Host`` (the
    upstream's is sent), and those that the gate strips.

    Args:
        fields: the client's.
        strip: names, spelled as in *fields*, that do not pass.
    """
    seen = ClientFields()
    kept = seen.kept
    named = connection_options(fields)
    for name, pair in zip(fields.names.lower, fields.pairs, strict=True):
        if name == b"te":
            # A client must name it in Connection (RFC 9110 section 10.1.4).
            seen.trailers = seen.trailers or b"trailers" in _tokens(pair[1])
        elif name in named or pair[0] in strip:
            continue
        elif name in _SPECIAL:
            _read_special(seen, name, pair)
        else:
            kept.append(pair)
    return seen


_SPECIAL: Final = HOP_BY_HOP | {
    b"host",
    b"expect",
    b"x-forwarded-for",
    b"content-length",
    b"accept-encoding",
    b"range",
    b"user-agent",
}


def _read_special(seen: ClientFields, name: bytes, pair: tuple[bytes, bytes]) -> None:
    value = pair[1]
    if name == b"user-agent":
        if value:
            seen.user_agent = True
            seen.kept.append(pair)
    elif name in {b"accept-encoding", b"range"}:
        seen.encodings = True
        seen.kept.append(pair)
    elif name == b"content-length":
        seen.content_length = value.strip()
    elif name == b"x-forwarded-for":
        seen.forwarded_for.append(value)
    elif name == b"expect":
        # Two that agree are one.
        seen.expect = b", ".join(dict.fromkeys(filter(None, (seen.expect, *_tokens(value)))))


def _tokens(value: bytes) -> list[bytes]:
    """The elements of a list of tokens, lower case; parameters are no part of them."""
    return [token.partition(b";")[0].strip().lower() for token in value.split(b",")]


def forwarded_for(earlier: Iterable[bytes], peer: bytes) -> bytes:
    """``X-Forwarded-For`` with *peer*, the client's address, appended."""
    return b", ".join([*earlier, peer]) if peer else b", ".join(earlier)


def response_fields(fields: Fields, drop: frozenset[bytes]) -> list[bytes]:
    """The lines of a response that go to the client, without line ends.

    Args:
        fields: the upstream's.
        drop: names, lower case, that do not pass, besides hop-by-hop fields that ``Connection``
            names.
    """
    named = connection_options(fields)
    return list(map(b": ".join, fields.without(drop | named if named else drop)))


def trailer_fields(trailers: Pairs) -> bytes:
    """The trailer section's bytes, each line with its end."""
    return b"".join(b"%b: %b\r\n" % pair for pair in trailers if pair[0].lower() not in _NO_TRAILER)
