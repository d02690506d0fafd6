"""An API server that records what arrives byte by byte and answers what it is told.

It lives in threads, so that one serves a whole session. Tests ask one request at a time; what it
has recorded when the client has its answer is complete, as it answers when it has read all.
"""

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.support.certificates import Authority
from tests.support.upstream import server_context

from .wire import Fields

_END = b"\r\n\r\n"
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n{}"
)


@dataclass(frozen=True)
class Received:
    """A request as it arrived: fields by lower-case name in order of names, body deframed."""

    line: str
    fields: Fields
    body: bytes
    trailers: Fields = ()
    head: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


@dataclass
class Peer:
    """One connection, from the API server's side."""

    socket: ssl.SSLSocket
    stream: io.BufferedReader

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


# Called when a request has been read; True keeps the connection for another.
Script: TypeAlias = Callable[[Peer, Received], bool]


def says(data: bytes) -> Script:
    """Answer these bytes, to HEAD without the body; go on unless they say otherwise."""
    keep = b"connection: close" not in data.lower() and _is_framed(data)

    def script(peer: Peer, request: Received) -> bool:
        peer.send(data.partition(_END)[0] + _END if request.line.startswith("HEAD ") else data)
        return keep

    return script


def hangs_up(data: bytes = b"") -> Script:
    """Send these bytes at most, and end the connection without a TLS close_notify."""

    def script(peer: Peer, _: Received) -> bool:
        if data:
            peer.send(data)
        plain = socket.socket(fileno=peer.socket.detach())
        plain.close()
        return False

    return script


def _is_framed(data: bytes) -> bool:
    # Past answers that are only informational.
    head = data.lower().partition(_END)[0]
    while head.split(b" ")[1] in {b"100", b"102", b"103"}:
        data = data.partition(_END)[2]
        head = data.lower().partition(_END)[0]
    status = int(head.split(b" ")[1])
    return b"content-length" in head or b"chunked" in head or status in (204, 304)


class RecordingUpstream:
    """See the module.

    Attributes:
        script: what to do with the next requests.
        received: what has arrived since the list was last cleared.
    """

    def __init__(self, authority: Authority) -> None:
        self._context = server_context(authority)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.script = says(OK)
        self.received: list[Received] = []
        self._open: set[ssl.SSLSocket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        # Wakes the accept that the thread is blocked in.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        # Ends of connections are the tests' business, and come in many ways.
        with contextlib.suppress(OSError, ValueError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._context.wrap_socket(plain, server_side=True)
            self._open.add(connection)
            try:
                with connection, connection.makefile("rb") as stream:
                    peer = Peer(connection, stream)
                    while (request := self._read(peer)) and self.script(peer, request):
                        pass
                    if connection.fileno() >= 0:
                        connection.unwrap()
            finally:
                self._open.discard(connection)

    def _read(self, peer: Peer) -> Received | None:
        head = b""
        while not head.endswith(_END):
            line = peer.stream.readline()
            if not line:
                return None
            head += line
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        fields = _sorted(lines)
        values = dict(fields)
        body: bytes = b""
        trailers: Fields = ()
        if "chunked" in values.get("transfer-encoding", ""):
            body, trailers = _read_chunked(peer.stream)
        elif "content-length" in values:
            body = peer.stream.read(int(values["content-length"]))
        request = Received(first, fields, body, trailers, head)
        self.received.append(request)
        return request


def _sorted(lines: list[str]) -> Fields:
    pairs = [line.partition(":") for line in lines]
    return tuple(
        sorted(
            ((name.lower(), value.strip()) for name, _, value in pairs), key=lambda pair: pair[0]
        )
    )


def _read_chunked(stream: io.BufferedReader) -> tuple[bytes, Fields]:
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size + 2)[:size]
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line.decode("latin-1").rstrip())
    return body, _sorted(lines)
