"""What one client may take, and what it is told when it wants more.

A refusal is an error whose message names the limit and whose hint names the flag. This module
writes to no connection: ``client_connection`` sees that a limit is reached, and answers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from ..errors import ClientRequestError, KubelatchError
from ..http1.request_line import RequestLine
from ..http1.status import answer
from ..http1.status import body as status_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits for clients; the flags' table has the reasons for their defaults.

    Attributes:
        header_bytes: of a request's line and header fields together, to the empty line's end.
        headers: of one request.
        head_seconds: from a head's first byte to its last; 0 is no limit.
        idle_seconds: without a request on a connection; 0 is no limit.
        connections: at once; 0 is no limit.
        flags: they are those of the command's flags, which a refusal then names.
    """

    header_bytes: int = 1024 * 1024
    headers: int = 256
    head_seconds: float = 30.0
    idle_seconds: float = 3600.0
    connections: int = 0
    flags: bool = True

    def head_too_large(self) -> KubelatchError:
        """The head is larger than :attr:`header_bytes`."""
        return HeadTooLargeError(
            f"the request's line and header fields are over {self.header_bytes} bytes",
            hint=self._hint("--max-header-bytes allows more"),
        )

    def too_many_headers(self) -> KubelatchError:
        """There are more than :attr:`headers`."""
        return HeadTooLargeError(
            f"the request has over {self.headers} header fields",
            hint=self._hint("--max-headers allows more"),
            cause="too-many-headers",
        )

    def head_too_slow(self) -> KubelatchError:
        """The head took longer than :attr:`head_seconds`."""
        return HeadTimeoutError(
            f"the request's head was not complete after {self.head_seconds:g} s",
            hint=self._hint("--head-timeout allows more time"),
        )

    def too_many_connections(self) -> KubelatchError:
        """There are as many as :attr:`connections` already."""
        return TooManyConnectionsError(
            f"the proxy has {self.connections} connections already",
            hint=self._hint("close some, or allow more with --max-connections"),
        )

    def _hint(self, text: str) -> str:
        return text if self.flags else ""


class HeadTooLargeError(ClientRequestError):
    """A request's head is larger than allowed (RFC 6585 section 5)."""

    status = 431
    default_cause = "head-too-large"


class HeadTimeoutError(ClientRequestError):
    """A request's head did not come in time (RFC 9110 section 15.5.9)."""

    status = 408
    reason = "Timeout"
    default_cause = "head-timeout"


class TooManyConnectionsError(KubelatchError):
    """All connections are taken; another try may succeed."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "too-many-connections"
    passing = True


class PartialHead:
    """A request's head that did not come in one piece.

    Args:
        piece: what has come of it.
        limits: how long it may take.
        refuse: is told when that is over.

    Attributes:
        line: its first line, as far as the parser has been fed.
        size: how many bytes have come.
    """

    __slots__ = ("_rest", "_timer", "line", "size")

    def __init__(
        self, piece: bytes, limits: Limits, refuse: Callable[[KubelatchError], None]
    ) -> None:
        self.size = len(piece)
        self.line = RequestLine()
        self.line.readable(piece)
        # Of the line that is coming, what the parser has not been fed.
        self._rest = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        if limits.head_seconds > 0:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(
                limits.head_seconds, lambda: refuse(limits.head_too_slow())
            )

    def gather(self, piece: bytes) -> bytes:
        """Take one more piece, and say what to feed to the parser now.

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

    def end(self) -> None:
        """It is complete, refused or lost."""
        if self._timer is not None:
            self._timer.cancel()


def told(error: KubelatchError) -> tuple[bytes, int]:
    """The whole answer for *error*, after which the connection ends, and its body's size."""
    body = status_body(
        error.status, error.reason, error.message, hint=error.hint, cause=error.cause
    )
    extra = (("Retry-After", "1"),) if error.passing else ()
    return answer(error.status, body, keep_alive=False, extra=extra), len(body)


def explain(
    code: int, fault: BaseException | None, message: str | None, limits: Limits
) -> KubelatchError:
    """aiohttp's complaint in our words.

    Args:
        code: 500 if the fault is ours, else it is the client's.
        fault: what was raised; errors of ours are as they should be.
        message: the parser's text, which may end in an excerpt of the request.
        limits: those that the parser was given.
    """
    if isinstance(fault, KubelatchError):
        return fault
    if code == 500:
        return KubelatchError("internal error of the proxy")
    if isinstance(fault, LineTooLong):
        return limits.head_too_large()
    if isinstance(fault, BadHttpMessage) and fault.message.startswith("Too many headers"):
        return limits.too_many_headers()
    return ClientRequestError(f"the request cannot be read: {first_line(message or 'bad request')}")


def first_line(message: str) -> str:
    """The parser's complaint without the excerpt of the request that follows it."""
    return message.partition("\n")[0].rstrip(": ")
