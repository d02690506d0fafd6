"""Which fields of an upstream's response the client gets, and which the proxy adds. Pure."""

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from ..http1 import headers, own_origin, writer
from ..http1.fields import FieldNames, Fields
from ..http1.links import FIELDS, LinkRewriter

# Links are dropped at first, so that a response without any costs nothing.
_DROP: Final = headers.NOT_FOR_CLIENTS - {b"trailer"} | FIELDS
_DROP_INTERIM: Final = _DROP - FIELDS | {b"content-length"}
_READ: Final = FIELDS | {b"content-encoding"}
NO_NAMES: Final[frozenset[bytes]] = frozenset()


@lru_cache(256)
def are_plain(names: FieldNames) -> bool:
    """Whether no field of these names has to be read or rewritten, and none is missing."""
    return b"date" in names.positions and _READ.isdisjoint(names.positions)


def plain_lines(fields: Fields) -> list[bytes]:
    """The lines that go to the client, of fields whose names :func:`are_plain`."""
    return headers.response_fields(fields, _DROP)


def interim_lines(fields: Fields) -> list[bytes]:
    """The lines of a 1xx response that go to the client."""
    return headers.response_fields(fields, _DROP_INTERIM)


def client_lines(
    fields: Fields,
    *,
    drop: frozenset[bytes],
    extra: Collection[tuple[str, str]],
    links: LinkRewriter | None,
) -> list[bytes]:
    """The lines that go to the client, without those that frame the body.

    Args:
        fields: the upstream's.
        drop: names, lower case, that do not pass, besides those that never do.
        extra: the proxy's, in place of the upstream's of the same name; ``Vary`` is added to.
        links: makes redirects to the API server lead to the proxy; None: the response is that of an
            application with an origin of its own.
    """
    names = fields.names.positions
    drop |= _DROP if links is not None else own_origin.DROP
    lines = []
    if extra:
        drop |= {name.lower().encode() for name, _ in extra} - {b"vary"}
        if b"access-control-allow-origin" in drop:
            # One policy of CORS for each response.
            drop |= {name for name in names if name.startswith(b"access-control-")}
        lines += [f"{name}: {value}".encode("latin-1") for name, value in extra]
    if links is None:
        lines += own_origin.response_fields(fields, drop)
    else:
        passed = headers.response_fields(fields, drop)
        if len(passed) < len(fields.pairs) and not FIELDS.isdisjoint(names):
            passed = headers.response_fields(links.rewrite(fields), drop - FIELDS)
        lines += passed
    if b"date" not in names:
        # RFC 9110 section 6.6.1: a recipient with a clock adds a missing one.
        lines.append(writer.date_field())
    return lines


def may_stream(target: str) -> bool:
    """Whether it may name a watch, a log or an application: what nginx in front should pass on as
    it comes (ngx_http_proxy_module, proxy_buffering). Where it is none, that does no harm."""
    return "watch" in target or "/log" in target or "/proxy/" in target
