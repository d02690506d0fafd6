"""Writes HTTP/1.1 messages (RFC 9112): every head and chunk that the proxy sends is made here.

Fields are written as given, in their order; ``headers`` decides which may pass.
"""

from collections.abc import Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from .fields import Pairs
from .headers import trailer_fields

LAST_CHUNK: Final = b"0\r\n\r\n"


def head(lines: Iterable[bytes]) -> bytes:
    """A complete head from *lines* without line ends, the start line first."""
    return b"\r\n".join(lines) + b"\r\n\r\n"


def request_start(method: str, target: bytes, fields: Pairs) -> bytes:
    """The request line and *fields*, without the empty line, so that fields can be added."""
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
    lines += [b": ".join(field) for field in fields]
    return b"\r\n".join(lines) + b"\r\n"


def status_line(status: int, reason: bytes, *, minor: int = 1) -> bytes:
    """The status line without its line end; *minor* is the minor version of HTTP."""
    return b"HTTP/1.%d %d %b" % (minor, status, reason)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; *data* is not empty, as an empty chunk would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Pairs) -> bytes:
    """The end of a chunked body, with its trailer section."""
    return b"0\r\n" + trailer_fields(trailers) + b"\r\n"


def date_field() -> bytes:
    """A ``Date`` line with the current time, without line end (RFC 9110 section 6.6.1)."""
    return b"Date: " + formatdate(usegmt=True).encode()


def connection_field(*, keep_alive: bool, http10: bool) -> tuple[bytes, ...]:
    """The ``Connection`` line that a response needs, or none (RFC 9112 section 9.3)."""
    if not keep_alive:
        return (b"Connection: close",)
    return (b"Connection: keep-alive",) if http10 else ()


def local_response(
    status: int,
    content: bytes,
    *,
    content_type: str = "application/json",
    length: int | None = None,
    http10: bool = False,
    keep_alive: bool = True,
    head_only: bool = False,
    fields: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A local response.

    Args:
        status: HTTP status.
        content: the body, or its first part.
        content_type: its media type; empty if there is no body.
        length: the body's size in bytes; None: *content* is all of it.
        http10: the client speaks HTTP/1.0.
        keep_alive: the connection stays open.
        head_only: the request was HEAD.
        fields: more header fields.
    """
    size = len(content) if length is None else length
    lines = [
        status_line(status, _phrase(status), minor=0 if http10 else 1),
        *([b"Content-Type: " + content_type.encode()] if content_type else ()),
        # RFC 9110 section 8.6: not in a 204; a 304's would be that of the 200.
        *([b"Content-Length: %d" % size] if status not in _WITHOUT_LENGTH else ()),
        date_field(),
        b"X-Content-Type-Options: nosniff",
        *(f"{name}: {value}".encode("latin-1", "replace") for name, value in fields),
        *connection_field(keep_alive=keep_alive, http10=http10),
    ]
    return head(lines) if head_only else head(lines) + content


_WITHOUT_LENGTH: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
