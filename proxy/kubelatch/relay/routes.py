"""Where a request gets its stream from, and whether it may be sent again on another."""

import time
from typing import Final

from ..errors import KubelatchError, NotProcessedError, UpstreamError
from ..upstream.request import UpstreamRequest
from ..upstream.transport import Http1OnlyError, Stream, Transport
from .record import Record
from .request import ClientRequest

# Go's list of methods that are sent again when a reused connection turns out dead
# (net/http Request.isReplayable).
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# How often a request is sent that the API server has refused to begin with: one that is leaving
# may refuse streams on several connections, one after another.
_MAX_REFUSALS: Final = 8
# How often a watch is sent on a shared connection, which the others that were refused share, too.
_MAX_SHARED: Final = 5


def is_replayable(method: str, body: bytes | None, record: Record) -> bool:
    """Whether a request may be sent again although it may have been acted on.

    Args:
        method: of the request.
        body: all of its body; None if that is not known.
        record: how often it was sent before, and whether somebody was asked about it: that is
            carried out once or not at all.
    """
    return method in _IDEMPOTENT and body is not None and not (record.retries or record.asked)


def may_repeat(
    failure: KubelatchError | None, method: str, body: bytes | None, record: Record
) -> bool:
    """Whether a request may be sent again after *failure*; see :func:`is_replayable`."""
    if isinstance(failure, NotProcessedError):
        return body is not None and record.retries < _MAX_REFUSALS
    return is_replayable(method, body, record)


def may_share(
    request: ClientRequest, upstream: UpstreamRequest, body: bytes | None, record: Record
) -> bool:
    """Whether a watch may share its connection: it has no body, and no list before its first
    change, which would delay the events of others; and it was not refused time and again.

    Args:
        request: the client's.
        upstream: the same, as it goes upstream.
        body: all of its body, if it was sent before.
        record: how often it was sent before.
    """
    return (
        upstream.method == "GET"
        and record.retries < _MAX_SHARED
        and b"sendInitialEvents=true" not in upstream.target
        and not body
        and request.body.at_eof()
        and request.body.exception() is None
    )


async def open_stream(transport: Transport, keepalive: float | None, record: Record) -> Stream:
    """See :meth:`Transport.open`; takes down how long it took, and a connection that failed. One
    that was opened counts for the first request that is sent on it."""
    began = time.monotonic()
    try:
        return await transport.open(keepalive)
    except UpstreamError as error:
        record.connects += not isinstance(error, Http1OnlyError)
        raise
    finally:
        record.connect_wait += time.monotonic() - began
