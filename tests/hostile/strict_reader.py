"""Reads HTTP/1.1 requests, strictly and by itself: the second opinion of these tests.

Nothing here comes from the proxy or from the parsers that it uses. Where RFC 9112 lets a server
be lenient, :class:`Leniency` says so, for reading what a client sent; what a proxy sends has no
such excuse.
"""

import re
from dataclasses import dataclass
from enum import Flag, auto

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_LOOSE_LINE = re.compile(rb"(" + _TOKEN + rb") +([\x21-\x7e\x80-\xff]+) +HTTP/1\.([01])")
_FIELD = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*"
)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?)\r\n")


class Leniency(Flag):
    """What a server may forgive a client."""

    NONE = 0
    EMPTY_LINES = auto()
    """Empty lines before a request (RFC 9112 section 2.2)."""
    SPACES = auto()
    """More than one space in the request line (RFC 9112 section 3)."""
    ALL = EMPTY_LINES | SPACES


class NotHttpError(Exception):
    """The bytes are no request."""


@dataclass(frozen=True)
class Message:
    """One request.

    Attributes:
        raw: all its bytes.
        minor: of the version, 0 or 1.
        trailers: fields behind a chunked body.
    """

    raw: bytes
    method: bytes
    target: bytes
    minor: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field."""
        return [value for key, value in self.fields if key.lower() == name]

    def options(self, name: bytes) -> set[bytes]:
        """The elements of a field that is a list of tokens, lower case."""
        return {
            element.strip(b" \t").lower()
            for value in self.values(name)
            for element in value.split(b",")
        }


def read(data: bytes, leniency: Leniency = Leniency.NONE) -> tuple[list[Message], bytes]:
    """The requests at the beginning of *data*, and the bytes of the one that is not whole.

    Raises:
        NotHttpError: with the requests before it as ``args[0]``.
    """
    found: list[Message] = []
    while True:
        if leniency & Leniency.EMPTY_LINES:
            data = data.lstrip(b"\r\n")
        try:
            message = _read_one(data, leniency)
        except NotHttpError as error:
            raise NotHttpError(found, *error.args) from None
        if message is None:
            return found, data
        found.append(message)
        data = data[len(message.raw) :]
        if b"upgrade" in message.options(b"connection") and message.values(b"upgrade"):
            return found, data


def _read_one(data: bytes, leniency: Leniency) -> Message | None:
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *lines = head.split(b"\r\n")
    match = (_LOOSE_LINE if leniency & Leniency.SPACES else _LINE).fullmatch(line)
    if match is None:
        raise NotHttpError(line)
    method, target, minor = match[1], match[2], int(match[3])
    message = Message(b"", method, target, minor, _fields(lines), b"")
    body = _body(message, rest)
    if body is None:
        return None
    content, trailers, size = body
    raw = data[: len(head) + len(end) + size]
    return Message(raw, method, target, minor, message.fields, content, trailers)


def _fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise NotHttpError(line)
        fields.append((match[1], match[2]))
    return tuple(fields)


def _body(head: Message, rest: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...], int] | None:
    """Body, trailers, and the bytes they take; None if they have not come yet."""
    hosts = head.values(b"host")
    if len(hosts) > 1 or len(hosts) < head.minor:
        raise NotHttpError("Host", hosts)
    lengths, codings = head.values(b"content-length"), head.values(b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise NotHttpError("framed twice")
    if codings:
        if codings[0].lower() != b"chunked" or not head.minor:
            raise NotHttpError("Transfer-Encoding", codings)
        return _chunks(rest)
    if not lengths:
        return b"", (), 0
    if not _LENGTH.fullmatch(lengths[0]):
        raise NotHttpError("Content-Length", lengths)
    size = int(lengths[0])
    return (rest[:size], (), size) if len(rest) >= size else None


def _chunks(rest: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...], int] | None:
    body, place = b"", 0
    while True:
        line, end, _ = rest[place:].partition(b"\n")
        if not end:
            return None
        match = _CHUNK.fullmatch(line + end)
        if match is None:
            raise NotHttpError("chunk", line)
        place += len(line) + 1
        size = int(match[1], 16)
        if not size:
            break
        if len(rest) < place + size + 2:
            return None
        if rest[place + size : place + size + 2] != b"\r\n":
            raise NotHttpError("chunk end", rest[place + size :][:2])
        body += rest[place : place + size]
        place += size + 2
    if rest.startswith(b"\r\n", place):
        return body, (), place + 2
    trailers, end, _ = rest[place:].partition(b"\r\n\r\n")
    if not end:
        return None
    return body, _fields(trailers.split(b"\r\n")), place + len(trailers) + 4
