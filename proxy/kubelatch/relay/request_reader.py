"""Reads requests from a client's bytes, with aiohttp's C parser.

The parser is fed message by message: it knows only ``websocket`` as an upgrade, and drops what
follows the head of any other in the same read. Nothing is written here: what a request leads to,
or an error, is the connection's business.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from ..http1.request_line import RequestLine
from .framer import Framer
from .limits import Limits, PartialHead, explain, first_line

# The shortest chunk has one byte of data, and Go allows 16 bytes for its framing
# (net/http/internal/chunked.go, excess).
_FRAMED_BYTE: Final = 17
# Of heads that are kept: bytes of one, and how many for one connection.
_MAX_KEPT: Final = 2048
_MAX_HEADS: Final = 16

Request: TypeAlias = tuple[RawRequestMessage, StreamReader]


class RequestReader:
    """Reads one connection's requests.

    Clients repeat requests on a connection: a head that came before, byte for byte, is not parsed
    again.

    Args:
        make_parser: makes a parser for this connection.
        limits: of a request's head.

    Attributes:
        request: one whose head has come; who takes it sets None.
        body: of the request whose body is still coming; None between requests.
        broken: a body could not be read, and nothing that follows can be.
    """

    __slots__ = (
        "_chunked",
        "_framer",
        "_head",
        "_heads",
        "_limits",
        "_make_parser",
        "_overhead",
        "_parser",
        "body",
        "broken",
        "request",
    )

    def __init__(self, make_parser: Callable[[], HttpRequestParser], limits: Limits) -> None:
        self._make_parser = make_parser
        self._parser = make_parser()
        self._limits = limits
        self._framer = Framer()
        # A head that came in part.
        self._head: PartialHead | None = None
        # Requests without a body, by the bytes of their heads.
        self._heads: dict[bytes, Request] = {}
        self._chunked = False
        # Of a chunked body, bytes beyond its data and what frames that.
        self._overhead = 0
        self.request: Request | None = None
        self.body: StreamReader | None = None
        self.broken = False

    @property
    def partial_head(self) -> int:
        """How many bytes of a request's head have come, if it has come in part; else 0."""
        return 0 if self._head is None else self._head.size

    def feed(self, data: bytes, start: int = 0) -> int:
        """Read what has come from *start* on, no further than one message.

        Returns:
            where to go on. :attr:`request` has a request whose head is complete now.

        Raises:
            KubelatchError: this is no request, or it is beyond a limit.
        """
        stop = self._framer.next_stop(data, start)
        if self.body is not None:
            self._feed_body(self.body, data[start:stop])
        else:
            self._feed_head(data[start:stop])
        return stop

    def repeated(self, data: bytes) -> Request | None:
        """The request that *data* is, if it is the whole of one that came before; not within
        another."""
        return self._heads.get(data)

    def feed_paused(self) -> None:
        """Read on what the parser has put aside."""
        if self.body is not None:
            self._feed_body(self.body, b"")

    def _feed_head(self, piece: bytes) -> None:
        whole = piece
        if self._chunked:
            # aiohttp keeps the last trailer, and would take it for the first field of the next
            # request (_http_parser.pyx: cb_on_message_begin does not clear _raw_name).
            self._chunked = False
            self._parser = self._make_parser()
        head = self._head
        line: RequestLine | None = None
        if head is not None:
            if len(piece) + head.size > self._limits.header_bytes:
                raise self._limits.head_too_large()
            if not (piece := head.gather(piece)):
                return
            line = head.line
        elif len(piece) > self._limits.header_bytes:
            raise self._limits.head_too_large()
        elif not piece.isascii():
            line = RequestLine()
        try:
            messages, _, _ = self._parser.feed_data(piece if line is None else line.readable(piece))
        except HttpProcessingError as exc:
            raise explain(exc, self._limits) from None
        if not messages:
            # RFC 9112 section 2.2: empty lines before a request are none of it.
            if head is None and piece.strip(b"\r\n"):
                self._head = PartialHead(piece)
            return
        self._head = None
        message, body = messages[0]
        if line is not None:
            message = message._replace(path=line.target(message.path))
        if body.is_eof():
            if head is None and not message.upgrade and len(whole) <= _MAX_KEPT:
                if len(self._heads) >= _MAX_HEADS:
                    self._heads.clear()
                self._heads[whole] = message, body
        else:
            self.body = body
            self._chunked = message.chunked
            self._overhead = 0
            if not message.chunked:
                self._framer.body_left = int(message.headers.get("Content-Length", "0"))
        self.request = message, body

    def _feed_body(self, body: StreamReader, piece: bytes) -> None:
        before = body.total_bytes
        try:
            self._parser.feed_data(piece)
        except HttpProcessingError as exc:
            self._break_body(body, first_line(exc.message))
            return
        if body.is_eof():
            self.body = None
        elif self._chunked:
            overhead = self._overhead + len(piece) - _FRAMED_BYTE * (body.total_bytes - before)
            self._overhead = max(0, overhead)
            if overhead > self._limits.header_bytes:
                limit = self._limits.header_bytes
                self._break_body(body, f"over {limit} bytes of chunk extensions and trailers")

    def _break_body(self, body: StreamReader, why: str) -> None:
        """Let what reads the body get an error; what follows cannot be told from it."""
        self.broken = True
        self.forget()
        self._framer.body_left = 0
        body.set_exception(RequestPayloadError(why))

    def pause(self) -> None:
        """Let the parser put aside what it is fed: the body is not taken as fast as it comes."""
        self._parser.pause_reading()

    def skip(self, size: int) -> bool:
        """Count *size* bytes of a body that nobody reads.

        Returns:
            whether they end it; never, if its length is not known.
        """
        left = self._framer.body_left
        if not left:
            return False
        self._framer.body_left = max(0, left - size)
        return not self._framer.body_left

    def forget(self) -> None:
        """Read no more of the request that is coming."""
        self._head = None
        self.body = None
