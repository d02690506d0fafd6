"""The other end of a TLS connection, with every record in the test's hand."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from kubelatch.credentials.tls import TlsContext, client_context
from kubelatch.credentials.tls.go_context import GoContext
from kubelatch.kubeconfig import TlsConfig
from kubelatch.upstream.tls_transport import TlsTransport
from tests.support.certificates import Authority
from tests.support.upstream import server_context

CONTEXTS: dict[str, Callable[[Authority], TlsContext]] = {
    "openssl": lambda authority: client_context(TlsConfig(ca_data=authority.pem.encode())),
    "go": lambda authority: GoContext(client_context(TlsConfig(ca_data=authority.pem.encode()))),
}
"""What makes our side of a connection, by how the server is verified."""


class TlsPeer:
    """The server's side, pumped by hand over a plain TCP connection."""

    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        await self._until(self._ssl.do_handshake)

    async def recv(self) -> bytes:
        """Some bytes; empty at close_notify. Raises ConnectionResetError at a bare end."""
        try:
            data: bytes = await self._until(lambda: self._ssl.read(65536))
        except ssl.SSLZeroReturnError:
            return b""
        return data

    async def read_all(self) -> bytes:
        """Everything until close_notify."""
        data = b""
        while piece := await self.recv():
            data += piece
        return data

    def sealed(self, data: bytes) -> bytes:
        """The records that carry *data*."""
        self._ssl.write(data)
        return self._outgoing.read()

    def close_notify(self) -> bytes:
        """The record that says the end."""
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
        return self._outgoing.read()

    def unsent(self) -> bytes:
        """Records that wait to be sent, such as an alert."""
        return self._outgoing.read()

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def _until(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self.send(self._outgoing.read())
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionResetError from None
                self._incoming.write(data)
            else:
                await self.send(self._outgoing.read())
                return result


class Recorder(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.data = b""
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()
        self.error: Exception | None = None
        self.deliveries: list[int] = []
        self.writing_paused = False
        self.half_open = half_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.deliveries.append(len(data))

    def eof_received(self) -> bool:
        self.ended.set()
        return self.half_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False


@asynccontextmanager
async def tls_listener(
    authority: Authority,
    script: Callable[[TlsPeer], Awaitable[None]],
    *,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> AsyncIterator[int]:
    """A port where *script* talks to the first who comes, and must come to its end."""
    context = server_context(authority)
    context.maximum_version = maximum
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = TlsPeer(context, reader, writer)
            await peer.handshake()
            await script(peer)
        except BaseException as exc:
            finished.set_exception(exc)
            raise
        else:
            finished.set_result(None)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(finished, 10)
    finally:
        server.close()


@asynccontextmanager
async def tls_pair(
    authority: Authority,
    script: Callable[[TlsPeer], Awaitable[None]],
    *,
    half_open: bool = False,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    engine: str = "openssl",
) -> AsyncIterator[tuple[TlsTransport, Recorder]]:
    """Our transport with its handshake done, and *script* running at the other end."""
    recorder = Recorder(half_open=half_open)
    context = CONTEXTS[engine](authority)
    transport = TlsTransport(context, "127.0.0.1", recorder)
    async with tls_listener(authority, script, maximum=maximum) as port:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: transport, "127.0.0.1", port)
        await transport.ready
        yield transport, recorder
    transport.abort()
    await asyncio.wait_for(recorder.lost.wait(), 10)
