"""A client's connection: bytes in, requests out, one exchange at a time.

Heads and bodies are parsed by aiohttp's C parser, which is fed message by message: it knows only
``websocket`` as an upgrade, and drops what follows the head of any other in the same read. What a
connection is doing is its :class:`State`; ``states`` has every way from one to another. What
becomes of a request is the handler's business, how its response is made the exchange's.

Limits hold for a head as a whole, in bytes and in time, for idle time, and for connections in
number. One timer serves all times of a connection.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import KubelatchError
from ..http1.request_line import RequestLine
from ..system.peer import Peer
from ..upstream.http1 import linger_zero
from .disconnect import DisconnectMonitor
from .framer import Framer
from .limits import PartialHead, explain, first_line
from .local import error_response
from .states import TRANSITIONS, Event, State

if TYPE_CHECKING:
    from .server import ClientServer

# What one connection may have buffered before its peer is paused. nginx buffers 64 KiB per
# direction, Envoy 1 MiB; larger makes fewer pauses for bulk data.
WRITE_BUFFER_HIGH: Final = 256 * 1024
# Bytes that may wait: early data of an upgrade, or the next request of a pipeline.
_PENDING_HIGH: Final = 64 * 1024
# How long a refused client may take to read why, in seconds.
_REFUSED_LINGER: Final = 2.0
# How long the rest of a request is read and dropped after its response, in seconds; aiohttp's.
_BODY_LINGER: Final = 10.0

# Why the transport is not read from; one bit each.
_BODY_FULL: Final = 1
_PENDING_FULL: Final = 2
_TUNNEL_STALLED: Final = 4

_EXCESS: Final = State.EXCESS
_IDLE: Final = State.IDLE
_HEAD: Final = State.HEAD
_BODY: Final = State.BODY
_UPGRADE: Final = State.UPGRADE
_TUNNEL: Final = State.TUNNEL
_LINGER: Final = State.LINGER
_BROKEN: Final = State.BROKEN
_CLOSED: Final = State.CLOSED
_WAITING: Final = frozenset({State.EXCESS, State.IDLE, State.HEAD})


class ClientExchange(Protocol):
    """The exchange under way, as its client's connection sees it."""

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""

    def on_client_resumed(self) -> None:
        """It takes bytes again."""

    def cancel(self) -> None:
        """The connection is gone."""

    def fail(self, error: KubelatchError) -> None:
        """It cannot go on."""


class ClientTunnel(Protocol):
    """What takes a client's bytes after an upgrade."""

    def on_client_data(self, data: bytes) -> None:
        """Bytes of the new protocol."""

    def on_client_eof(self) -> bool:
        """The client sends no more; True keeps our side open."""
        ...

    def on_client_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""


class ClientProtocol(asyncio.Protocol):
    """One client's connection; see the module.

    Args:
        server: what all connections share.

    Attributes:
        transport: None once the connection is lost.
        state: what the connection is doing.
        exchange: the one under way.
        peer: the process at the other end.
        header_cache: what the handler remembers of this client's header lines.
        writing_paused: the client does not take what it is sent.
        half_closed_at: when our side was ended, on the event loop's clock; None before.
    """

    __slots__ = (
        "_backlog",
        "_body",
        "_body_chunked",
        "_deadline",
        "_drained",
        "_early",
        "_framer",
        "_head",
        "_limits",
        "_loop",
        "_monitor",
        "_parser",
        "_pauses",
        "_request",
        "_server",
        "_timer",
        "_tunnel",
        "exchange",
        "half_closed_at",
        "header_cache",
        "peer",
        "state",
        "transport",
        "writing_paused",
    )

    def __init__(self, server: "ClientServer") -> None:
        self._server = server
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self._parser = server.parser(self)
        self._framer = Framer()
        self._monitor = DisconnectMonitor()
        self.transport: asyncio.Transport | None = None
        self.state = _IDLE
        self.exchange: ClientExchange | None = None
        self.peer = Peer()
        self.header_cache: object = None
        self.writing_paused = False
        self.half_closed_at: float | None = None
        self._tunnel: ClientTunnel | None = None
        # Of the message that is being fed, while it comes.
        self._body: StreamReader | None = None
        self._body_chunked = False
        # A head that came in part.
        self._head: PartialHead | None = None
        # What one read brought, and the parser is not ready for.
        self._backlog = b""
        # A request whose body comes, and that has not been handed on.
        self._request: tuple[RawRequestMessage, StreamReader] | None = None
        # What came after an upgrade request.
        self._early = bytearray()
        self._pauses = 0
        self._drained: asyncio.Future[None] | None = None
        # When the state has lasted too long, on the event loop's clock; None: it may last.
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _to(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    @property
    def connected(self) -> bool:
        """The connection is not lost; aiohttp's stream reader asks."""
        return self.transport is not None

    @property
    def leaving(self) -> bool:
        """It is lost, or about to be."""
        return self.transport is None or self.transport.is_closing()

    @property
    def waits_for_request(self) -> bool:
        """No exchange is under way; part of a request's head may have come."""
        return self.state in _WAITING

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH)
        self.peer = Peer(transport)
        if self._server.admit(self):
            self._expire_after(self._limits.idle_seconds)
        else:
            # Clients may take a response to no request for a fault: wait for one, not for long.
            self.state = _EXCESS
            self._expire_after(_REFUSED_LINGER)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._to(Event.CLOSED)
        self.transport = None
        self._end_head()
        self._monitor.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.on_client_lost(exc)
        if self.exchange is not None:
            self.exchange.cancel()
            self.exchange = None
        self._server.connection_lost(self, exc)

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.on_client_data(data)
        elif self._backlog:
            self._feed_all(self._backlog + data)
        else:
            self._feed_all(data)

    def eof_received(self) -> bool:
        # A client that ends its side of a plain request has gone, as for Go's server.
        return self._tunnel is not None and self._tunnel.on_client_eof()

    def _feed_all(self, data: bytes) -> None:
        """Feed the parser what one read brought, as far as the state allows."""
        self._feed_messages(data)
        request, self._request = self._request, None
        if request is not None:
            # What has come of its body by now can go with its head, and be sent again.
            self._server.handle(self, *request)

    def _feed_messages(self, data: bytes) -> None:
        start, size = 0, len(data)
        self._backlog = b""
        while start < size:
            state = self.state
            if state is _BODY or state is _IDLE or state is _HEAD:
                if self._pauses & _BODY_FULL or (self.writing_paused and state is not _BODY):
                    # A client that pipelines and does not read gets no further.
                    self._keep(data[start:])
                    return
                stop = self._framer.next_stop(data, start)
                self._feed(data[start:stop])
                start = stop
            elif state is _UPGRADE:
                self._keep_early(data[start:])
                return
            elif state is _LINGER:
                self._discard(size - start)
                return
            elif state is _BROKEN:
                return
            elif state is _EXCESS:
                self._refuse(self._limits.too_many_connections())
                return
            elif state is _CLOSED:
                return
            else:
                self._keep(data[start:])
                return

    def _feed(self, piece: bytes) -> None:
        body = self._body
        if body is None:
            if self._body_chunked:
                # aiohttp keeps the last trailer, and would take it for the first field of the next
                # request (_http_parser.pyx: cb_on_message_begin does not clear _raw_name).
                self._body_chunked = False
                self._parser = self._server.parser(self)
            size = len(piece) if self._head is None else len(piece) + self._head.size
            if size > self._limits.header_bytes:
                self._refuse(self._limits.head_too_large())
                return
            if self._head is not None and not (piece := self._head.gather(piece)):
                return
        line = self._head.line if self._head is not None else None
        if body is None and line is None and not piece.isascii():
            line = RequestLine()
        try:
            messages, _, _ = self._parser.feed_data(piece if line is None else line.readable(piece))
        except HttpProcessingError as exc:
            self._unreadable(exc)
            return
        if body is not None:
            if body.is_eof():
                self._end_body()
        elif messages:
            self._end_head()
            message, body = messages[0]
            if line is not None:
                message = message._replace(path=line.target(message.path))
            self._begin(message, body)
        # RFC 9112 section 2.2: empty lines before a request are none of it.
        elif self._head is None and piece.strip(b"\r\n"):
            self._head = PartialHead(piece)
            self._to(Event.HEAD_BEGINS)
            self._expire_after(self._limits.head_seconds)

    def _begin(self, message: RawRequestMessage, body: StreamReader) -> None:
        self._deadline = None
        if not body.is_eof():
            self._body = body
            self._body_chunked = message.chunked
            if not message.chunked:
                self._framer.body_left = int(message.headers.get("Content-Length", "0"))
            self._to(Event.REQUEST_WITH_BODY)
            self._request = message, body
            return
        if message.upgrade:
            self._to(Event.REQUEST_TO_UPGRADE)
        else:
            self._to(Event.REQUEST)
        self._server.handle(self, message, body)

    def _end_body(self) -> None:
        self._body = None
        if self.state is _BODY:
            self._to(Event.BODY_ENDS)

    def _end_head(self) -> None:
        self._head = None

    def _unreadable(self, exc: HttpProcessingError) -> None:
        """The parser takes no more."""
        if self._body is None:
            self._refuse(explain(exc, self._limits))
        else:
            # The exchange that reads it responds; what follows cannot be told from it.
            body, self._body = self._body, None
            self._framer.body_left = 0
            if self.state is _BODY:
                self._to(Event.BODY_BREAKS)
            body.set_exception(web.RequestPayloadError(first_line(exc.message)))
            self._backlog = b""

    def _keep(self, data: bytes) -> None:
        """What the parser is not ready for waits, and the client after it."""
        self._backlog = data
        if len(data) > _PENDING_HIGH:
            self._pause(_PENDING_FULL)

    def _keep_early(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > _PENDING_HIGH:
            self._pause(_PENDING_FULL)

    def _discard(self, size: int) -> None:
        """Drop the rest of a request whose response is sent, and close at its end."""
        if self._framer.body_left:
            self._framer.body_left = max(0, self._framer.body_left - size)
            if not self._framer.body_left:
                self.close()

    def _feed_backlog(self) -> None:
        if self._backlog and self.state in (_IDLE, _BODY):
            self._resume(_PENDING_FULL)
            self._feed_all(self._backlog)

    def take_early(self) -> bytes:
        """Return the bytes that came after an upgrade request, and forget them."""
        early = bytes(self._early)
        self._early.clear()
        self._resume(_PENDING_FULL)
        return early

    def ignore_upgrade(self) -> None:
        """Go on in HTTP, as RFC 9110 section 7.8 allows; only where the request has just come."""
        self._to(Event.UPGRADE_IGNORED)

    def begin_tunnel(self, tunnel: ClientTunnel) -> None:
        """Pass the client's bytes to *tunnel* from now on."""
        self._to(Event.SWITCHED)
        self._tunnel = tunnel

    def end_exchange(self, *, keep_alive: bool) -> None:
        """The response is whole, or cut; *keep_alive*: another request may follow."""
        self.exchange = None
        if keep_alive:
            self._to(Event.RESPONSE_ENDS)
            self._expire_after(self._limits.idle_seconds)
            if self._backlog:
                # Not from within the caller: it may be the upstream connection that the next
                # request would take, in the middle of a delivery that goes on to say that it has
                # ended.
                self._loop.call_soon(self._feed_backlog)
            return
        self._tunnel = None
        self._to(Event.LAST_RESPONSE_ENDS)
        if self.state is _CLOSED:
            self.close()
        else:
            self._linger(_BODY_LINGER)

    def _refuse(self, error: KubelatchError) -> None:
        """Respond with *error* to what is no request, and end the connection."""
        self._end_head()
        data, size = error_response(error)
        if self.transport is not None:
            self.transport.write(data)
        self._to(Event.REFUSED)
        self._linger(_REFUSED_LINGER)
        self._server.unreadable(self, error, size)

    def _linger(self, seconds: float) -> None:
        """End our side, and drop what the client still sends: a close right away could reset the
        connection and lose the response (RFC 9112 section 9.6)."""
        self._body = None
        self._backlog = b""
        self._resume(_BODY_FULL | _PENDING_FULL)
        self._expire_after(seconds)
        self.end_writing()

    def end_writing(self) -> None:
        """Send no more; the client may go on."""
        self.half_closed_at = self._loop.time()
        if self.transport is not None and not self.transport.is_closing():
            # asyncio raises where a reset has come that it has not read yet.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def close(self) -> None:
        """Close once what is buffered has been sent. May be repeated."""
        self._to(Event.CLOSED)
        if self.transport is not None:
            self.transport.close()

    def cut(self, *, reset: bool) -> None:
        """End the connection so that what was sent cannot look complete.

        Args:
            reset: nothing but a reset tells the client, as its end is the body's end.
        """
        if self.transport is not None and reset:
            linger_zero(self.transport)
            self.transport.abort()
        elif self.transport is not None:
            self.transport.close()

    def pause_reading(self) -> None:
        """The request's body is not taken as fast as it comes; aiohttp's stream reader says so."""
        self._parser.pause_reading()
        self._pause(_BODY_FULL)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The body is taken again; *resume_parser*: the parser has put something aside."""
        self._resume(_BODY_FULL)
        if resume_parser and self._body is not None:
            self._feed(b"")
            if not self._pauses & _BODY_FULL and self._backlog:
                self._feed_backlog()

    def stall_tunnel(self) -> None:
        """Read no more for a tunnel, until :meth:`resume_tunnel`; a reset is still noticed."""
        self._pause(_TUNNEL_STALLED)

    def resume_tunnel(self) -> None:
        """Undo :meth:`stall_tunnel`."""
        self._resume(_TUNNEL_STALLED)

    def _pause(self, reason: int) -> None:
        self._pauses |= reason
        if not self.leaving:
            transport = cast("asyncio.Transport", self.transport)
            transport.pause_reading()
            self._monitor.start(transport, half=self._tunnel is None)

    def _resume(self, reason: int) -> None:
        if not self._pauses & reason:
            return
        self._pauses &= ~reason
        if not self._pauses and not self.leaving:
            cast("asyncio.Transport", self.transport).resume_reading()

    def pause_writing(self) -> None:
        self.writing_paused = True
        if self.exchange is not None:
            self.exchange.on_client_paused()

    def resume_writing(self) -> None:
        self.writing_paused = False
        self._wake()
        if self.exchange is not None:
            self.exchange.on_client_resumed()
        elif self._backlog:
            self._loop.call_soon(self._feed_backlog)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written; at once if it is gone."""
        if self.writing_paused and self.transport is not None:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def _wake(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def _expire_after(self, seconds: float) -> None:
        """Let the state that has just begun last no longer; 0 is for ever."""
        if seconds <= 0:
            self._deadline = None
            return
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self.state is _HEAD:
            self._refuse(self._limits.head_too_slow())
        elif self.state is _EXCESS:
            self._refuse(self._limits.too_many_connections())
        else:
            self.close()
