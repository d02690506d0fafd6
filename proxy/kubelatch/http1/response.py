"""Parses HTTP/1.1 responses from a stream of bytes (RFC 9112), without I/O.

Heads and chunks are parsed by llhttp (httptools), strictly; a body of known length, or one that
ends with the connection, is counted and not parsed. However the stream is split into pieces, the
:class:`Receiver` gets the same response. It knows nothing of sockets, requests or clients.
"""

import enum
import sys
from typing import Final, Protocol

import httptools

from ..errors import UpstreamError
from .fields import FieldNames, Fields, Pair, field_names

# net/http's server limit for a request's head; Kubernetes' own heads are below 2 KiB. It applies
# to all that is not body: interim responses and the final head together, and trailers.
MAX_HEAD_BYTES: Final = 1024 * 1024
# Without a body (RFC 9110 sections 15.3.5 and 15.4.5).
_BODILESS: Final = frozenset({204, 304})


API_SERVER: Final = "the API server"
"""Of whose responses messages speak, unless they are a service's."""
_NO_HTTP: Final = (
    "Is its port one of HTTP? Of TLS, it is reached as https--PORT--SERVICE--NAMESPACE--CONTEXT"
)
_TOO_LARGE: Final = "its head or trailers are over 1 MiB"


class BodyKind(enum.Enum):
    """How the end of a response's body is determined (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    #: In HTTP/2: by its frames.
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until-close"


class ResponseHead:
    """Status line and header fields of a response.

    Args:
        status: the code.
        reason: the phrase; may be empty.
        fields: the header fields.
        body: how its end is determined.

    Attributes:
        status: the code.
        reason: the phrase; may be empty.
        fields: the header fields.
        body: how its end is determined.
    """

    __slots__ = ("body", "fields", "reason", "status")

    def __init__(self, status: int, reason: bytes, fields: Fields, body: BodyKind) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field *name* (lower case), or None."""
        positions = self.fields.names.positions.get(name)
        return None if positions is None else self.fields.pairs[positions[0]][1]


class Receiver(Protocol):
    """Gets a response. No method may raise or block."""

    def on_informational(self, head: ResponseHead) -> None:
        """A 1xx response other than 101."""

    def on_head(self, head: ResponseHead) -> None:
        """The final response's head."""

    def on_body(self, data: bytes) -> None:
        """Body bytes without framing; never empty."""

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The response is complete."""

    def on_flush(self) -> None:
        """All bytes of one read have been delivered. Not called after an error."""

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        """A 101; *early* is early data: bytes of the new protocol that were received with it."""

    def on_tunnel_data(self, data: bytes) -> None:
        """Bytes after a 101."""

    def on_tunnel_eof(self) -> bool:
        """The upstream ended its side cleanly after a 101; True keeps the other side open."""
        ...

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        """The response fails, or is incomplete. *stale*: a reused connection was closed before the
        first byte of a response, or the upstream reports that it has not processed the request,
        so that an idempotent request may be sent again. After a 101: the tunnel was cut."""

    def on_pause_writing(self) -> None:
        """The write buffer is full: send nothing until :meth:`on_resume_writing`."""

    def on_resume_writing(self) -> None:
        """More bytes may be sent."""


class FramingError(ValueError):
    """Invalid framing that llhttp accepts and this proxy does not."""


class ResponseReader:
    """Parses the responses of one connection, one after another.

    Args:
        peer: who sends them, for messages. Other than the API server, it may end lines with LF
            alone, and pad a chunk's size with spaces.

    Attributes:
        head: the final response's head, once it has been parsed.
        complete: the response is complete, or none is expected.
        switched: a 101 has been received; nothing more is parsed.
        persistent: the connection may carry another exchange after this one.
        begun: a byte of the response has been received.
    """

    __slots__ = (
        "_counted",
        "_head_only",
        "_interim",
        "_length",
        "_names",
        "_pairs",
        "_parser",
        "_peer",
        "_reason",
        "_receiver",
        "_remaining",
        "_trailers",
        "begun",
        "complete",
        "head",
        "persistent",
        "switched",
    )

    def __init__(self, peer: str = API_SERVER) -> None:
        self._peer = peer
        self.head: ResponseHead | None = None
        self.complete = True
        self.switched = False
        self.persistent = True
        self.begun = False
        self._receiver: Receiver | None = None
        self._parser: httptools.HttpResponseParser | None = None
        # The last 1xx response.
        self._interim: ResponseHead | None = None
        self._reason = b""
        # Where fields go as they come.
        self._pairs: list[Pair] = []
        # Of the response before.
        self._names: FieldNames | None = None
        self._head_only = False
        # Content-Length minus the bytes that the parser has delivered; -1 without one.
        self._length = -1
        # Body bytes still expected that are not parsed.
        self._remaining = 0
        # Bytes since the last byte of body.
        self._counted = 0
        self._trailers: list[tuple[bytes, bytes]] = []

    def begin(self, receiver: Receiver, *, head_only: bool) -> None:
        """Expect a response.

        Args:
            receiver: gets it.
            head_only: the request is HEAD: the response has no body, whatever its fields.
        """
        self._receiver = receiver
        self._head_only = head_only
        self._remaining = 0
        self._counted = 0
        self._trailers = []
        self.head = None
        self.complete = False
        self.begun = False
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            if self._peer != API_SERVER:
                # What small servers write and browsers read (RFC 9112 section 2.2).
                self._parser.set_dangerous_leniencies(
                    lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
                )

    def forget(self) -> None:
        """Drop the reference to the receiver."""
        self._receiver = None

    def feed(self, data: bytes) -> None:
        """Parse the next bytes, which are not empty.

        Raises:
            UpstreamError: they are not HTTP/1.1.
        """
        self.begun = True
        if self._remaining:
            self._count(data)
        elif self._parser is not None:
            self._parse(self._parser, data)
        else:
            # Bytes after a complete response: no error, but the connection cannot be reused.
            self.persistent = False

    def end(self) -> bool:
        """The stream ended cleanly. Returns whether the response is complete."""
        self.persistent = False
        if not self.complete and self.head is not None and self.head.body is BodyKind.UNTIL_CLOSE:
            self._finish()
        return self.complete

    def _count(self, data: bytes) -> None:
        if len(data) > self._remaining:
            data = data[: self._remaining]
            self.persistent = False
        self._remaining -= len(data)
        if self._receiver is not None:
            self._receiver.on_body(data)
        if not self._remaining:
            self._finish()

    def _parse(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        self._counted += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._switch(data[exc.args[0] :])
            return
        except httptools.HttpParserError as exc:
            self._parser = None
            self.persistent = False
            if not self.complete:
                raise _bad(exc, self._peer) from exc
            return
        if self.complete:
            return
        if self.head is not None and self.head.body is not BodyKind.CHUNKED:
            self._parser = None
            self._remaining = sys.maxsize if self._length < 0 else self._length
        elif self._counted > MAX_HEAD_BYTES:
            raise UpstreamError(
                f"{self._peer}'s response is too large: {_TOO_LARGE}", cause="bad-answer"
            )

    def _switch(self, early: bytes) -> None:
        head, self._parser = self._interim, None
        self.persistent = False
        self.switched = self.complete = True
        self.head = head
        if self._receiver is not None and head is not None:
            self._receiver.on_upgraded(head, early)

    def _finish(self) -> None:
        self.complete = True
        if self._receiver is not None:
            self._receiver.on_end(self._trailers)

    def on_message_begin(self) -> None:
        if self.complete:
            msg = "bytes after the response"
            raise FramingError(msg)
        self._reason = b""
        self._pairs = []

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        parser, receiver = self._parser, self._receiver
        if parser is None or receiver is None:  # pragma: no cover -- called from feed_data only
            return
        self._names = names = field_names(self._pairs, self._names)
        fields = Fields(self._pairs, names)
        # Further fields are trailers.
        self._pairs = self._trailers
        status = parser.get_status_code()
        if self._counted > MAX_HEAD_BYTES and _size(fields) > MAX_HEAD_BYTES:
            raise FramingError(_TOO_LARGE)
        body = self._read_framing(fields, parser)
        head = ResponseHead(status, self._reason, fields, body)
        if status < 200:
            if status < 100:
                msg = "an invalid status code"
                raise FramingError(msg)
            head.body = BodyKind.NONE
            self._interim = head
            return
        self.head = head
        if self._head_only:
            # llhttp would expect the body that Content-Length declares for a GET.
            head.body = BodyKind.NONE
            self._parser = None
            self.persistent = self.persistent and _keeps_alive(parser, head)
            receiver.on_head(head)
            self._finish()
            return
        if status in _BODILESS:
            head.body = BodyKind.NONE
        self.persistent = self.persistent and parser.should_keep_alive()
        receiver.on_head(head)

    def _read_framing(self, fields: Fields, parser: httptools.HttpResponseParser) -> BodyKind:
        """How the end of the body is determined by the fields alone."""
        names = fields.names.positions
        length = names.get(b"content-length")
        # llhttp accepts digits only, once.
        self._length = -1 if length is None else int(fields.pairs[length[0]][1])
        if b"transfer-encoding" in names:
            codings = fields.values(b"transfer-encoding")
            if len(codings) > 1 or codings[0].strip().lower() != b"chunked":
                msg = "a transfer coding other than chunked"
                raise FramingError(msg)
            if parser.get_http_version() == "1.0" and parser.get_status_code() >= 200:
                # RFC 9112 section 6.1: the framing is faulty.
                msg = "Transfer-Encoding in HTTP/1.0"
                raise FramingError(msg)
            return BodyKind.CHUNKED
        if length is None:
            return BodyKind.UNTIL_CLOSE
        return BodyKind.LENGTH if self._length else BodyKind.NONE

    def on_body(self, data: bytes) -> None:
        if self.complete or self._receiver is None:
            self.persistent = False
            return
        if self.head is None:
            msg = "an interim response with a body"
            raise FramingError(msg)
        self._length -= len(data)
        self._counted = 0
        self._receiver.on_body(data)

    def on_message_complete(self) -> None:
        if self.complete or self._receiver is None:
            return
        if self.head is not None:
            self._finish()
        elif self._interim is not None and self._interim.status != 101:
            self._receiver.on_informational(self._interim)


def _size(fields: Fields) -> int:
    """The head's own size: a read may contain body, too."""
    return sum(len(name) + len(value) + 4 for name, value in fields.pairs)


def _bad(exc: httptools.HttpParserError, peer: str) -> UpstreamError:
    reason: BaseException = exc
    if isinstance(exc, httptools.HttpParserCallbackError) and exc.__context__ is not None:
        reason = exc.__context__
        if not isinstance(reason, FramingError):
            raise reason  # a bug of the proxy's
    hint = "" if peer == API_SERVER else _NO_HTTP
    message = f"{peer}'s response is not HTTP/1.1: {reason}"
    return UpstreamError(message, hint=hint, cause="bad-answer")


def _keeps_alive(parser: httptools.HttpResponseParser, head: ResponseHead) -> bool:
    """Whether the connection persists after a response to HEAD, from ``Connection`` alone."""
    options = b",".join(head.fields.values(b"connection")).lower()
    if parser.get_http_version() == "1.0":
        return b"keep-alive" in options
    return b"close" not in options
