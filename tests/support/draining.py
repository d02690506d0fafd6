"""What a drain finds in flight: an API server whose responses the test lets go on, and proxies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubelatch.app import App

from .certificates import Authority
from .client import Client
from .kubeconfig import kubeconfig, write
from .proxies import proxy_in_loop
from .upstream import Connection, ScriptedUpstream

WATCH = "/api/v1/pods?watch=true"
LOG = "/api/v1/namespaces/a/pods/b/log?follow=true"
JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf;stream=watch"
CBOR = "application/cbor-seq"
# {"type": "ADDED", "object": 55799({"a": [1, -500, h'0102', 1.5, true], "b": {_ "c": "xyz…", …}})}
ITEM = (
    b"\xa2\x64type\x65ADDED\x66object\xd9\xd9\xf7\xa2\x61a\x85\x01\x39\x01\xf3\x42\1\2\xfb\x3f\xf8"
    + bytes(6)
    + b"\xf5\x61b\xbf\x61c\x78\x64" + b"x" * 100 + b"\x61d\x7f\x61y\x61z\xff\x61e\x80\xff"
)  # fmt: skip
EVENT = b'{"type":"ADDED","object":{"kind":"Pod","note":"line\\nend"}}\n'
FRAME = (300).to_bytes(4) + b"\0\1\n" * 100
# Longer than the test may take: whoever waits for it fails.
NEVER = "--drain-timeout=1h"
SOON = "--drain-timeout=20ms"
EXEC = "/api/v1/namespaces/a/pods/b/exec"
UPGRADE = (
    f"GET {EXEC} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
).encode()


def head(kind: str) -> bytes:
    fields = f"Content-Type: {kind}\r\nTransfer-Encoding: chunked"
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Draining:
    """A proxy in this loop, which drains when the test says so."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.address = app.name
        self._drain: asyncio.Task[None] | None = None

    def drain(self) -> None:
        """Begin, as at the first signal."""
        self._drain = asyncio.create_task(self.app.drain())

    async def drained(self) -> None:
        assert self._drain is not None
        async with asyncio.timeout(20):
            await self._drain


@asynccontextmanager
async def draining(directory: Path, config: dict[str, Any], *flags: str) -> AsyncIterator[Draining]:
    async with proxy_in_loop(directory, config, *flags) as app:
        yield Draining(app)


class Server:
    """An API server that answers by target, and sends more when the test says so."""

    def __init__(self, tmp_path: Path, authority: Authority) -> None:
        self.server = ScriptedUpstream(self._script, authority)
        self.answers: dict[str, bytes] = {}
        self._asked: asyncio.Queue[Connection] = asyncio.Queue()
        self._directory = tmp_path
        self._authority = authority

    @property
    def config(self) -> str:
        """The flag that names a kubeconfig of this server."""
        return f"--kubeconfig={write(self._directory / 'server', self.kubeconfig)}"

    @property
    def kubeconfig(self) -> dict[str, Any]:
        return kubeconfig(self.server.url, self._authority, user={"token": "t"})

    @asynccontextmanager
    async def proxy(self, *flags: str) -> AsyncIterator[Draining]:
        """The server, and a proxy in front of it."""
        async with self.server, draining(self._directory, self.kubeconfig, *flags) as proxy:
            yield proxy

    async def asked(self) -> Connection:
        """The connection on which the next request came."""
        return await self._asked.get()

    async def _script(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            target = request.line.split(" ")[1]
            await connection.send(self.answers.get(target, b""))
            self._asked.put_nowait(connection)


async def begin(address: str, target: str, version: str = "1.1") -> Client:
    """A client that has asked, and whose answer has begun if the server has begun it."""
    client = await Client.connect(address)
    await client.send(f"GET {target} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
    return client


async def refuses(address: str) -> None:
    """Wait until nobody listens there any more: the signal has been heard."""
    while True:
        try:
            (await Client.connect(address)).close()
        except OSError:
            return
        await asyncio.sleep(0)


async def received(client: Client, end: bytes) -> bytes:
    """Read until *end* has come."""
    async with asyncio.timeout(10):
        return await client.reader.readuntil(end)
