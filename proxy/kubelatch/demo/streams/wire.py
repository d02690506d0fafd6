"""The raw byte stream under an upgraded connection.

aiohttp hands over only WebSockets. For any other protocol the transport is taken from it once the
101 is written: kubectl sends nothing before it has read that, so no byte is lost.
"""

import asyncio
import contextlib
from typing import Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

LEFT = {web.WSMsgType.CLOSE, web.WSMsgType.CLOSING, web.WSMsgType.CLOSED, web.WSMsgType.ERROR}
_HIGH_WATER = 128 * 1024
"""Half of the bytes held unread before the peer is made to wait."""


class Wire(Protocol):
    """A byte stream in both directions."""

    async def read(self) -> bytes:
        """Some bytes; none at the end."""

    async def write(self, data: bytes) -> None:
        """Write, waiting for room.

        Raises:
            ConnectionError: the peer is gone.
        """


class _Taken(asyncio.StreamReaderProtocol):
    """asyncio's streams on a connection of aiohttp's, which is told when it is lost."""

    def __init__(self, reader: asyncio.StreamReader, former: RequestHandler) -> None:
        super().__init__(reader)
        self._former = former

    def eof_received(self) -> bool:
        """TLS has no half-close, so this ends the connection."""
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._former.connection_lost(exc)


class TransportWire:
    """A connection taken over from aiohttp."""

    def __init__(self, former: RequestHandler, transport: asyncio.Transport) -> None:
        self._reader = asyncio.StreamReader(limit=_HIGH_WATER)
        protocol = _Taken(self._reader, former)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        loop = asyncio.get_running_loop()
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def read(self) -> bytes:
        """Some bytes; none at the end."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read(2 * _HIGH_WATER)
        return b""

    async def write(self, data: bytes) -> None:
        """Write, waiting for room."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """Close once everything is written."""
        self._writer.close()


class WebSocketWire:
    """A byte stream in the binary messages of a WebSocket (KEP-4006)."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Some bytes; none at the end."""
        while True:
            message = await self._socket.receive()
            if message.type is web.WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type in LEFT:
                return b""

    async def write(self, data: bytes) -> None:
        """Write, waiting for room."""
        await self._socket.send_bytes(data)


def take_over(request: web.BaseRequest, head: bytes) -> TransportWire:
    """Write ``head`` and take the connection from aiohttp.

    Raises:
        ConnectionResetError: the client is gone already.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the connection is gone")
    transport.write(head)
    return TransportWire(request.protocol, transport)
