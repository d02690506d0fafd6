"""One HTTP/1.1 connection to the API server, as an ``asyncio.Protocol``.

It carries one exchange at a time. Bytes of an answer go to a :class:`Receiver` in the very
callback that brought them; nothing is queued here. Heads and chunks are parsed by llhttp
(httptools); a body of known length is counted, not parsed. It knows HTTP's framing
(RFC 9112 section 6) and nothing of clients, credentials or Kubernetes.
"""

import asyncio
import enum
import ssl
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from ..errors import UpstreamError

# Go's net/http reads at most 1 MiB of response head (http.Transport.MaxResponseHeaderBytes is
# 10 MiB, servers default to 1 MiB); Kubernetes' own heads are below 2 KiB.
MAX_HEAD_BYTES: Final = 1024 * 1024
# Enough for one TLS record batch; what does not fit waits in the sender.
WRITE_BUFFER_HIGH: Final = 256 * 1024
# RFC 9110 sections 15.3.5 and 15.4.5: these end with their head.
_BODILESS: Final = frozenset({204, 304})


class BodyKind(enum.Enum):
    """How the end of an answer's body is found (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until-close"


class ResponseHead:
    """Status line and header fields of an answer, as they came."""

    __slots__ = ("body", "headers", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = BodyKind.NONE

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field *name* (lower case), or None."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


class Receiver(Protocol):
    """Who takes an answer. No method may raise or block."""

    def on_informational(self, head: ResponseHead) -> None:
        """A 1xx answer other than 101."""

    def on_head(self, head: ResponseHead) -> None:
        """The final answer's head."""

    def on_body(self, data: bytes) -> None:
        """Body bytes, framing removed."""

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The answer is whole."""

    def on_flush(self) -> None:
        """All that one read brought has been told."""

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        """A 101; *early* are the first bytes of the new protocol."""

    def on_tunnel_data(self, data: bytes) -> None:
        """Bytes after a 101."""

    def on_tunnel_eof(self) -> bool:
        """The upstream's stream ended cleanly after a 101; True keeps ours open."""
        ...

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        """The answer will not come, or not come whole. *stale*: a reused connection died
        before the first byte of an answer, so the request may be sent again if repeatable.
        After a 101: the tunnel was cut."""

    def on_pause_writing(self) -> None:
        """The upstream takes no more bytes for now."""

    def on_resume_writing(self) -> None:
        """It takes bytes again."""


class UpstreamConnection(asyncio.Protocol):
    """See the module.

    Args:
        explain: says what a TLS error after the handshake means, such as a certificate of ours
            that the upstream refuses.
    """

    __slots__ = (
        "_answered",
        "_building",
        "_chunked",
        "_complete",
        "_content_length",
        "_drained",
        "_explain",
        "_head",
        "_head_bytes",
        "_head_only",
        "_parser",
        "_receiver",
        "_remaining",
        "_trailers",
        "_tunnel",
        "_writing_paused",
        "closed",
        "exchanges",
        "idle_since",
        "reusable",
        "transport",
    )

    def __init__(self, explain: Callable[[ssl.SSLError], UpstreamError]) -> None:
        self._explain = explain
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.reusable = True
        self.exchanges = 0
        self.idle_since = 0.0
        self._receiver: Receiver | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._head: ResponseHead | None = None
        self._building = ResponseHead()
        self._chunked = False
        self._head_bytes = 0
        self._head_only = False
        self._content_length = -1
        self._remaining = 0
        self._trailers: list[tuple[bytes, bytes]] = []
        self._answered = False
        self._complete = True
        self._tunnel = False
        self._writing_paused = False
        self._drained: asyncio.Future[None] | None = None

    # --- sending --------------------------------------------------------------------------

    def start(self, receiver: Receiver, request: bytes, *, head_only: bool) -> None:
        """Send a request's head, with as much of its body as there is, and await the answer.

        Args:
            receiver: gets the answer.
            request: the bytes.
            head_only: the request is HEAD: its answer has no body whatever it says.
        """
        self._receiver = receiver
        self._head = None
        self._head_bytes = 0
        self._head_only = head_only
        self._answered = False
        self._complete = False
        self._remaining = 0
        self._trailers = []
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if self.transport is None:
            self._fail("reset", "the API server closed the connection", stale=self.exchanges > 0)
            return
        self.transport.write(request)

    def write(self, data: bytes) -> None:
        """Send more of the request's body, or of the tunnel."""
        if self.transport is not None:
            self.transport.write(data)

    @property
    def writing_paused(self) -> bool:
        """The buffer towards the upstream is full."""
        return self._writing_paused

    async def drain(self) -> None:
        """Wait until the upstream takes bytes again, or is gone."""
        if not self._writing_paused or self.closed:
            return
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._drained)

    def pause_reading(self) -> None:
        """Hold the answer back: the client does not keep up."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""
        if self.transport is not None:
            self.transport.resume_reading()

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""
        if self.transport is not None:
            self.transport.write_eof()

    def release(self) -> bool:
        """End the exchange; True if the connection can carry another."""
        whole = self._complete
        self._receiver = None
        self.exchanges += 1
        return whole and self.reusable and not self.closed and not self._writing_paused

    def close(self) -> None:
        """Close after what is buffered has been sent."""
        self.reusable = False
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.reusable = False
        self._receiver = None
        if self.transport is not None:
            self.transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None or (self._complete and not self._tunnel):
            # An answer nobody asked for, such as a 408 on an idle connection.
            self.close()
            return
        if self._tunnel:
            receiver.on_tunnel_data(data)
            return
        self._answered = True
        if self._remaining:
            self._count(receiver, data)
        else:
            self._parse(receiver, data)
        receiver.on_flush()

    def eof_received(self) -> bool:
        receiver = self._receiver
        if receiver is not None and self._tunnel:
            return receiver.on_tunnel_eof()
        if (
            receiver is not None
            and not self._complete
            and self._head is not None
            and self._head.body is BodyKind.UNTIL_CLOSE
        ):
            self._finish(receiver)
            receiver.on_flush()
        self.reusable = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.reusable = False
        self.transport = None
        self.resume_writing()
        if self._receiver is None:
            return
        if self._tunnel:
            self._receiver.on_error(
                UpstreamError("the API server cut the stream", cause="reset"), stale=False
            )
        elif not self._complete:
            if isinstance(exc, ssl.SSLError):
                self._fail_with(self._explain(exc))
            elif self._head is not None:
                self._fail("truncated", "the API server cut its answer short")
            elif self._answered:
                self._fail("truncated", "the API server closed the connection within its answer")
            else:
                self._fail(
                    "reset",
                    "the API server closed the connection before answering"
                    + (f" ({exc})" if exc is not None and str(exc) else ""),
                    stale=self.exchanges > 0,
                )

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

    # --- the answer -------------------------------------------------------------------------

    def _count(self, receiver: Receiver, data: bytes) -> None:
        """A body of known length: no parser needed to find its end."""
        if len(data) > self._remaining:
            data = data[: self._remaining]
            self.reusable = False
        self._remaining -= len(data)
        receiver.on_body(data)
        if not self._remaining:
            self._finish(receiver)

    def _parse(self, receiver: Receiver, data: bytes) -> None:
        parser = self._parser
        if parser is None:  # pragma: no cover -- start() made one
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._upgraded(receiver, data[exc.args[0] :])
            return
        except httptools.HttpParserError as exc:
            self._parser = None
            self.reusable = False
            if not self._complete:
                self._fail("bad-answer", f"the API server's answer is not HTTP/1.1: {exc}")
            # else: bytes after a whole answer, which it is not worth failing for
            return
        if self._head is None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail("bad-answer", "the API server's response head is over 1 MiB")
        elif self._content_length > 0 and not self._complete:
            self._parser = None
            self._remaining = self._content_length

    def _upgraded(self, receiver: Receiver, early: bytes) -> None:
        head = self._head
        self._parser = None
        self.reusable = False
        if head is None or head.status != 101:
            self._fail("bad-answer", "the API server switched protocols without saying 101")
            return
        self._tunnel = True
        self._complete = True
        receiver.on_upgraded(head, early)

    def _finish(self, receiver: Receiver) -> None:
        self._complete = True
        receiver.on_end(self._trailers)

    def _fail(self, cause: str, message: str, *, stale: bool = False) -> None:
        self._fail_with(UpstreamError(message, cause=cause), stale=stale)

    def _fail_with(self, error: UpstreamError, *, stale: bool = False) -> None:
        receiver, self._receiver = self._receiver, None
        self.abort()
        if receiver is not None:
            receiver.on_error(error, stale=stale)

    # --- httptools callbacks ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            msg = "bytes after the answer"
            raise ValueError(msg)
        self._building = ResponseHead()
        self._content_length = -1
        self._chunked = False

    def on_status(self, reason: bytes) -> None:
        self._building.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is not None:
            self._trailers.append((name, value))
            return
        self._building.headers.append((name, value))
        size = len(name)
        if size == len(b"content-length") and name.lower() == b"content-length":
            self._content_length = int(value)  # llhttp let digits pass, once
        elif size == len(b"transfer-encoding") and name.lower() == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                msg = "a transfer coding other than chunked"
                raise ValueError(msg)
            self._chunked = True

    def on_headers_complete(self) -> None:
        parser, receiver, head = self._parser, self._receiver, self._building
        if parser is None or receiver is None:  # pragma: no cover -- called from feed_data only
            return
        head.status = status = parser.get_status_code()
        if status < 200:
            if status == 101:
                self._head = head
            return
        if self._head_only or status in _BODILESS:
            head.body = BodyKind.NONE
        elif self._chunked:
            head.body = BodyKind.CHUNKED
        elif self._content_length >= 0:
            head.body = BodyKind.LENGTH if self._content_length else BodyKind.NONE
        else:
            head.body = BodyKind.UNTIL_CLOSE
        self._head = head
        if self._head_only:
            # llhttp would wait for the body that the fields announce for a GET.
            self._parser = None
            self.reusable = self.reusable and _keeps_alive(parser, head)
            receiver.on_head(head)
            self._finish(receiver)
            return
        self.reusable = self.reusable and parser.should_keep_alive()
        receiver.on_head(head)

    def on_body(self, data: bytes) -> None:
        if self._complete or self._receiver is None:
            self.reusable = False
            return
        if self._content_length > 0:
            self._content_length -= len(data)
        self._receiver.on_body(data)

    def on_message_complete(self) -> None:
        receiver = self._receiver
        if self._complete or receiver is None:
            return
        if self._head is None:
            receiver.on_informational(self._building)
        elif self._head.status != 101:
            self._finish(receiver)


def _keeps_alive(parser: httptools.HttpResponseParser, head: ResponseHead) -> bool:
    """``Connection`` alone decides for an answer to HEAD, whose end is never the connection's."""
    options = b",".join(v for k, v in head.headers if k.lower() == b"connection").lower()
    if parser.get_http_version() == "1.0":
        return b"keep-alive" in options
    return b"close" not in options
