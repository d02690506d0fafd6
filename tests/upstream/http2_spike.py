"""HTTP/2 behind the seam, on the library h2: shows that the seam fits it, and ships nowhere.

Streams share a connection; each has a flow-control window of its own, which is opened again only
while the exchange reads. The connection's own window is opened at once, so that a stream that is
held back holds back no other. Upgrades are left to HTTP/1.1.
"""

import asyncio
import contextlib
import math
import ssl
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from kubelatch.errors import UpstreamError
from kubelatch.http1.fields import Fields as HeadFields
from kubelatch.http1.response import BodyKind, Receiver, ResponseHead
from kubelatch.upstream.dial import Dialer
from kubelatch.upstream.request import UpstreamRequest

Fields = Iterable[tuple[bytes, bytes]]

_BUFFER_HIGH = 256 * 1024


class Http2Stream:
    """See ``upstream.transport.Stream``."""

    def __init__(self, connection: "Http2Connection") -> None:
        self.connection = connection
        self.id = 0
        self.receiver: Receiver | None = None
        self.response_begun = False
        self.reused = connection.proven
        self.paused = False
        # Bytes received while paused, which the window lacks.
        self.owed = 0
        # The response is whole, or will not come.
        self.over = False
        self._head_only = False
        self._final = False
        self._trailers: list[tuple[bytes, bytes]] = []
        self._buffer = bytearray()
        self._ending = False
        self._ended = False
        self._stalled = False
        self._drained = asyncio.Event()
        self._drained.set()

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        self.receiver = receiver
        if self.connection.transport is None:
            self.fail("the connection is lost", stale=self.reused)
            return
        if request.upgrade:
            self.fail("HTTP/2 carries no upgrades")
            return
        fields = [
            (b":method", request.method.encode()),
            (b":scheme", self.connection.scheme),
            (b":authority", request.authority),
            (b":path", request.target),
            *((name.lower(), value) for name, value in (*request.fields, *request.identity)),
        ]
        if authorization:
            fields.append((b"authorization", authorization))
        self._head_only = request.method == "HEAD"
        self._ended = body == b""
        self.id = self.connection.send_head(self, fields, ended=self._ended)
        if body:
            self._buffer += body
            self._ending = True
            self.pump()
        self.connection.flush()

    def write(self, data: bytes) -> None:
        self._buffer += data
        self.pump()
        self.connection.flush()

    def end(self) -> None:
        self._ending = True
        self.pump()
        self.connection.flush()

    write_eof = end

    async def drain(self) -> None:
        await self._drained.wait()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        owed, self.owed = self.owed, 0
        self.credit(owed)
        self.connection.flush()

    def release(self) -> None:
        self.abort()

    close = reset = release

    def abort(self) -> None:
        self.receiver = None
        self._ending = True
        self._drained.set()
        self.connection.forget(self, cancel=bool(self.id) and not (self.over and self._ended))

    def pump(self) -> None:
        """Send as much of the body as the windows let through."""
        if self._ended or not self.id or self.connection.transport is None:
            return
        wire = self.connection.h2
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            while self._buffer and not self.connection.stalled:
                size = min(wire.local_flow_control_window(self.id), wire.max_outbound_frame_size)
                if not size:
                    break
                wire.send_data(self.id, bytes(self._buffer[:size]))
                del self._buffer[:size]
                self.connection.flush()
            if self._ending and not self._buffer:
                self._ended = True
                wire.end_stream(self.id)
        self._report_buffer()

    def _report_buffer(self) -> None:
        if len(self._buffer) > _BUFFER_HIGH and not self._stalled:
            self._stalled = True
            self._drained.clear()
            if self.receiver is not None:
                self.receiver.on_pause_writing()
        elif self._stalled and len(self._buffer) <= _BUFFER_HIGH // 4:
            self._stalled = False
            self._drained.set()
            if self.receiver is not None:
                self.receiver.on_resume_writing()

    def credit(self, size: int) -> None:
        """Open the stream's window by *size*."""
        if size and not self.over and self.connection.transport is not None:
            with contextlib.suppress(h2.exceptions.StreamClosedError):
                self.connection.h2.increment_flow_control_window(size, self.id)

    def on_event(self, event: h2.events.Event) -> None:
        """Take what the connection has received for this stream."""
        receiver = self.receiver
        if receiver is None:
            return
        self.response_begun = self.response_begun or not isinstance(event, h2.events.StreamReset)
        if isinstance(event, h2.events.InformationalResponseReceived):
            receiver.on_informational(_head(event.headers, BodyKind.NONE))
        elif isinstance(event, h2.events.ResponseReceived):
            self._final = True
            bodiless = self._head_only or event.stream_ended is not None
            receiver.on_head(_head(event.headers, BodyKind.NONE if bodiless else BodyKind.CHUNKED))
        elif isinstance(event, h2.events.DataReceived):
            if event.data:
                receiver.on_body(event.data)
            if self.paused:
                self.owed += event.flow_controlled_length
            elif event.stream_ended is None:
                self.credit(event.flow_controlled_length)
        elif isinstance(event, h2.events.TrailersReceived):
            self._trailers = _pairs(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.over = True
            receiver.on_end(self._trailers)
        elif isinstance(event, h2.events.StreamReset):
            # RFC 9113 section 8.7: what is refused has not been acted on.
            refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            self._ended = True
            if not self.over:
                self.fail("the API server reset the stream", stale=refused)

    def fail(self, message: str, *, stale: bool = False) -> None:
        """The response will not come, or not come whole."""
        receiver, self.over, self._ended = self.receiver, True, True
        self.abort()
        if receiver is not None:
            cause = "truncated" if self.response_begun else "reset"
            receiver.on_error(UpstreamError(message, cause=cause), stale=stale)


class Http2Connection(asyncio.Protocol):
    """One connection and its streams."""

    def __init__(self, explain: Callable[[ssl.SSLError], UpstreamError], scheme: bytes) -> None:
        self.scheme = scheme
        self.transport: asyncio.Transport | None = None
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=False)
        )
        self.streams: dict[int, Http2Stream] = {}
        # It has brought a response.
        self.proven = False
        self.stalled = False
        self.leaving = False

    @property
    def available(self) -> bool:
        """It takes another stream."""
        most = self.h2.remote_settings.max_concurrent_streams
        return self.transport is not None and not self.leaving and len(self.streams) < most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.h2.initiate_connection()
        self.flush()

    def send_head(self, stream: Http2Stream, fields: Fields, *, ended: bool) -> int:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, list(fields), end_stream=ended)
        self.streams[number] = stream
        return number

    def flush(self) -> None:
        if self.transport is not None and (data := self.h2.data_to_send()):
            self.transport.write(data)

    def forget(self, stream: Http2Stream, *, cancel: bool) -> None:
        if self.streams.pop(stream.id, None) is not None and cancel and self.transport is not None:
            with contextlib.suppress(h2.exceptions.StreamClosedError):
                self.h2.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
            self.flush()
        self._close_if_done()

    def leave(self) -> None:
        """Take no more streams, and close after the last."""
        self.leaving = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self.leaving and not self.streams and self.transport is not None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as exc:
            self._lose(f"the API server's HTTP/2 is broken: {exc}")
            return
        touched: dict[Http2Stream, Receiver] = {}
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.increment_flow_control_window(event.flow_controlled_length)
            number = getattr(event, "stream_id", 0) or 0
            if isinstance(event, h2.events.ConnectionTerminated):
                self._on_goaway(event.last_stream_id or 0)
            elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
                self.pump()
            elif stream := self.streams.get(number):
                if stream.receiver is not None:
                    touched[stream] = stream.receiver
                stream.on_event(event)
                self.proven = self.proven or stream.over
        for stream, receiver in touched.items():
            if stream.receiver is receiver:
                receiver.on_flush()
        self.flush()

    def _on_goaway(self, last: int) -> None:
        self.leaving = True
        for number, stream in list(self.streams.items()):
            if number > last:
                stream.fail("the API server is leaving", stale=True)
        self._close_if_done()

    def pump(self) -> None:
        for stream in list(self.streams.values()):
            stream.pump()

    def pause_writing(self) -> None:
        self.stalled = True

    def resume_writing(self) -> None:
        self.stalled = False
        self.pump()
        self.flush()

    def _lose(self, message: str) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()
        for stream in list(self.streams.values()):
            stream.fail(message, stale=stream.reused and not stream.response_begun)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("the API server closed the connection")


class Http2Transport:
    """See ``upstream.transport.Transport``."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._connections: list[Http2Connection] = []
        self._dialling: asyncio.Task[Http2Connection] | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        return sum(c.available and not c.streams for c in self._connections)

    def take(self) -> Http2Stream | None:
        self._connections = [c for c in self._connections if c.transport is not None]
        found = next((c for c in self._connections if c.available), None)
        return Http2Stream(found) if found is not None else None

    async def open(self, keepalive: float | None = None) -> Http2Stream:
        if self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._dial(keepalive))
            self._dialling.add_done_callback(self._dialled)
        return Http2Stream(await asyncio.shield(self._dialling))

    async def _dial(self, keepalive: float | None) -> Http2Connection:
        scheme = b"http" if self._dialer.address.context is None else b"https"
        return await self._dialer.dial_protocol(
            lambda explain: Http2Connection(explain, scheme), keepalive
        )

    def _dialled(self, task: asyncio.Task[Http2Connection]) -> None:
        self._dialling = None
        if not task.cancelled() and task.exception() is None:
            self._connections.append(task.result())
            if self._closed:
                task.result().leave()

    def drop_idle(self, before: float = math.inf) -> None:
        for connection in self._connections:
            if not connection.streams:
                connection.leave()

    def close(self) -> None:
        self._closed = True
        for connection in self._connections:
            connection.leave()


def _head(fields: Fields | None, body: BodyKind) -> ResponseHead:
    head = ResponseHead()
    pairs = _pairs(fields)
    head.status = next(int(value) for name, value in pairs if name == b":status")
    head.fields = HeadFields([pair for pair in pairs if pair[0] != b":status"])
    with contextlib.suppress(ValueError):
        head.reason = HTTPStatus(head.status).phrase.encode()
    if body is BodyKind.CHUNKED and head.get(b"content-length") is not None:
        head.body = BodyKind.LENGTH
    else:
        head.body = body
    return head


def _pairs(fields: Fields | None) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in fields or ()]
