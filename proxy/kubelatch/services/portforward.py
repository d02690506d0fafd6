"""A TCP connection to a pod's port, through the API server: ``pods/portforward`` over a WebSocket.

The protocol is ``v4.channel.k8s.io`` with ``?ports=N``, which the kubelet, containerd and CRI-O
speak (k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go): two channels a port, 0 for its
data and 1 for an error; the first two bytes of each are the port, little-endian. A channel cannot
be half-closed. Frames are wsproto's work. Nothing is queued here: what comes is delivered in the
callback that brought it, and back-pressure goes on to the connection below, both ways.
"""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from typing import Final, cast

from wsproto.connection import CLIENT, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, generate_accept_token

from ..errors import UpstreamError
from ..http1.headers import ClientFields
from ..http1.response import ResponseHead
from ..upstream.generation import Generation
from ..upstream.http1 import Http1Connection
from ..upstream.request import UpstreamRequest
from ..upstream.transport import Stream

PROTOCOL: Final = b"v4.channel.k8s.io"

_DATA, _ERROR = 0, 1
# golang.org/x/net/websocket, which the kubelet uses, refuses frames over 32 MiB and takes each
# fragment for a message: so each piece is a message of its own. 32 KiB is what io.Copy copies.
_PIECE: Final = 32 * 1024
# Of what refuses the port-forward, and of an error's text, this much is read.
_MAX_TEXT: Final = 16 * 1024
# Load balancers close connections that are silent for longer, AWS's from 60 s on. Not to find out
# whether the peer lives, which TCP does: a kubelet whose application reads nothing responds late.
_PING_SECONDS: Final = 30.0


class ForwardRefusedError(UpstreamError):
    """The API server did not switch to a port-forward.

    Attributes:
        code: its HTTP status.
        body: the beginning of its response.
    """

    default_cause = "port-forward"

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(f"the API server responded to the port-forward with status {code}")
        self.code = code
        self.body = body


class PortForward(asyncio.Transport):
    """One connection, as the transport of a protocol; and a :class:`Receiver` of the API server's.

    :attr:`ready` resolves when the API server has switched and ``protocol.connection_made`` has
    run; it raises UpstreamError otherwise.

    Args:
        protocol: gets ``data_received`` and the other callbacks.
        stream: to the API server, on a connection of its own.
        port: of the pod.
        on_refused: called when the pod's node cannot connect to the port.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        stream: Stream,
        port: int,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._stream = stream
        self._port = port
        self._on_refused = on_refused
        self._key = b64encode(os.urandom(16))
        self._socket = Connection(CLIENT)
        # The channel of the message that is coming in pieces.
        self._channel: int | None = None
        # How much of each channel's port number is still to come.
        self._numbers = {_DATA: b"", _ERROR: b""}
        self._data: list[bytes] = []
        self._error = b""
        self._head: ResponseHead | None = None
        self._refusal = b""
        self._closing = False
        # The other direction's end is to be reported.
        self._ends = False
        self._lost = False
        self._paused = False
        self._congested = False
        self._pinger: asyncio.TimerHandle | None = None
        self._quiet = True
        self.ready: asyncio.Future[None] = self._loop.create_future()

    def start(
        self, generation: Generation, target: str, authorization: bytes, user_agent: bytes
    ) -> None:
        """Ask for the port-forward.

        Args:
            generation: the API server's.
            target: path and query of the subresource.
            authorization: the value of ``Authorization``, or empty.
            user_agent: our own name.
        """
        upstream = generation.upstream
        fields = ClientFields(
            kept=[
                (b"Sec-WebSocket-Version", b"13"),
                (b"Sec-WebSocket-Key", self._key),
                (b"Sec-WebSocket-Protocol", PROTOCOL),
            ]
        )
        request = UpstreamRequest(
            "GET",
            target.encode(),
            fields,
            path_prefix=upstream.api_path,
            authority=upstream.host_header,
            identity=upstream.identity,
            compression=False,
            peer=b"",
            user_agent=user_agent,
            own_credential=True,
            upgrade=b"websocket",
        )
        self._stream.start(request, authorization, self, b"")

    # The API server's response:

    def on_informational(self, head: ResponseHead) -> None:
        """Nothing that matters here."""

    def on_head(self, head: ResponseHead) -> None:
        self._head = head

    def on_body(self, data: bytes) -> None:
        self._refusal += data[: _MAX_TEXT - len(self._refusal)]

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._head is not None:
            self._fail(ForwardRefusedError(self._head.status, self._refusal))

    def on_flush(self) -> None:
        """A refusal counts when it is whole."""
        if len(self._refusal) == _MAX_TEXT:
            self.on_end([])

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        accepted = (head.get(b"sec-websocket-accept") or b"").strip()
        protocol = (head.get(b"sec-websocket-protocol") or b"").strip()
        if (
            (head.get(b"upgrade") or b"").strip().lower() != b"websocket"
            or accepted != generate_accept_token(self._key)
            or protocol != PROTOCOL
        ):
            self._fail(_bad("it switched to something else than was asked for"))
            return
        if self.ready.done():  # the dialler was cancelled
            self.abort()
            return
        self._protocol.connection_made(self)
        self.ready.set_result(None)
        self._pinger = self._loop.call_later(_PING_SECONDS, self._ping)
        if early:
            self.on_tunnel_data(early)

    def on_tunnel_data(self, data: bytes) -> None:
        self._quiet = False
        if self._closing:
            return
        self._socket.receive_data(data)
        for event in self._socket.events():
            self._on_event(event)
            if self.is_closing():
                return
        self._deliver()

    def on_tunnel_eof(self) -> bool:
        self._fail(UpstreamError("the API server cut the port-forward", cause="reset"))
        return False

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        self._fail(error)

    def on_pause_writing(self) -> None:
        self._congested = True
        if not self._lost and self.ready.done():
            self._protocol.pause_writing()

    def on_resume_writing(self) -> None:
        self._congested = False
        if not self._lost and self.ready.done():
            self._protocol.resume_writing()

    # The frames:

    def _on_event(self, event: Event) -> None:
        if isinstance(event, BytesMessage):
            self._on_message(bytes(event.data), finished=event.message_finished)
        elif isinstance(event, Ping):
            if not self._congested:
                self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._on_close(event)
        elif not isinstance(event, Pong):
            self._fail(_bad("it sent a message of text"))

    def _on_message(self, data: bytes, *, finished: bool) -> None:
        if self._channel is None and data:
            self._channel, data = data[0], data[1:]
        channel = self._channel
        if finished:
            self._channel = None
        if channel is None:
            return
        if channel not in self._numbers:
            self._fail(_bad(f"it sent something on channel {channel}"))
            return
        number = self._numbers[channel]
        if len(number) < 2:
            missing = 2 - len(number)
            number, data = number + data[:missing], data[missing:]
            self._numbers[channel] = number
            if len(number) == 2 and int.from_bytes(number, "little") != self._port:
                self._fail(_bad("it forwards another port than was asked for"))
                return
        if channel == _DATA:
            if data:
                self._data.append(data)
            return
        self._error += data[: _MAX_TEXT - len(self._error)]
        if finished and self._error:
            self._on_refused()
            text = self._error.decode("utf-8", "replace")
            self._fail(
                UpstreamError(
                    f"the pod's port {self._port} cannot be reached: {text}", cause="port-forward"
                )
            )

    def _on_close(self, event: CloseConnection) -> None:
        if self._socket.state is ConnectionState.OPEN:
            # What came is no WebSocket; the event is wsproto's own.
            self._fail(_bad(f"its WebSocket is invalid: {event.reason}"))
        elif event.code not in {CloseReason.NORMAL_CLOSURE, CloseReason.NO_STATUS_RCVD}:
            why = f" ({event.reason})" if event.reason else ""
            msg = f"the API server ended the port-forward with code {int(event.code)}{why}"
            self._fail(UpstreamError(msg, cause="reset"))
        else:
            self._deliver()
            if not self._closing and not self._lost:
                self._protocol.eof_received()
            self.close()

    def _deliver(self) -> None:
        if self._data:
            data, self._data = self._data, []
            if not self._lost:
                self._protocol.data_received(data[0] if len(data) == 1 else b"".join(data))

    def _send(self, event: Event) -> None:
        try:
            self._stream.write(self._socket.send(event))
        except LocalProtocolError:
            # It is being closed.
            return

    def _ping(self) -> None:
        if self._quiet and not self._congested:
            self._send(Ping())
        self._quiet = True
        self._pinger = self._loop.call_later(_PING_SECONDS, self._ping)

    # The transport:

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        if self._closing:
            return
        self._quiet = False
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            piece = bytes((_DATA,)) + view[start : start + _PIECE]
            self._stream.write(self._socket.send(BytesMessage(data=piece)))

    def write_eof(self) -> None:
        """Close, which is the end of the other direction as well: the protocol has no half-closed
        channel, and an application that waits for its client's end would wait for ever."""
        self._ends = not self._closing
        self.close()

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._paused = True
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._stream.resume_reading()

    def is_reading(self) -> bool:
        return not self._paused

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Close after what is buffered has been sent."""
        if not self._closing:
            if self._socket.state in {ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING}:
                self._send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))
            self._stream.close()
            self._lose(None)

    def abort(self) -> None:
        """Close at once."""
        self._stream.abort()
        self._lose(None)

    def get_write_buffer_size(self) -> int:
        stream = self._stream
        if isinstance(stream, Http1Connection) and stream.transport is not None:
            return stream.transport.get_write_buffer_size()
        return int(self._congested)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are those of the connection to the API server."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def _fail(self, error: UpstreamError) -> None:
        """End it: what has come before the error is delivered."""
        if self._closing:
            return
        if not self.ready.done():
            self.ready.set_exception(error)
            # Retrieved, so that asyncio does not warn if the dialler was cancelled.
            self.ready.exception()
        self._deliver()
        self._stream.abort()
        self._lose(error)

    def _lose(self, error: UpstreamError | None) -> None:
        if self._closing:
            return
        self._closing = True
        if self._pinger is not None:
            self._pinger.cancel()
            self._pinger = None
        # In the next iteration, as asyncio does: the caller may be the protocol.
        self._loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: UpstreamError | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None:
            if self._ends:
                self._protocol.eof_received()
            self._protocol.connection_lost(error)


def _bad(what: str) -> UpstreamError:
    return UpstreamError(
        f"the API server's port-forward cannot be used: {what}", cause="bad-answer"
    )
