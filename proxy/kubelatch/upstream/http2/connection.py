"""One HTTP/2 connection and its streams (RFC 9113), the client's side.

What a frame brings is delivered in the callback that received it. Each stream has a window of its
own, which is opened as its client takes what has come; the connection's is opened at once, so that
a stream that is held back holds back no other.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

import hpack

from ...errors import NotProcessedError, UpstreamError
from ...http1.fields import Pair
from ...http1.response import Receiver
from ..request import UpstreamRequest
from . import frames
from .frames import Code, FrameType, Http2Error, Setting, StreamError
from .heads import request_fields
from .incoming import MAX_LIST, Incoming
from .stream import WINDOW, Http2Stream

Explain = Callable[[ssl.SSLError], UpstreamError]

ASSUMED_STREAMS: Final = 100
"""What a server allows until it says so; Go's client assumes the same."""
# More would share the losses of one TCP connection.
_MAX_STREAMS: Final = 1000
# Room for the windows of all streams, four times over.
_CONNECTION_WINDOW: Final = 1 << 30
_INITIAL_WINDOW: Final = 65_535
# Of ours, that the server does not read.
_MAX_BUFFERED: Final = 4 * 1024 * 1024
# Streams that we cancelled, of which more may be on its way.
_MAX_CANCELLED: Final = 4096
_MAX_TABLE: Final = 4096
# Ticks, of a second each: client-go sends a PING after 30 s of silence and gives up 15 s later
# (apimachinery pkg/util/net/http.go). The loop reads between two ticks, so that a time in which it
# did not run does not count.
PING_AFTER: Final = 29
DEAD_AFTER: Final = 15
# After a suspend: a server that is still there answers at once.
_DEAD_AFTER_SUSPEND: Final = 5
# A request that is put on a connection which has been silent as long asks for a sign of life.
_PROBE_AFTER: Final = 5
_IDLE: Final = 90
_PING: Final = frames.build(FrameType.PING, 0, 0, bytes(8))


class Http2Connection(asyncio.Protocol):
    """See the module.

    Args:
        explain: explains a TLS error that occurs after the handshake.
        on_change: is called when it may take more streams than before, or fewer.
        assumed: how many streams the server allows, until it says so.

    Attributes:
        transport: None before the connection is made, and when it is lost or has been left.
        negotiated: the server speaks HTTP/2; without TLS that is assumed.
        streams: those that are under way, by number.
        places: how many streams it has, started or not.
        allowed: how many the server allows; *assumed* until it says so.
        limit: the same, or less for a while when it has refused one.
        answered: a response has come.
        broken: what the server violated, if it did.
    """

    def __init__(
        self, explain: Explain, on_change: Callable[[], None], assumed: int = ASSUMED_STREAMS
    ) -> None:
        self.explain = explain
        self.transport: asyncio.Transport | None = None
        self.negotiated = False
        self.streams: dict[int, Http2Stream] = {}
        self.places = 0
        self.allowed = self.limit = assumed
        self.answered = False
        self.broken = ""
        self._on_change = on_change
        self._scheme = b"https"
        self._used = False
        self._leaving = False
        self._heard = False
        self._suspect = False
        # Ticks since something came, and without a stream.
        self._silent = 0
        self._idle = 0
        self._next = 1
        self._cancelled: dict[int, None] = {}
        self._incoming = Incoming(self)
        self._encoder = hpack.Encoder()
        self._touched: dict[Http2Stream, Receiver] = {}
        self._stated = False
        # What has come since the connection's window was opened last, and what we may send.
        self._taken = 0
        self._granted = _INITIAL_WINDOW
        self._initial = _INITIAL_WINDOW
        self._out: list[bytes] = []

    @property
    def available(self) -> bool:
        """Whether it takes another stream now."""
        return (
            self.transport is not None
            and not self._leaving
            and self.places < self.limit
            and (self._heard or not self._suspect)
        )

    def stream(self) -> Http2Stream:
        """A stream, which has its place from now on."""
        self.places += 1
        stream = Http2Stream(self, reused=self._used)
        self._used = True
        return stream

    def start(self, stream: Http2Stream, request: UpstreamRequest, authorization: bytes) -> None:
        """Send a stream's request."""
        if self.transport is None or self._leaving or self._next > frames.MAX_WINDOW:
            self._leaving = True
            stream.lose(NotProcessedError("the API server closed the connection"))
            return
        if len(self.streams) >= self.allowed:
            # It got its place before the server had said how many it allows. Go's server resets
            # what it has not agreed to with PROTOCOL_ERROR.
            stream.lose(NotProcessedError("the API server allows no more streams at once"))
            return
        if self._silent >= _PROBE_AFTER:
            self.probe()
        stream.number, self._next = self._next, self._next + 2
        fields = request_fields(request, self._scheme, authorization)
        # Without Huffman's code, which takes as long as all the rest.
        block = self._encoder.encode(fields, huffman=False)
        self.streams[stream.number] = stream
        self._send(frames.build_headers(stream.number, block))

    def forget(self, stream: Http2Stream, *, cancel: bool) -> None:
        """A stream is over; *cancel*: the server does not know."""
        self.places -= 1
        self._touched.pop(stream, None)
        if stream.number:
            del self.streams[stream.number]
            if cancel:
                self._reset(stream.number, Code.CANCEL)
        self._leave_if_done()
        self._on_change()

    def credit(self, stream: Http2Stream, size: int) -> None:
        """Let a stream's server send *size* more bytes."""
        self._send(frames.build_number(FrameType.WINDOW_UPDATE, stream.number, size))

    def leave(self) -> None:
        """Take no more streams, and close after the last. May be repeated."""
        self._leaving = True
        self._leave_if_done()

    def probe(self, *, suspend: bool = False) -> None:
        """Find out whether the server is still there.

        Args:
            suspend: it probably is not: nothing more is put on this connection until it answers.
        """
        if self.transport is None:
            return
        if suspend:
            self._suspect, self._heard = True, False
            self._silent = PING_AFTER + DEAD_AFTER - _DEAD_AFTER_SUSPEND
        elif self._silent < PING_AFTER:
            self._silent = PING_AFTER
        else:
            return
        self._send(_PING)

    def tick(self) -> None:
        """Called once a second: sends a PING where nothing comes, and gives up what is dead."""
        if self.transport is None:
            return
        self._incoming.next_second()
        self.limit = self.allowed
        self._idle = 0 if self.places else self._idle + 1
        if self._heard:
            self._heard = self._suspect = False
            self._silent = 0
        else:
            self._silent += 1
        if self._silent >= PING_AFTER + DEAD_AFTER:
            self._lose("the API server went silent")
        elif self._idle >= _IDLE:
            self.leave()
        elif self._silent == PING_AFTER:
            self._send(_PING)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        self.negotiated = tls is None or tls.selected_alpn_protocol() == "h2"
        if not self.negotiated:
            return
        self._scheme = b"http" if tls is None else b"https"
        settings = {
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: MAX_LIST,
        }
        wider = _CONNECTION_WINDOW - _INITIAL_WINDOW
        self.transport.write(
            frames.PREFACE
            + frames.build_settings(settings)
            + frames.build_number(FrameType.WINDOW_UPDATE, 0, wider)
        )

    def data_received(self, data: bytes) -> None:
        if not self.negotiated or self.transport is None:
            return
        self._heard = True
        try:
            self._incoming.feed(data)
        except Http2Error as error:
            self._violated(error)
        touched, self._touched = self._touched, {}
        for stream, receiver in touched.items():
            if stream.receiver is receiver:
                receiver.on_flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("the API server closed the connection", exc)

    def check(self, stream: int, *, late: bool = False) -> bool:
        """See :class:`FrameHandler`. What comes for a stream that we cancelled is ignored."""
        found = self.streams.get(stream)
        if found is not None and (late or not found.complete):
            return True
        if found is None and (not stream % 2 or stream >= self._next):
            raise Http2Error(Code.PROTOCOL_ERROR, "a frame of a stream that was never opened")
        if not late and stream not in self._cancelled:
            raise Http2Error(Code.STREAM_CLOSED, "a frame after the end of its stream")
        self._incoming.count_useless()
        return False

    def on_data(self, stream: int, data: bytes, size: int, *, ended: bool) -> None:
        """See :class:`FrameHandler`."""
        self._taken += size
        if self._taken > _CONNECTION_WINDOW // 4:
            self._send(frames.build_number(FrameType.WINDOW_UPDATE, 0, self._taken))
            self._taken = 0
        if self.check(stream):
            self._touch(self.streams[stream]).on_data(data, size, ended=ended)

    def on_fields(self, stream: int, fields: list[Pair], *, ended: bool) -> None:
        """See :class:`FrameHandler`."""
        found = self.streams.get(stream)
        if found is not None:
            self.answered = True
            self._touch(found).on_fields(fields, ended=ended)

    def on_skipped_fields(self, stream: int) -> None:
        """See :class:`FrameHandler`. A stream without a response is begun again elsewhere."""
        found = self.streams.get(stream)
        if found is not None:
            self._reset(stream, Code.CANCEL)
            error = found.cut("the API server sent too large a head on the same connection")
            found.lose(error, stale=not found.response_begun)

    def on_reset(self, stream: int, code: int) -> None:
        """See :class:`FrameHandler`."""
        if code == Code.REFUSED_STREAM:
            # For a while it would refuse more.
            self.limit = min(self.limit, max(1, len(self.streams) - 1))
        elif code == Code.HTTP_1_1_REQUIRED:
            self.broken = "the API server wants HTTP/1.1"
            self._on_change()
        self.streams[stream].on_reset(code)

    def on_setting(self, name: int, value: int) -> None:
        """See :class:`FrameHandler`."""
        if name == Setting.MAX_CONCURRENT_STREAMS:
            self.allowed = min(value, _MAX_STREAMS)
            self._stated = True
        elif name == Setting.HEADER_TABLE_SIZE:
            self._encoder.header_table_size = min(value, _MAX_TABLE)
        elif name == Setting.INITIAL_WINDOW_SIZE:
            most = max((stream.granted for stream in self.streams.values()), default=0)
            if value + most > frames.MAX_WINDOW:
                raise Http2Error(Code.FLOW_CONTROL_ERROR, "a window that is too large")
            self._initial = value

    def on_settings(self) -> None:
        """See :class:`FrameHandler`."""
        if not self._stated:
            # Any number.
            self.allowed = _MAX_STREAMS
        self.limit = self.allowed
        self._send(frames.build(FrameType.SETTINGS, frames.ACK, 0))
        self._on_change()

    def on_ping(self, payload: bytes) -> None:
        """See :class:`FrameHandler`."""
        self._send(frames.build(FrameType.PING, frames.ACK, 0, payload))

    def on_goaway(self, last: int, code: int) -> None:
        """See :class:`FrameHandler`. Streams up to the last run on."""
        self._leaving = True
        if code == Code.HTTP_1_1_REQUIRED:
            self.broken = "the API server wants HTTP/1.1"
        for number, stream in list(self.streams.items()):
            if number > last:
                stream.lose(NotProcessedError("the API server is leaving, and took no more"))
        self._leave_if_done()
        self._on_change()

    def on_window(self, stream: int, increment: int) -> None:
        """See :class:`FrameHandler`. We send no bodies, so only the bound matters."""
        if not stream:
            self._granted += increment
            if self._granted > frames.MAX_WINDOW:
                raise Http2Error(Code.FLOW_CONTROL_ERROR, "a window that is too large")
            return
        found = self.streams[stream]
        found.granted += increment
        if self._initial + found.granted > frames.MAX_WINDOW:
            raise StreamError(Code.FLOW_CONTROL_ERROR, "a window that is too large")

    def on_stream_error(self, stream: int, error: StreamError) -> None:
        """See :class:`FrameHandler`."""
        found = self.streams.get(stream)
        if found is not None:
            self._reset(stream, error.code)
            msg = f"the API server's response over HTTP/2 is malformed: {error}"
            found.lose(UpstreamError(msg, cause="bad-answer"))

    def _touch(self, stream: Http2Stream) -> Http2Stream:
        if stream.receiver is not None:
            self._touched[stream] = stream.receiver
        return stream

    def _reset(self, stream: int, code: Code) -> None:
        self._cancelled[stream] = None
        if len(self._cancelled) > _MAX_CANCELLED:
            del self._cancelled[next(iter(self._cancelled))]
        self._send(frames.build_number(FrameType.RST_STREAM, stream, code))

    def _send(self, data: bytes) -> None:
        """Send *data* at the end of this turn of the loop, with what else is sent in it."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self.transport is None or not out or self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > _MAX_BUFFERED:
            self._lose("the API server reads nothing")
        else:
            self.transport.write(b"".join(out))

    def _leave_if_done(self) -> None:
        if self._leaving and not self.places:
            self._close(Code.NO_ERROR)

    def _close(self, code: Code) -> None:
        """Close the connection after what is buffered has been sent."""
        self._flush()
        transport, self.transport = self.transport, None
        if transport is not None and not transport.is_closing():
            transport.write(frames.build_goaway(code))
            transport.close()

    def _violated(self, error: Http2Error) -> None:
        self.broken = f"the API server's HTTP/2 is broken: {error}"
        self._close(error.code)
        self._lose(self.broken, cause="bad-answer")

    def _lose(self, message: str, exc: Exception | None = None, *, cause: str = "") -> None:
        """End the connection and all its streams."""
        transport, self.transport = self.transport, None
        self._leaving = True
        if transport is not None:
            transport.abort()
        explained = self.explain(exc) if isinstance(exc, ssl.SSLError) else None
        for stream in list(self.streams.values()):
            # One that failed on a new connection would fail on another, too.
            stale = not stream.response_begun and (stream.reused or bool(self.broken))
            error = UpstreamError(message, cause=cause) if cause else stream.cut(message)
            stream.lose(explained or error, stale=stale)
        self._on_change()
