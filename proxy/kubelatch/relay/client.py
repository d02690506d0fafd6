"""The client's side of a connection: aiohttp's low-level request handler, with six additions.

1. The parser is fed message by message, as far as their ends can be told beforehand: of any
   upgrade but ``websocket`` it would drop what follows in the same read. It is held for the tunnel.
2. Once a tunnel is established, bytes go to it and no longer to HTTP.
3. Who writes to the client directly is told when the client stops or resumes taking bytes.
4. A client that leaves is noticed even while nothing is read from it.
5. A head has a limit as a whole, in bytes and in time, and connections in number.
6. A request without a body is first offered to whoever can answer it without a task, of which
   aiohttp's own way takes two.

Bad requests are answered with a Kubernetes ``Status``. This depends on aiohttp's ``RequestHandler``
beyond its documentation, hence the ceiling in pyproject.toml; tests/exchange would show a change.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from ..errors import KubelatchError
from ..http1.request_line import RequestLine
from ..system.peer import Peer
from ..upstream.http1 import linger_zero
from .disconnect import Lookout
from .framer import Cutter
from .limits import PartialHead, explain, first_line, told
from .roles import ClientTunnel, Ongoing, Writer
from .sent import CLOSE

if TYPE_CHECKING:
    from .server import ClientServer

log = logging.getLogger(__name__)

# What one connection may have buffered before its peer is paused. nginx buffers 64 KiB per
# direction, Envoy 1 MiB; larger makes fewer pauses for bulk data.
WRITE_BUFFER_HIGH: Final = 256 * 1024
# Bytes sent ahead behind an upgrade request, before the upstream has agreed to it.
_HELD_HIGH: Final = 64 * 1024
# How long a client that has been refused may take to read why, in seconds.
_LINGER: Final = 2.0


class ClientConnection(RequestHandler):
    """One client's connection; see the module."""

    __slots__ = (
        "_backlog",
        "_body",
        "_cutter",
        "_excess",
        "_head",
        "_held",
        "_lookout",
        "_refused",
        "_server",
        "_trailed",
        "memory",
        "ongoing",
        "peer",
        "said_all",
        "tunnel",
        "writer",
    )

    def __init__(self, server: "ClientServer", **options: object) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)  # type: ignore[arg-type]
        self._server = server
        self.writer: Writer | None = None
        self.tunnel: ClientTunnel | None = None
        # What is being answered without aiohttp's knowing.
        self.ongoing: Ongoing | None = None
        # What who answers remembers of this client.
        self.memory: object = None
        self._cutter = Cutter()
        # Of the message that is being fed.
        self._body: StreamReader | None = None
        # The last body was chunked, and may have had trailers.
        self._trailed = False
        # A head that came in part.
        self._head: PartialHead | None = None
        # This connection is one too many, and has not been told so.
        self._excess: asyncio.TimerHandle | None = None
        # The last request is answered without being carried out, and what follows it is dropped.
        self._refused = False
        # When we ended our side, while the client may go on with its own.
        self.said_all: float | None = None
        # What one read brought, and the parser is not ready for.
        self._backlog = b""
        # An upgrade request has come, and this behind it.
        self._held: bytearray | None = None
        self._lookout = Lookout()
        self.peer = Peer()

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.on_client_data(data)
        elif self._held is not None:
            self._hold(self._held, data)
        elif self._refused:
            self._turn_away()
        else:
            if not data and self._in_body:
                # aiohttp's way to say that the parser may go on with what it has put aside.
                self._feed(data)
            self._feed_all(self._backlog + data)

    def _feed_all(self, data: bytes) -> None:
        """Feed the parser piece by piece, until it has enough or an upgrade is asked for."""
        start, size = 0, len(data)
        self._backlog = b""
        while start < size and not (self._refused or self._force_close):
            if self._close and not self._in_body:
                # No further request; aiohttp would not take the rest of a body either.
                return
            if self._held is not None:
                self._hold(self._held, data[start:])
                return
            full = len(self._messages) >= self._max_msg_queue_size
            if full or self.ongoing is not None or self._reading_paused:
                self._keep(data[start:])
                return
            stop = self._cutter.next_stop(data, start)
            self._feed(data[start:stop])
            start = stop

    @property
    def _in_body(self) -> bool:
        return self._body is not None and not self._body.is_eof()

    def _feed(self, piece: bytes) -> None:
        in_head = not self._in_body
        if in_head:
            if self._trailed:
                # aiohttp keeps the last trailer, and would take it for the first field of the next
                # request (_http_parser.pyx: cb_on_message_begin does not clear _raw_name).
                self._trailed = False
                self._parser = self._server.parser(self)
            size = len(piece) if self._head is None else len(piece) + self._head.size
            if size > self._server.limits.header_bytes:
                self._refuse(self._server.limits.head_too_large())
                return
            if self._head is not None and not (piece := self._head.gather(piece)):
                return
        line = self._head.line if self._head is not None else None
        if in_head and line is None and not piece.isascii():
            line = RequestLine()
        parsed = self._parse(piece if line is None else line.readable(piece))
        if parsed is None:
            # RFC 9112 section 2.2: empty lines before a request are none of it.
            if in_head and self._head is None and piece.strip(b"\r\n"):
                self._head = PartialHead(piece, self._server.limits, self._refuse)
            return
        self._end_head()
        message, payload = parsed
        if not isinstance(message, RawRequestMessage):
            self._refused = True
            self._queue(message, payload)
            if self._body is not None and self._in_body:
                # A request that is under way, of which aiohttp tells nobody.
                self._body.set_exception(web.RequestPayloadError(first_line(message.message)))
            return
        if line is not None:
            message = message._replace(path=line.target(message.path))
        if not payload.is_eof():
            self._body = payload
            self._trailed = message.chunked
            if not message.chunked:
                self._cutter.body_left = int(message.headers.get("Content-Length", "0"))
        elif message.upgrade:
            self._held = bytearray()
        elif self.idle and self._server.begin(self, message, payload):
            # It may be over already.
            self._request_in_progress = self.ongoing is not None
            if self._parser is not None:
                self._parser.message_consumed()
            return
        self._queue(message, payload)

    def _parse(self, piece: bytes) -> tuple[RawRequestMessage | _ErrInfo, StreamReader] | None:
        """As aiohttp's ``data_received``, of which this is a part: a message, if one begins."""
        if self._parser is None:
            return None
        try:
            messages, self._upgraded, _ = self._parser.feed_data(piece)
        except HttpProcessingError as exc:
            return _ErrInfo(400, exc, exc.message), EMPTY_PAYLOAD
        # There is never a second one, nor a tail: no piece goes beyond a message.
        return messages[0] if messages else None

    def _queue(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> None:
        """As aiohttp's ``data_received``, of which this is the rest: wake who answers."""
        self._request_count += 1
        self._messages.append((message, payload))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if not self._buffer_paused and len(self._messages) >= self._max_msg_queue_size:
            self._pause_reading_for_buffer()

    def _keep(self, data: bytes) -> None:
        """What the parser is not ready for waits, and behind it the client."""
        self._backlog = data
        if self.ongoing is not None and len(data) > _HELD_HIGH and not self._buffer_paused:
            self._pause_reading_for_buffer()

    def end_ongoing(self, *, keep_alive: bool) -> None:
        """What :attr:`ongoing` stood for is over; the next request may come."""
        self.ongoing = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if not keep_alive or self._close:
            self.force_close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._backlog:
            # Not from within the caller: it may be the upstream connection that the next request
            # would take, in the middle of a delivery that goes on to say that it has ended.
            self._loop.call_soon(self._feed_backlog)

    def _feed_backlog(self) -> None:
        if self.ongoing is None and not self._messages:
            if self._buffer_paused:
                self._resume_reading_for_buffer()
            self._feed_all(self._backlog)

    def _hold(self, held: bytearray, data: bytes) -> None:
        held += data
        if len(held) > _HELD_HIGH:
            self._pause_transport_reading()

    @property
    def holding(self) -> bool:
        """The request that is being answered asks for an upgrade, and what follows it waits."""
        return self._held is not None and not self._messages

    def take_held(self) -> bytes:
        """The bytes that came behind an upgrade request; later ones go to :attr:`tunnel`."""
        held, self._held = bytes(self._held or b""), None
        if len(held) > _HELD_HIGH:
            self._resume_transport_reading()
        return held

    def continue_http(self) -> None:
        """The upgrade is ignored, as HTTP allows: what was held is the next request."""
        self.data_received(self.take_held())

    def eof_received(self) -> bool:  # type: ignore[override]
        return self.tunnel is not None and self.tunnel.on_client_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.tunnel is not None:
            self.tunnel.on_client_lost(exc)
        if self.ongoing is not None:
            self.ongoing.cancel()
            self.ongoing = None
        self.writer = None
        self._end_head()
        if self._excess is not None:
            self._excess.cancel()
        self._lookout.stop()
        super().connection_lost(exc)

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.end()
            self._head = None

    def _turn_away(self) -> None:
        """Tell one connection too many that it is, once."""
        if self._excess is not None:
            self._excess.cancel()
            self._excess = None
            self._refuse(self._server.limits.too_many_connections())

    def _refuse(self, error: KubelatchError) -> None:
        """Answer with *error*, behind the requests that came before, and end the connection."""
        self._end_head()
        self._refused = True
        self._queue(_ErrInfo(error.status, error, error.message), EMPTY_PAYLOAD)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_BUFFER_HIGH)
        super().connection_made(transport)
        self.peer = Peer(transport)
        if not self._server.admit(self):
            # Clients may take an answer to no request for a fault: wait for one, not for long.
            self._refused = True
            self._excess = self._loop.call_later(_LINGER, self._turn_away)

    def _pause_transport_reading(self) -> None:
        super()._pause_transport_reading()
        if self.transport is not None:
            self._lookout.begin(self.transport, half=self.tunnel is None)

    def hold_back(self) -> None:
        """Read no more for a tunnel, until :meth:`read_on`; a reset is noticed all the same."""
        self._pause_transport_reading()

    def read_on(self) -> None:
        """Undo :meth:`hold_back`."""
        self._resume_transport_reading()

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
        """End the connection so that what was sent cannot look complete; by a *reset* where its
        end is the body's end."""
        if self.transport is not None and reset:
            linger_zero(self.transport)
            self.transport.abort()
        elif self.transport is not None:
            self.transport.close()

    def end_writing(self) -> None:
        """Say that no more will be sent, while the rest of a request is still read and dropped:
        a close right away could reset the connection and lose the answer (RFC 9112 section 9.6).
        """
        self.said_all = self._loop.time()
        if self.transport is not None and not self.transport.is_closing():
            # asyncio raises where a reset has come that it has not read yet.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    @property
    def leaving(self) -> bool:
        """It has ended, or is about to."""
        return self.transport is None or self.transport.is_closing()

    @property
    def ending(self) -> bool:
        """It ends behind the answer that is under way."""
        return self._close

    @property
    def idle(self) -> bool:
        """It waits for a request, of which no more than a part has come."""
        return self.ongoing is None and self._waiter is not None and not self._messages

    def _process_keepalive(self) -> None:
        if self.ongoing is not None:
            # aiohttp takes a connection without a task for an idle one.
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

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
        error = explain(status, exc, message, self._server.limits)
        data, size = told(error)
        if self.transport is not None:
            self.transport.write(data)
        if self._server.on_unreadable is not None:
            self._server.on_unreadable(self, error, size)
        return CLOSE

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            response = self.handle_error(request, err_info.status, err_info.exc, err_info.message)
            self.end_writing()
            # Ended by the client's end, as all handlers are.
            await asyncio.sleep(_LINGER)
            return response

        return handler

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """aiohttp's complaint when it reads the rest of a request that it cannot parse."""
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            log.error(*args, **kwargs)  # type: ignore[arg-type]
