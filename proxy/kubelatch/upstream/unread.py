"""What a peer has said before it reset the connection.

A server that refuses what it is being sent says why and closes. It has not read everything, so
its kernel sends a reset right behind its words; and if a write of ours meets that reset first, the
event loop gives the connection up with those words unread: the TLS alert that says what is wrong
with our certificate, or an early answer such as 413. Go's client waits for its reader in the same
place (net/http transport.go, maxWriteWaitBeforeConnReuse).
"""

import asyncio
import contextlib
import os
from typing import Final

# An alert, or an answer of some size; who sends more than this is not saying goodbye.
_MOST: Final = 256 * 1024


def unread_bytes(transport: asyncio.BaseTransport, error: Exception | None) -> bytes:
    """What has come and nobody has read; never waits.

    To be called within ``connection_lost``, where asyncio (``_call_connection_lost``) and uvloop
    (``UVBaseTransport._call_connection_lost``) have the socket still open.

    Args:
        transport: of the socket.
        error: why it was lost; only a peer's reset can leave something behind.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or not isinstance(error, ConnectionError):
        return b""
    data = bytearray()
    with contextlib.suppress(OSError):
        while len(data) < _MOST and (piece := os.read(sock.fileno(), _MOST)):
            data += piece
    return bytes(data)
