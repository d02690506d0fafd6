"""A client's connection: bytes in, requests out, one exchange at a time.

What a connection is doing is its :class:`State`; ``states`` has every way from one to another.
Requests are read by ``request_reader``. What becomes of one is the handler's business, how its
response is made the exchange's.
"""

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from ..errors import KubelatchError
from ..system.peer import Peer
from ..upstream.http1 import linger_zero
from .callbacks import ClientExchange, ClientTunnel
from .deadline import Deadline
from .local import error_response
from .reading import BODY_FULL, PENDING_FULL, TUNNEL_STALLED, Reading
from .request_reader import Request, RequestReader
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
        silent: no request has come yet.
        writing_paused: the client does not take what it is sent.
        half_closed_at: when our side was ended, on the event loop's clock; None before.
    """

    __slots__ = (
        "_backlog",
        "_deadline",
        "_limits",
        "_loop",
        "_reader",
        "_reading",
        "_request",
        "_server",
        "_tunnel",
        "exchange",
        "half_closed_at",
        "header_cache",
        "peer",
        "silent",
        "state",
        "transport",
        "writing_paused",
    )

    def __init__(self, server: "ClientServer") -> None:
        self._server = server
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(partial(server.parser, self), server.limits)
        self._reading = Reading()
        self.transport: asyncio.Transport | None = None
        self.state = _IDLE
        self.exchange: ClientExchange | None = None
        self.peer = Peer()
        self.header_cache: object = None
        self.silent = True
        self.writing_paused = False
        self.half_closed_at: float | None = None
        self._tunnel: ClientTunnel | None = None
        # What has come, and the parser is not ready for.
        self._backlog = b""
        # A request whose body comes, and that has not been handed on.
        self._request: Request | None = None
        # How long the state may last.
        self._deadline = Deadline(self._on_deadline)

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
        self._reading.transport = self.transport
        self.peer = Peer(transport)
        if self._server.admit(self):
            self._deadline.set(self._limits.first_head_seconds)
        else:
            # Clients may take a response to no request for a fault: wait for one, not for long.
            self.state = _EXCESS
            self._deadline.set(_REFUSED_LINGER)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._to(Event.CLOSED)
        self.transport = None
        self._reader.forget()
        self._reading.stop()
        self._deadline.stop()
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
        elif (
            self.state is _IDLE
            and not self.writing_paused
            and (request := self._reader.repeated(data)) is not None
        ):
            self._begin(request)
        else:
            self._feed_all(data)

    def eof_received(self) -> bool:
        # A client that ends its side of a plain request has gone, as for Go's server.
        return self._tunnel is not None and self._tunnel.on_client_eof()

    def _feed_all(self, data: bytes) -> None:
        """Feed the parser what one read brought, as far as the state allows."""
        start, size = 0, len(data)
        self._backlog = b""
        while start < size:
            state = self.state
            if state is _IDLE or state is _BODY or state is _HEAD:
                if self._reading.paused & BODY_FULL or (self.writing_paused and state is not _BODY):
                    # A client that pipelines and does not read gets no further.
                    self._keep(data[start:])
                    break
                start = self._feed(data, start)
            else:
                self._keep_unread(data[start:])
                break
        request = self._request
        if request is not None:
            # What has come of its body by now can go with its head, and be sent again.
            self._request = None
            self._server.handle(self, *request)

    def _keep_unread(self, data: bytes) -> None:
        """Take what the parser is not fed in this state."""
        if self.state is _LINGER:
            # The rest of a request whose response is sent.
            if self._reader.skip(len(data)):
                self.close()
        elif self.state is _EXCESS:
            self._refuse(self._limits.too_many_connections())
        elif self.state is not _BROKEN and self.state is not _CLOSED:
            self._keep(data)

    def _feed(self, data: bytes, start: int) -> int:
        """Feed the parser one message or a part of it, and return where the next begins."""
        reader = self._reader
        try:
            stop = reader.feed(data, start)
        except KubelatchError as error:
            self._refuse(error)
            return len(data)
        request = reader.request
        if request is not None:
            reader.request = None
            self._begin(request)
        elif self.state is _BODY:
            self._note_body()
        else:
            self._note_head()
        return stop

    def _note_head(self) -> None:
        """Note what has come of a request's head, if it has not come whole."""
        size = self._reader.partial_head
        if not size:
            return
        if self.state is _IDLE:
            self._to(Event.HEAD_BEGINS)
            self._deadline.set(self._limits.head_seconds)
        self._server.on_partial_head(self, size)

    def _note_body(self) -> None:
        """Note what has come of a request's body."""
        if self._reader.broken:
            self._to(Event.BODY_BREAKS)
            self._backlog = b""
            self._deadline.clear()
        elif self._reader.body is None:
            self._to(Event.BODY_ENDS)
            self._deadline.clear()
        else:
            self._deadline.set(self._limits.body_seconds)

    def _begin(self, request: Request) -> None:
        if self.silent or self.state is _HEAD:
            self.silent = False
            self._server.on_head(self)
        message, body = request
        if self._reader.body is not None:
            self._deadline.set(self._limits.body_seconds)
            self._to(Event.REQUEST_WITH_BODY)
            self._request = request
            return
        self._deadline.clear()
        self._to(Event.REQUEST_TO_UPGRADE if message.upgrade else Event.REQUEST)
        self._server.handle(self, message, body)

    def _keep(self, data: bytes) -> None:
        """What the parser is not ready for waits, and the client after it."""
        self._backlog = data
        if len(data) > _PENDING_HIGH:
            self._reading.pause(PENDING_FULL)

    def _feed_backlog(self) -> None:
        if self._backlog and self.state in (_IDLE, _BODY):
            self._reading.resume(PENDING_FULL)
            self._feed_all(self._backlog)

    def take_early(self) -> bytes:
        """Return the bytes that came after an upgrade request, and forget them."""
        early, self._backlog = self._backlog, b""
        self._reading.resume(PENDING_FULL)
        return early

    def ignore_upgrade(self) -> None:
        """Go on in HTTP, as RFC 9110 section 7.8 allows; only where the request has just come."""
        self._to(Event.UPGRADE_IGNORED)

    def begin_tunnel(self, tunnel: ClientTunnel) -> None:
        """Pass the client's bytes to *tunnel* from now on."""
        self._to(Event.SWITCHED)
        self._tunnel = tunnel
        self._reading.half_closes = True

    def end_exchange(self, *, keep_alive: bool) -> None:
        """The response is whole, or cut; *keep_alive*: another request may follow."""
        self.exchange = None
        if keep_alive:
            self._to(Event.RESPONSE_ENDS)
            self._deadline.set(self._limits.idle_seconds)
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

    def refuse_head(self) -> None:
        """Refuse the head that has come in part: there are too many such."""
        self._refuse(self._limits.too_many_partial_heads())

    def _refuse(self, error: KubelatchError) -> None:
        """Respond with *error* to what is no request, and end the connection."""
        data, size = error_response(error)
        if self.transport is not None:
            self.transport.write(data)
        # While our side is open: of one that is not, the kernel does not tell whose the other is.
        self._server.unreadable(self, error, size)
        self._to(Event.REFUSED)
        self._linger(_REFUSED_LINGER)

    def _linger(self, seconds: float) -> None:
        """End our side, and drop what the client still sends: a close right away could reset the
        connection and lose the response (RFC 9112 section 9.6)."""
        self._reader.forget()
        self._backlog = b""
        self._reading.resume(BODY_FULL | PENDING_FULL)
        self._deadline.set(seconds)
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
            reset: by a TCP reset, where the end of the connection would be the body's end.
        """
        if self.transport is not None and reset:
            linger_zero(self.transport)
            self.transport.abort()
        elif self.transport is not None:
            self.transport.close()

    def pause_reading(self) -> None:
        """Pause: the request's body comes faster than it is taken. Called by aiohttp's reader."""
        self._reader.pause()
        self._reading.pause(BODY_FULL)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The body is taken again; *resume_parser*: the parser has put something aside."""
        self._reading.resume(BODY_FULL)
        if resume_parser and self._reader.body is not None:
            self._reader.feed_paused()
            if self.state is _BODY:
                self._note_body()
            if not self._reading.paused & BODY_FULL and self._backlog:
                self._feed_backlog()

    def stall_tunnel(self) -> None:
        """Read no more for a tunnel, until :meth:`resume_tunnel`; a reset is still noticed."""
        self._reading.pause(TUNNEL_STALLED)

    def resume_tunnel(self) -> None:
        """Undo :meth:`stall_tunnel`."""
        self._reading.resume(TUNNEL_STALLED)

    def pause_writing(self) -> None:
        self.writing_paused = True
        if self.exchange is not None:
            self.exchange.on_client_paused()

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.exchange is not None:
            self.exchange.on_client_resumed()
        elif self._backlog:
            self._loop.call_soon(self._feed_backlog)

    def _on_deadline(self) -> None:
        if self.state is _HEAD:
            self._refuse(self._limits.head_too_slow())
        elif self.state is _EXCESS:
            self._refuse(self._limits.too_many_connections())
        elif self.state is not _BODY or self.exchange is None:
            self.close()
        elif self._reading.paused & BODY_FULL:
            # It is the upstream that does not take it.
            self._deadline.set(self._limits.body_seconds)
        else:
            self.exchange.fail(self._limits.body_too_slow())
