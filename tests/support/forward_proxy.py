"""A forward proxy that records what it was asked: CONNECT over HTTP or HTTPS, and SOCKS5."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class ForwardProxy:
    """Where it listens, and what it was asked.

    Attributes:
        port: on 127.0.0.1.
        asked: each target as ``host:port``.
        credentials: each user and password, or Proxy-Authorization field, that came.
        refusal: answered to CONNECT instead of connecting.
        granted: answered to CONNECT once it has connected.
        wrong: any password is.
    """

    port: int = 0
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    refusal: bytes = b""
    granted: bytes = b"HTTP/1.1 200 Fine\r\nX: y\r\n\r\n"
    tasks: set[asyncio.Task[object]] = field(default_factory=set)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one CONNECT."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        target = lines[0].split()[1]
        self.asked.append(target)
        self.credentials += [v for k, _, v in (x.partition(": ") for x in lines) if "Proxy-A" in k]
        if self.refusal:
            writer.write(self.refusal)
            return
        host, _, port = target.rpartition(":")
        await self._join(reader, writer, host, int(port), self.granted)

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one SOCKS5 CONNECT (RFC 1928, RFC 1929)."""
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        writer.write(b"\5\2" if 2 in methods else b"\5\0")
        if 2 in methods:
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            self.credentials.append(f"{user.decode()}:{password.decode()}")
            writer.write(b"\1\0")
        kind = (await reader.readexactly(4))[3]
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host}:{port}")
        if self.refusal:
            writer.write(self.refusal)
            return
        await self._join(reader, writer, host, port, b"\5\0\0\1\0\0\0\0\0\0")

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
        granted: bytes,
    ) -> None:
        onward = await asyncio.open_connection(host, port)
        writer.write(granted)
        try:
            await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))
        finally:
            onward[1].close()


@asynccontextmanager
async def forward_proxy(
    kind: str = "http", context: ssl.SSLContext | None = None, refusal: bytes = b""
) -> AsyncIterator[ForwardProxy]:
    """A running proxy; *context* makes it an https proxy."""
    proxy = ForwardProxy(refusal=refusal)
    serve = proxy.socks if kind == "socks5" else proxy.connect

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        proxy.tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy.tasks:
            task.cancel()
        await asyncio.gather(*proxy.tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
