"""The client's side of a connection: aiohttp's low-level request handler, with four additions.

1. The parser is fed message by message, as far as their ends can be told beforehand. It knows
   only ``websocket`` as an upgrade and drops what follows the head of any other in the same
   read; fed like this there is nothing to drop, and what follows is held for the tunnel.
2. Once a tunnel is established, bytes go to it and no longer to HTTP.
3. Who writes to the client directly is told when the client stops or resumes taking bytes.
4. A client that leaves is noticed even while nothing is read from it.

Bad requests are answered with a Kubernetes ``Status``, not with aiohttp's page. This module
depends on aiohttp's ``RequestHandler`` beyond its documentation, hence the version ceiling
in pyproject.toml; the tests in tests/exchange would show a change.
"""

import asyncio
import logging
import select
from collections.abc import Callable
from typing import Final, Protocol, cast

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from .peer import uid_of
from .status import answer
from .status import body as status_body
from .upstream.connection import linger_zero

log = logging.getLogger(__name__)

_END_OF_HEAD: Final = b"\r\n\r\n"
# What one connection may have buffered before its peer is paused. nginx buffers 64 KiB per
# direction, Envoy 1 MiB; larger makes fewer pauses for bulk data.
WRITE_BUFFER_HIGH: Final = 256 * 1024
# Bytes sent ahead behind an upgrade request, before the upstream has agreed to it.
_HELD_HIGH: Final = 64 * 1024
# How often a client that is not read from is looked at, in seconds.
_LOOK: Final = 0.5
_UNASKED: Final = object()
# Linux says when the peer has sent its end; elsewhere only a reset shows.
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


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


class Sent(web.StreamResponse):
    """Tells aiohttp that the answer is on its way already, and whether the connection goes on."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._goes_on = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._goes_on

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to prepare."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class ClientConnection(RequestHandler):
    """One client's connection; see the module."""

    __slots__ = (
        "_backlog",
        "_body",
        "_body_left",
        "_edge",
        "_held",
        "_held_paused",
        "_holding",
        "_look_timer",
        "_peer",
        "_uid",
        "tunnel",
        "writer",
    )

    def __init__(self, manager: web.Server, **options: object) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)  # type: ignore[arg-type]
        self.writer: Writer | None = None
        self.tunnel: ClientTunnel | None = None
        # Of the message that is being fed: its body, and how much of it is to come by its length.
        self._body: StreamReader | None = None
        self._body_left = 0
        # The last bytes of an unfinished head: its end may straddle two reads.
        self._edge = b""
        # What one read brought, and the parser is not ready for.
        self._backlog = b""
        # An upgrade request has come, and what follows it waits.
        self._holding = False
        self._held = bytearray()
        self._held_paused = False
        self._look_timer: asyncio.TimerHandle | None = None
        self._peer: bytes | None = None
        self._uid: object = _UNASKED

    # --- bytes in -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.on_client_data(data)
        elif self._holding:
            self._hold(data)
        elif data:
            self._feed_all(self._backlog + data if self._backlog else data)
        else:
            # aiohttp's way to say that the parser may go on.
            super().data_received(data)
            if self._backlog:
                self._feed_all(self._backlog)

    def _feed_all(self, data: bytes) -> None:
        """Feed the parser piece by piece, until it has enough or an upgrade is asked for."""
        start, size = 0, len(data)
        self._backlog = b""
        while start < size:
            if self._holding:
                self._hold(data[start:])
                return
            if self._reading_paused or len(self._messages) >= self._max_msg_queue_size:
                self._backlog = data[start:]
                return
            stop = self._next_stop(data, start)
            self._feed(data if stop - start == size else data[start:stop])
            start = stop

    def _next_stop(self, data: bytes, start: int) -> int:
        """Where the piece from *start* on ends: no further than the message that it belongs to.

        An empty line ends heads and chunked bodies, trailers included; one within chunked data
        makes two pieces of one, which is no harm.
        """
        if self._body_left:
            return min(start + self._body_left, len(data))
        edge, self._edge = self._edge, b""
        if edge:
            straddling = (edge + data[start : start + 3]).find(_END_OF_HEAD)
            if straddling >= 0:
                return start + straddling + len(_END_OF_HEAD) - len(edge)
        end = data.find(_END_OF_HEAD, start)
        if end >= 0:
            return end + len(_END_OF_HEAD)
        self._edge = (edge + data[max(start, len(data) - 3) :])[-3:]
        return len(data)

    def _feed(self, piece: bytes) -> None:
        if self._body_left:
            self._body_left -= len(piece)
        before = self._request_count
        super().data_received(piece)
        if self._request_count == before:
            return
        message, payload = self._messages[-1]
        if not isinstance(message, RawRequestMessage):
            self._fail_body(message.message)
        elif not payload.is_eof():
            self._body = payload
            if not message.chunked:
                self._body_left = int(message.headers.get("Content-Length", "0"))
        elif message.upgrade:
            self._holding = True

    def _fail_body(self, reason: str) -> None:
        """What the parser cannot read may be the body of a request that is under way already,
        and of which aiohttp tells nobody."""
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError(_first_line(reason)))

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _HELD_HIGH and not self._held_paused and self.transport is not None:
            self._held_paused = True
            self._pause_transport_reading()

    @property
    def holding(self) -> bool:
        """The request that is being answered asks for an upgrade, and what follows it waits."""
        return self._holding and not self._messages

    def take_held(self) -> bytes:
        """The bytes that came behind an upgrade request; later ones go to :attr:`tunnel`."""
        held, self._held = bytes(self._held), bytearray()
        self._holding = False
        if self._held_paused and self.transport is not None:
            self._held_paused = False
            self.transport.resume_reading()
        return held

    def continue_http(self) -> None:
        """The upgrade is ignored, as HTTP allows: what was held is the next request."""
        held = self.take_held()
        if held:
            self.data_received(held)

    def eof_received(self) -> bool:  # type: ignore[override]
        return self.tunnel is not None and self.tunnel.on_client_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.tunnel is not None:
            self.tunnel.on_client_lost(exc)
        self.writer = None
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)

    # --- clients that leave unread --------------------------------------------------------

    def _pause_transport_reading(self) -> None:
        super()._pause_transport_reading()
        self._watch()

    def _watch(self) -> None:
        if self._look_timer is None:
            self._look_timer = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """Cut a client that has left, unless its bytes are being read and will say so."""
        self._look_timer = None
        transport = self.transport
        if transport is None or transport.is_reading():
            return
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), _GONE)
        if poll.poll(0):
            transport.abort()
        else:
            self._watch()

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
            linger_zero(self.transport)
            self.transport.abort()
        else:
            self.transport.close()

    def end_writing(self) -> None:
        """Say that no more will be sent, while the rest of a request is still read and dropped:
        a close right away could reset the connection and lose the answer (RFC 9112 section 9.6).
        """
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    @property
    def uid(self) -> int | None:
        """The user id of the client's process, where the kernel knows it; asked for once, while
        the client waits for its first answer and so is sure to be there."""
        if self._uid is _UNASKED:
            sock = self.transport.get_extra_info("socket") if self.transport else None
            self._uid = uid_of(sock) if sock is not None else None
        return cast("int | None", self._uid)

    @property
    def peer(self) -> bytes:
        """The client's IP address; empty on a unix socket."""
        if self._peer is None:
            name = self.peername
            address = name[0] if isinstance(name, tuple) and name else ""
            # An IPv4 client of a socket for both families.
            self._peer = address.removeprefix("::ffff:").encode()
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
        if status == 500:
            log.error("internal error", exc_info=exc)
        code, body = _bad_request(status, exc, message)
        if self.transport is not None:
            self.transport.write(answer(code, body, keep_alive=False))
        manager = cast("ClientServer | None", self._manager)
        if manager is not None and manager.on_unreadable is not None:
            manager.on_unreadable(self, code, len(body))
        return Sent(keep_alive=False)

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """aiohttp's complaint when it reads the rest of a request that it cannot parse."""
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            log.error(*args, **kwargs)  # type: ignore[arg-type]


def _bad_request(code: int, exc: BaseException | None, message: str | None) -> tuple[int, bytes]:
    if isinstance(exc, LineTooLong):
        code = 431
    if code == 500:
        text, reason = "internal error of the proxy", "InternalError"
    else:
        text = f"the request cannot be read: {_first_line(message or 'bad request')}"
        reason = "BadRequest"
    return code, status_body(code, reason, text)


def _first_line(message: str) -> str:
    """The parser's complaint without the excerpt of the request that follows it."""
    return message.partition("\n")[0].rstrip(": ")


class ClientServer(web.Server):
    """aiohttp's low-level server, making :class:`ClientConnection` objects.

    Args:
        handler: answers one request.
        on_unreadable: is told of each request that could not be read: by whom, and the status
            and body size of the answer.
        options: aiohttp's request handler options.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], object],
        *,
        on_unreadable: Callable[[ClientConnection, int, int], None] | None = None,
        **options: object,
    ) -> None:
        # A client that leaves must not leave its watch behind.
        super().__init__(handler, handler_cancellation=True)  # type: ignore[arg-type]
        self._options = options
        self.on_unreadable = on_unreadable

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, **self._options)
