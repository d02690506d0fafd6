"""The client's side of a connection: aiohttp's low-level request handler, with three additions.

1. Bytes that follow an upgrade request's head are held for the tunnel. aiohttp's parser knows
   only ``websocket`` as an upgrade and drops what follows the head of any other in the same
   segment; feeding it no further than the end of a head keeps them.
2. Once a tunnel is established, bytes go to it and no longer to HTTP.
3. Who writes to the client directly is told when the client stops or resumes taking bytes.

Bad requests are answered with a Kubernetes ``Status``, not with aiohttp's page. This module
depends on aiohttp's ``RequestHandler`` beyond its documentation, hence the version ceiling
in pyproject.toml; the tests in tests/exchange would show a change.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from . import status

_END_OF_HEAD: Final = b"\r\n\r\n"
# What one connection may have buffered before its peer is paused. nginx buffers 64 KiB per
# direction, Envoy 1 MiB; larger makes fewer pauses for bulk data.
WRITE_BUFFER_HIGH: Final = 256 * 1024
# Bytes sent ahead behind an upgrade request, before the upstream has agreed to it.
_HELD_HIGH: Final = 64 * 1024


class Writer(Protocol):
    """Who writes to the client's transport directly."""

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""

    def on_client_resumed(self) -> None:
        """It takes bytes again."""


class ClientTunnel(Protocol):
    """Who takes a client's bytes after an upgrade."""

    def on_client_data(self, data: bytes) -> None:
        """Bytes of the new protocol."""

    def on_client_eof(self) -> bool:
        """The client sends no more; True keeps our side open."""
        ...

    def on_client_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""


class ClientConnection(RequestHandler):
    """One client's connection; see the module."""

    __slots__ = (
        "_edge",
        "_held",
        "_held_paused",
        "_peer",
        "bytes_lost",
        "holding",
        "tunnel",
        "writer",
    )

    def __init__(self, manager: web.Server, **options: object) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)  # type: ignore[arg-type]
        self.writer: Writer | None = None
        self.tunnel: ClientTunnel | None = None
        # The last bytes of an unfinished head: its end may straddle two reads.
        self._edge = b""
        # An upgrade request has come, and what follows it waits.
        self.holding = False
        # Bytes behind an upgrade request may have been dropped: it cannot be honoured.
        self.bytes_lost = False
        self._held = bytearray()
        self._held_paused = False
        self._peer: bytes | None = None

    # --- bytes in -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.on_client_data(data)
        elif self.holding:
            self._hold(data)
        elif not data or self._in_body():
            if self._feed(data):
                # Behind a body in the same read, the parser saw more than an upgrade's head.
                self.bytes_lost = not data.endswith(_END_OF_HEAD)
        else:
            self._feed_heads(data)

    def _in_body(self) -> bool:
        """The parser is within a request's body, where no head can end."""
        request = self._messages[-1][1] if self._messages else None
        if request is None and self._current_request is not None:
            request = self._current_request.content
        return request is not None and not request.is_eof()

    def _feed_heads(self, data: bytes) -> None:
        """Feed the parser head by head, and stop behind one that asks for an upgrade."""
        while data:
            edge, self._edge = self._edge, b""
            end = (edge + data).find(_END_OF_HEAD) if edge else data.find(_END_OF_HEAD)
            if end < 0:
                self._edge = (edge + data)[-3:]
                self._feed(data)
                return
            end += len(_END_OF_HEAD) - len(edge)
            if end == len(data):
                self._feed(data)
                return
            upgrade = self._feed(data[:end])
            data = data[end:]
            if upgrade:
                self._hold(data)
                return
            if self._in_body():
                self.data_received(data)
                return

    def _feed(self, data: bytes) -> bool:
        """Give bytes to the parser; True if an upgrade request ended in them."""
        super().data_received(data)
        if self._messages and getattr(self._messages[-1][0], "upgrade", False):
            self.holding = True
            return True
        return False

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _HELD_HIGH and not self._held_paused and self.transport is not None:
            self._held_paused = True
            self.transport.pause_reading()

    def take_held(self) -> bytes:
        """The bytes that came behind an upgrade request; later ones go to :attr:`tunnel`."""
        held, self._held = bytes(self._held), bytearray()
        self.holding = False
        if self._held_paused and self.transport is not None:
            self._held_paused = False
            self.transport.resume_reading()
        return held

    def continue_http(self) -> None:
        """The upgrade was not wanted after all: what was held is the next request."""
        if self.holding:
            held = self.take_held()
            if held:
                self.data_received(held)

    def eof_received(self) -> bool:  # type: ignore[override]
        return self.tunnel is not None and self.tunnel.on_client_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.tunnel is not None:
            self.tunnel.on_client_lost(exc)
        self.writer = None
        super().connection_lost(exc)

    # --- bytes out ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_BUFFER_HIGH)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.writer is not None:
            self.writer.on_client_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.writer is not None:
            self.writer.on_client_resumed()

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written; at once if it is gone."""
        if self.writing_paused and self.transport is not None:
            await self._drain_helper()

    def cut(self, *, reset: bool) -> None:
        """End the connection so that what was sent cannot look complete.

        Args:
            reset: nothing but a reset tells the client, as its end is the body's end.
        """
        if self.transport is None:
            return
        if reset:
            _linger_zero(self.transport)
            self.transport.abort()
        else:
            self.transport.close()

    @property
    def peer(self) -> bytes:
        """The client's IP address; empty on a unix socket."""
        if self._peer is None:
            name = self.peername
            self._peer = name[0].encode() if isinstance(name, tuple) and name else b""
        return self._peer

    # --- bad requests -----------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp calls for a request that it cannot parse, and for a fault of ours."""
        return _bad_request(status, exc, message)


def _bad_request(code: int, exc: BaseException | None, message: str | None) -> web.StreamResponse:
    if isinstance(exc, LineTooLong):
        code = 431
    if code == 500:
        text, reason = "internal error of the proxy", "InternalError"
    else:
        first = (message or "bad request").partition("\n")[0].rstrip(": ")
        text, reason = f"the request cannot be read: {first}", "BadRequest"
    body = status.body(code, reason, text)
    response = web.Response(status=code, body=body, content_type="application/json")
    response.force_close()
    return response


def _linger_zero(transport: asyncio.Transport) -> None:
    """Make the coming close a TCP reset."""
    import socket  # noqa: PLC0415 -- only on this rare path
    import struct  # noqa: PLC0415

    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class ClientServer(web.Server):
    """aiohttp's low-level server, making :class:`ClientConnection` objects.

    Args:
        handler: answers one request.
        options: aiohttp's request handler options.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], object],
        **options: object,
    ) -> None:
        # A client that leaves must not leave its watch behind.
        super().__init__(handler, handler_cancellation=True)  # type: ignore[arg-type]
        self._options = options

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, **self._options)
