"""The raw byte stream under an upgraded connection.

aiohttp hands over only WebSockets. For any other protocol the transport is taken from it once the
101 is written: kubectl sends nothing before it has read that, so no byte is lost.
"""

import asyncio
from typing import Protocol

from aiohttp import WSMsgType, web
from aiohttp.web_protocol import RequestHandler

_HIGH_WATER = 256 * 1024
"""Bytes held unread before the peer is made to wait."""


class Wire(Protocol):
    """A byte stream in both directions."""

    async def read(self) -> bytes:
        """Some bytes; none at the end."""

    async def write(self, data: bytes) -> None:
        """Write, waiting for room.

        Raises:
            ConnectionError: the peer is gone.
        """


class TransportWire(asyncio.Protocol):
    """A connection taken over from aiohttp, whose protocol is notified when it is lost."""

    def __init__(self, former: RequestHandler, transport: asyncio.Transport) -> None:
        self._former = former
        self._transport = transport
        self._received = bytearray()
        self._ended = False
        self._paused = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Keep what arrives; stop the peer when it is too much."""
        self._received += data
        self._readable.set()
        if len(self._received) > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer has finished sending; TLS has no half-close, so this ends the connection."""
        self._ended = True
        self._readable.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everybody, and let aiohttp end its side."""
        self._ended = True
        self._readable.set()
        self._writable.set()
        self._former.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        self._writable.set()

    async def read(self) -> bytes:
        """Some bytes; none at the end."""
        while not self._received and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        data, self._received = bytes(self._received), bytearray()
        if self._paused and not self._ended:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Write, waiting for room."""
        if self._ended:
            raise ConnectionResetError("the connection is gone")
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Close once everything is written."""
        self._transport.close()


class WebSocketWire:
    """A byte stream in the binary messages of a WebSocket (KEP-4006)."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Some bytes; none at the end."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type in {
                WSMsgType.CLOSE,
                WSMsgType.CLOSING,
                WSMsgType.CLOSED,
                WSMsgType.ERROR,
            }:
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
    wire = TransportWire(request.protocol, transport)
    transport.write(head)
    transport.set_protocol(wire)
    return wire
