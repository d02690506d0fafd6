"""Reads what a peer sent before it reset the connection.

A server that refuses a request while it is being sent responds and closes. Since it has not read
everything, its kernel sends a reset after the response; if a write fails on that reset, the event
loop closes the connection with the response unread: the TLS alert that explains what is wrong with
the client certificate, or an early response such as 413. Go's client waits for its reader in this
case (net/http transport.go, maxWriteWaitBeforeConnReuse).
"""

import asyncio
import contextlib
import os
from typing import Final

# Enough for an alert or an error response.
_MAX_BYTES: Final = 256 * 1024


class TruncatedError(ConnectionError):
    """A TLS connection ended without close_notify: an attack or a crash, never a clean end."""


def unread_bytes(transport: asyncio.BaseTransport, error: Exception | None) -> bytes:
    """The received bytes that have not been read; never waits.

    To be called within ``connection_lost``, where asyncio (``_call_connection_lost``) and uvloop
    (``UVBaseTransport._call_connection_lost``) have the socket still open.

    Args:
        transport: the lost connection's.
        error: why it was lost; only a reset by the peer leaves bytes unread.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or not isinstance(error, ConnectionError):
        return b""
    data = bytearray()
    with contextlib.suppress(OSError):
        while len(data) < _MAX_BYTES and (piece := os.read(sock.fileno(), _MAX_BYTES)):
            data += piece
    return bytes(data)
