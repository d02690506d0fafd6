"""A blocking HTTP/1.1 client that sends exact bytes and reads answers without forgiving anything.

Blocking on purpose: the suites here share processes and servers across a whole session, and
threads outlive a test's event loop.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Field lines by lower-case name, sorted by it."""

TIMEOUT = 20.0
# What frames a message on one hop, or says when: no part of what was answered.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "date", "trailer"})


@dataclass(frozen=True)
class Ask:
    """A request as bytes, what the API server is to answer, and in which pieces it is sent."""

    data: bytes
    answer: bytes = b""
    head_only: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer with its framing removed.

    ``informational`` are the statuses that came before; ``whole`` is False if the connection
    ended before the body did; ``closes`` if the connection does not go on.
    """

    status: int
    reason: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = ()
    informational: tuple[int, ...] = ()
    whole: bool = True
    closes: bool = False

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def meaning(self) -> Fields:
        """The fields that say something, by name."""
        return tuple(pair for pair in self.fields if pair[0] not in _FRAMING)


def ask(
    method: str,
    target: str,
    *fields: str,
    body: bytes | None = None,
    chunks: Iterable[bytes] | None = None,
    trailers: str = "",
    host: str | None = "localhost",
    version: str = "1.1",
    answer: bytes = b"",
) -> Ask:
    """Build a request; text is sent as UTF-8, and so may hold any character."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += fields
    content = b""
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
        content = body
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        content = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        content += b"0\r\n" + trailers.encode() + b"\r\n"
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return Ask(head + content, answer, head_only=method == "HEAD")


def connect(address: str) -> socket.socket:
    """Connect to ``host:port``, ``[v6]:port``, a unix socket's path or its abstract ``@name``."""
    if "/" in address or address.startswith("@"):
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(TIMEOUT)
        plain.connect("\0" + address[1:] if address.startswith("@") else address)
        return plain
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT)


def send(address: str, request: Ask) -> Reply | None:
    """Send a request on a connection of its own; None if it ends without an answer."""
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(request.data)
        return read_reply(stream, head_only=request.head_only)


def read_reply(stream: BinaryIO, *, head_only: bool = False) -> Reply | None:
    """Read one answer, and what came before it."""
    informational: list[int] = []
    while True:
        head = _read_head(stream)
        if head is None:
            return None
        version, status, reason, fields = head
        if status >= 200 or status == 101:
            break
        informational.append(status)
    options = ",".join(value for name, value in fields if name == "connection").lower()
    closes = "close" in options or (version == "HTTP/1.0" and "keep-alive" not in options)
    body: bytes = b""
    trailers: Fields = ()
    whole = True
    if not head_only and status not in (101, 204, 304):
        body, trailers, whole, to_end = _read_body(stream, fields)
        closes = closes or to_end
    return Reply(status, reason, fields, body, trailers, tuple(informational), whole, closes)


def _read_head(stream: BinaryIO) -> tuple[str, int, str, Fields] | None:
    try:
        line = stream.readline()
    except ConnectionError:
        return None
    if not line.endswith(b"\r\n"):
        return None
    version, status, reason = (line[:-2].decode("latin-1") + " ").split(" ", 2)
    return version, int(status), reason.strip(), _read_fields(stream)


def _read_fields(stream: BinaryIO) -> Fields:
    """Field lines up to the empty line, names in lower case, sorted by name."""
    fields = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, colon, value = line.decode("latin-1").partition(":")
        assert colon, line
        fields.append((name.lower(), value.strip()))
    return tuple(sorted(fields, key=lambda pair: pair[0]))


def _read_body(stream: BinaryIO, fields: Fields) -> tuple[bytes, Fields, bool, bool]:
    """Body, trailers, whether it was whole, and whether it lasted to the connection's end."""
    values = dict(fields)
    try:
        if "transfer-encoding" in values:
            body = b""
            while True:
                line = stream.readline()
                if not line.endswith(b"\r\n"):
                    return body, (), False, True
                size = int(line.split(b";")[0], 16)
                if not size:
                    return body, _read_fields(stream), True, False
                chunk = stream.read(size + 2)
                body += chunk[:size]
                if len(chunk) < size + 2:
                    return body, (), False, True
        if "content-length" in values:
            length = int(values["content-length"])
            body = stream.read(length)
            return body, (), len(body) == length, False
        return stream.read(), (), True, True
    except ConnectionError:
        return b"", (), False, True
