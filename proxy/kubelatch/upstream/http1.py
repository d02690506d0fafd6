"""One HTTP/1.1 connection to the API server: the :class:`Stream` of one exchange at a time.

The bytes of a response are delivered to a :class:`Receiver` in the callback that received them;
nothing is queued here. :class:`ResponseReader` parses them; this module handles the connection's
end. It knows nothing of clients, credentials or Kubernetes.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, cast

from ..errors import UpstreamError
from ..http1 import writer
from ..http1.response import API_SERVER, Receiver, ResponseReader
from .request import UpstreamRequest
from .tcp import allow_stalls
from .unread import unread_bytes

# Enough for one batch of TLS records; beyond it the sender waits.
WRITE_BUFFER_HIGH: Final = 256 * 1024
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Http1Connection(asyncio.Protocol):
    """See the module.

    Args:
        explain: explains a TLS error that occurs after the handshake, such as a refused client
            certificate.
        peer: what is at the other end, for messages.

    Attributes:
        transport: None before the connection is made and after it is lost.
        closed: the connection is lost.
        exchanges: how many exchanges have ended on it.
        on_release: called after each exchange; None: the connection is closed then.
        idle_since: when the last exchange ended, as ``time.monotonic``.
    """

    __slots__ = (
        "_chunked",
        "_drained",
        "_explain",
        "_lost_by",
        "_peer",
        "_reader",
        "_receiver",
        "_stallable",
        "_usable",
        "_writing_paused",
        "closed",
        "exchanges",
        "idle_since",
        "on_release",
        "transport",
    )

    def __init__(
        self,
        explain: Callable[[ssl.SSLError], UpstreamError],
        peer: str = API_SERVER,
    ) -> None:
        self._explain = explain
        self._peer = peer
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.exchanges = 0
        self.idle_since = 0.0
        self.on_release: Callable[[Http1Connection], None] | None = None
        self._reader = ResponseReader(peer)
        self._receiver: Receiver | None = None
        self._usable = True
        self._stallable = False
        self._chunked = False
        self._writing_paused = False
        self._drained: asyncio.Future[None] | None = None
        # Why the connection was lost, for an exchange that starts later.
        self._lost_by: Exception | None = None

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        """See :class:`Stream`."""
        self._receiver = receiver
        self._reader.begin(receiver, head_only=request.method == "HEAD")
        if self.transport is None:
            self._closed_early(self._lost_by)
            return
        data = _head(request, authorization)
        self._chunked = request.chunked
        if body is None:
            # The upstream may read an upload as slowly as it likes.
            self._stallable = True
            allow_stalls(self.transport, True)
        elif request.chunked:
            data += writer.chunk(body) + writer.LAST_CHUNK if body else writer.LAST_CHUNK
        elif body:
            data += body
        self.transport.write(data)

    def write(self, data: bytes) -> None:
        """See :class:`Stream`."""
        if self.transport is not None:
            self.transport.write(writer.chunk(data) if self._chunked else data)

    def end(self) -> None:
        """See :class:`Stream`."""
        if self._chunked and self.transport is not None:
            self.transport.write(writer.LAST_CHUNK)

    async def drain(self) -> None:
        """See :class:`Stream`."""
        if not self._writing_paused or self.closed:
            return
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._drained)

    def pause_reading(self) -> None:
        """See :class:`Stream`."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See :class:`Stream`."""
        if self.transport is not None:
            self.transport.resume_reading()

    def write_eof(self) -> None:
        """See :class:`Stream`."""
        if self.transport is not None and not self.transport.is_closing():
            # asyncio raises where a reset has come that it has not read yet.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    @property
    def reused(self) -> bool:
        """Whether it has carried an exchange before."""
        return self.exchanges > 0

    @property
    def reusable(self) -> bool:
        """Whether it may carry another exchange."""
        return self._usable and self._reader.persistent

    @property
    def response_begun(self) -> bool:
        """See :class:`Stream`."""
        return self._reader.begun

    def release(self) -> None:
        """See :class:`Stream`."""
        if self.on_release is not None:
            self.on_release(self)
        else:
            self.close()

    def finish(self) -> bool:
        """End the exchange. Returns whether the connection can carry another."""
        self._receiver = None
        reader, transport = self._reader, self.transport
        reader.forget()
        self.exchanges += 1
        if self._stallable and transport is not None:
            self._stallable = False
            allow_stalls(transport, False)
        return (
            transport is not None
            and self._usable
            and reader.persistent
            and reader.complete
            # The upstream must have read this request before the next one.
            and not transport.get_write_buffer_size()
        )

    def close(self) -> None:
        """See :class:`Stream`."""
        self._usable = False
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """See :class:`Stream`."""
        self._usable = False
        self._receiver = None
        self._reader.forget()
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """See :class:`Stream`. A TCP reset, since a FIN would be a clean end of the tunnel."""
        if self.transport is not None:
            linger_zero(self.transport)
        self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH)

    def data_received(self, data: bytes) -> None:
        receiver, reader = self._receiver, self._reader
        if receiver is None:
            # A response without a request, such as a 408 on an idle connection.
            self.close()
        elif reader.switched:
            receiver.on_tunnel_data(data)
        elif reader.complete:
            self.close()
        else:
            try:
                reader.feed(data)
            except UpstreamError as error:
                self._fail(error)
            else:
                receiver.on_flush()

    def eof_received(self) -> bool:
        receiver = self._receiver
        if receiver is not None:
            if self._reader.switched:
                return receiver.on_tunnel_eof()
            if not self._reader.complete:
                if self._reader.end():
                    receiver.on_flush()
                else:
                    # At once: a close would first send what is buffered.
                    self._closed_early(None)
        self._usable = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._receiver is not None and self.transport is not None:
            data = unread_bytes(self.transport, exc)
            if data:
                self.data_received(data)
        self.closed = True
        self._usable = False
        self.transport = None
        self._lost_by = exc
        self.resume_writing()
        if self._receiver is None:
            return
        if self._reader.switched:
            self._fail(UpstreamError(f"{self._peer} cut the stream", cause="reset"))
        elif not self._reader.complete:
            self._closed_early(exc)

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._receiver is not None:
            self._receiver.on_pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if self._receiver is not None and not self.closed:
            self._receiver.on_resume_writing()

    def _closed_early(self, exc: Exception | None) -> None:
        """Fail: the connection was closed before the end of the response."""
        if isinstance(exc, ssl.SSLError):
            self._fail(self._explain(exc))
        elif isinstance(exc, UpstreamError):
            # The transport knows more.
            self._fail(exc, stale=self.reused and not self._reader.begun)
        elif self._reader.head is not None:
            self._fail(UpstreamError(f"{self._peer} cut its response short", cause="truncated"))
        elif self._reader.begun:
            msg = f"{self._peer} closed the connection within its response"
            self._fail(UpstreamError(msg, cause="truncated"))
        else:
            why = f" ({os.strerror(exc.errno)})" if isinstance(exc, OSError) and exc.errno else ""
            msg = f"{self._peer} closed the connection before responding{why}"
            self._fail(UpstreamError(msg, cause="reset"), stale=self.reused)

    def _fail(self, error: UpstreamError, *, stale: bool = False) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.on_error(error, stale=stale)


def _head(request: UpstreamRequest, authorization: bytes) -> bytes:
    """The HTTP/1.1 head; *authorization* is the value of that field, or empty."""
    start = request.http1
    if start is None:
        fields = [*request.fields]
        if request.chunked:
            fields.append((b"Transfer-Encoding", b"chunked"))
        if request.upgrade:
            fields += [(b"Connection", b"Upgrade"), (b"Upgrade", request.upgrade)]
        # Last, so that no field of the client's replaces one of them.
        fields += [(b"Host", request.authority), *request.identity]
        start = request.http1 = writer.request_start(request.method, request.target, fields)
    if authorization:
        return b"%bAuthorization: %b\r\n\r\n" % (start, authorization)
    return start + b"\r\n"


def linger_zero(transport: asyncio.BaseTransport) -> None:
    """Make the transport's close a TCP reset, if it is TCP."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
