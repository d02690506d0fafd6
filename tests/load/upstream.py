"""An API server that costs little: numbered answers, and watches that all get the same events."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from tests.support.certificates import Authority
from tests.support.upstream import server_context

_TARGET = re.compile(rb"GET /(numbered|watch)/(\d+) HTTP/1\.1\r\n")
_BLOCK = bytes(range(256)) * 256
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def body(number: int) -> bytes:
    """The body of a numbered answer: of any size up to 64 KiB, most of them small."""
    size = number * 7919 % (65536 if number % 16 == 0 else 2048)
    return b"%d " % number + _BLOCK[number % 256 :][:size]


def event(number: int) -> bytes:
    """One event of every watch."""
    return b'{"type":"MODIFIED","object":{"metadata":{"resourceVersion":"%d"}}}\n' % number


def _answer(number: int) -> bytes:
    content = body(number)
    if number % 3:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)
    half = len(content) // 2
    parts = [b"%x\r\n%b\r\n" % (len(x), x) for x in (content[:half], content[half:]) if x]
    return b"".join([_CHUNKED, *parts, b"0\r\n\r\n"])


class LoadUpstream:
    """What is known of all connections.

    Attributes:
        url: where it listens.
        connections: how many are open.
        watches: those that are open.
        problems: requests that make no sense.
    """

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.watches: set[asyncio.Transport] = set()
        self.problems: list[bytes] = []

    def send_event(self, number: int) -> None:
        """Tell all watches."""
        data = event(number)
        for transport in self.watches:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end_watches(self) -> None:
        """End them all, properly."""
        for transport in self.watches:
            transport.write(b"0\r\n\r\n")
        self.watches.clear()


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: LoadUpstream) -> None:
        self._upstream = upstream
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._upstream.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connections -= 1
        if self._transport is not None:
            self._upstream.watches.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n") or self._transport is None:
            return
        head, self._received = self._received, b""
        target = _TARGET.match(head)
        if target is None or head.count(b"\r\n\r\n") != 1:
            self._upstream.problems.append(head)
            self._transport.abort()
        elif target[1] == b"watch":
            self._transport.write(_CHUNKED)
            self._upstream.watches.add(self._transport)
        else:
            self._transport.write(_answer(int(target[2])))


@asynccontextmanager
async def load_upstream(authority: Authority) -> AsyncIterator[LoadUpstream]:
    """A running one, over TLS."""
    upstream = LoadUpstream()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(upstream),
        "127.0.0.1",
        0,
        ssl=server_context(authority),
        backlog=4096,
        ssl_handshake_timeout=60,
    )
    upstream.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
