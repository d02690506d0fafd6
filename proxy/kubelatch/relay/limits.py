"""What one client may take, and the errors for what goes beyond.

An error's message names the limit, its hint the flag. Nothing is written here: ``client`` notices
that a limit is reached, and responds.
"""

from dataclasses import dataclass

from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

from ..config.settings import Settings
from ..errors import ClientRequestError, KubelatchError
from ..http1.request_line import RequestLine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Limits:
    """Limits for clients; the flags' table has the reasons for their defaults.

    Attributes:
        header_bytes: of a request's line and header fields together, to the empty line's end; and
            of what a chunked body has besides data.
        headers: of one request.
        partial_header_bytes: of all heads together that have come in part.
        head_seconds: from a head's first byte to its last, and from the beginning of a connection
            to its first head; 0 is no limit.
        body_seconds: without a byte of a body that is still coming; 0 is no limit.
        idle_seconds: without a request on a connection; 0 is no limit.
        connections: at once; 0 is no limit.
    """

    header_bytes: int = 1024 * 1024
    headers: int = 256
    partial_header_bytes: int = 64 * 1024 * 1024
    head_seconds: float = 30.0
    body_seconds: float = 300.0
    idle_seconds: float = 3600.0
    connections: int = 0

    @property
    def first_head_seconds(self) -> float:
        """How long a new connection may be without a head; 0 is no limit."""
        return min(filter(None, (self.head_seconds, self.idle_seconds)), default=0.0)

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Those that the flags set."""
        return cls(
            header_bytes=settings.max_header_bytes,
            headers=settings.max_headers,
            partial_header_bytes=settings.max_partial_header_bytes,
            head_seconds=settings.head_timeout,
            body_seconds=settings.body_timeout,
            idle_seconds=settings.idle_timeout,
            connections=settings.max_connections,
        )

    def head_too_large(self) -> KubelatchError:
        """The head is larger than :attr:`header_bytes`."""
        return HeadTooLargeError(
            f"the request's line and header fields are over {self.header_bytes} bytes",
            hint="--max-header-bytes allows more",
        )

    def too_many_headers(self) -> KubelatchError:
        """There are more than :attr:`headers`."""
        return HeadTooLargeError(
            f"the request has over {self.headers} header fields",
            hint="--max-headers allows more",
            cause="too-many-headers",
        )

    def too_many_partial_heads(self) -> KubelatchError:
        """Of all that have come in part this is the largest; see :attr:`partial_header_bytes`."""
        return TooManyConnectionsError(
            "the proxy holds parts of too many requests' line and header fields: over "
            f"{self.partial_header_bytes} bytes",
            hint="send them in one piece, or allow more with --max-partial-header-bytes",
            cause="too-many-partial-heads",
        )

    def head_too_slow(self) -> KubelatchError:
        """The head took longer than :attr:`head_seconds`."""
        return RequestTimeoutError(
            f"the request's head was not complete after {self.head_seconds:g} s",
            hint="--head-timeout allows more time",
        )

    def body_too_slow(self) -> KubelatchError:
        """Nothing of the body came for :attr:`body_seconds`."""
        return RequestTimeoutError(
            f"no more of the request's body came for {self.body_seconds:g} s",
            hint="--body-timeout allows more time",
            cause="body-timeout",
        )

    def too_many_connections(self) -> KubelatchError:
        """There are as many as :attr:`connections` already."""
        return TooManyConnectionsError(
            f"the proxy has {self.connections} connections already",
            hint="close some, or allow more with --max-connections",
        )


class HeadTooLargeError(ClientRequestError):
    """A request's head is larger than allowed (RFC 6585 section 5)."""

    status = 431
    default_cause = "head-too-large"


class RequestTimeoutError(ClientRequestError):
    """A request did not come in time (RFC 9110 section 15.5.9)."""

    status = 408
    reason = "Timeout"
    default_cause = "head-timeout"


class TooManyConnectionsError(KubelatchError):
    """All connections are taken; another try may succeed."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "too-many-connections"
    transient = True


class PartialHead:
    """A request's head that did not come in one piece.

    Args:
        piece: what has come of it, which the parser has been fed.

    Attributes:
        line: its first line, as far as the parser has been fed.
        size: how many bytes have come.
    """

    __slots__ = ("_rest", "line", "size")

    def __init__(self, piece: bytes) -> None:
        self.size = len(piece)
        self.line = RequestLine()
        self.line.readable(piece)
        # Of the line that is coming, what the parser has not been fed.
        self._rest = bytearray()

    def gather(self, piece: bytes) -> bytes:
        """Take one more piece, and return what to feed to the parser now.

        The parser copies the line so far with each piece of it: what it is fed must grow with
        the head, so that a head in many pieces costs what its size costs.
        """
        self.size += len(piece)
        self._rest += piece
        if b"\n" not in piece and len(self._rest) * 16 < self.size:
            return b""
        ready = bytes(self._rest)
        self._rest.clear()
        return ready


def explain(fault: HttpProcessingError, limits: Limits) -> KubelatchError:
    """Return aiohttp's complaint about a request as an error of ours; *limits* are the parser's."""
    if isinstance(fault, LineTooLong):
        return limits.head_too_large()
    if isinstance(fault, BadHttpMessage) and fault.message.startswith("Too many headers"):
        return limits.too_many_headers()
    return ClientRequestError(
        f"the request cannot be read: {first_line(fault.message or 'bad request')}"
    )


def first_line(message: str) -> str:
    """The parser's complaint without the excerpt of the request that follows it."""
    return message.partition("\n")[0].rstrip(": ")
