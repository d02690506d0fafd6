"""A scripted API server: real sockets, real TLS, and bytes exactly as a test wants them.

A test gives one coroutine per connection; what arrived is recorded as it arrived.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from .certificates import Authority, Identity, tls_server

Script = Callable[["Connection"], Awaitable[None]]


@dataclass
class Request:
    """One request as it arrived: head bytes and decoded body."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.split(b"\r\n")[1:]
        pairs = [line.decode("latin-1").partition(": ") for line in lines if line]
        return [(name, value) for name, _, value in pairs]

    def values(self, name: str) -> list[str]:
        """All values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]


@dataclass
class Connection:
    """The upstream's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    requests: list[Request] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    ending: bool = False
    """The script ends it, or is about to."""
    client_name: str = ""
    """The common name of the client's certificate."""

    async def head(self) -> Request:
        """Read one request head; raises IncompleteReadError when the connection ends."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        request = Request(head[:-4])
        self.requests.append(request)
        return request

    async def request(self) -> Request:
        """Read one request with its body."""
        request = await self.head()
        length = request.values("content-length")
        if length:
            request.body = await self.reader.readexactly(int(length[0]))
        elif request.values("transfer-encoding"):
            request.body = await read_chunked(self.reader)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()

    def close(self) -> None:
        # Once: asyncio's TLS transport of Python 3.11.2 cannot be aborted after a second close.
        if not self.writer.is_closing():
            self.writer.close()


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    """A chunked body without its trailers."""
    body = b""
    while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readuntil(b"\n")).strip():
        pass
    return body


class ScriptedUpstream:
    """A server whose connections are driven by a test's script.

    Args:
        script: called once per connection; when it returns, the connection is closed.
        authority: signs the server certificate and must have signed the client's; None
            for plain HTTP.
        require_certificate: refuse clients without a certificate.
        identity: another server certificate than the default.
    """

    def __init__(
        self,
        script: Script,
        authority: Authority | None = None,
        *,
        require_certificate: bool = False,
        identity: Identity | None = None,
    ) -> None:
        self._script = script
        self._context = (
            server_context(authority, identity, require_certificate) if authority else None
        )
        self._server: asyncio.Server | None = None
        self.connections: list[Connection] = []
        self.port = 0
        self.errors: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Everything that arrived, on all connections."""
        return [request for c in self.connections for request in c.requests]

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=self._context, limit=2**20
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in self.connections:
                connection.abort()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, len(self.connections))
        connection.client_name = _common_name(writer)
        self.connections.append(connection)
        try:
            await self._script(connection)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            # The loop is at its end. Before Python 3.12, whoever asks for this task's exception
            # would meet a cancellation, and complain.
            return
        except RuntimeError as exc:
            # uvloop's word for a connection that is gone.
            if "handler is closed" not in str(exc):
                self.errors.append(exc)
                raise
        except BaseException as exc:
            self.errors.append(exc)
            raise
        finally:
            connection.ending = True
            connection.closed.set()
            connection.close()


def _common_name(writer: asyncio.StreamWriter) -> str:
    certificate = writer.get_extra_info("peercert") or {}
    names = [
        value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"
    ]
    return names[0] if names else ""


def server_context(
    authority: Authority, identity: Identity | None = None, require_certificate: bool = False
) -> ssl.SSLContext:
    """A server's TLS context that asks for a client certificate, as an API server does."""
    context = tls_server()
    leaf = identity or authority.server()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "server.pem"
        path.write_text(leaf.key + leaf.certificate)
        context.load_cert_chain(path)
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED if require_certificate else ssl.CERT_OPTIONAL
    return context


def answering(*answers: bytes) -> Script:
    """A script that gives these responses in turn, then the last one again and again."""

    async def script(connection: Connection) -> None:
        for index in range(10**9):
            await connection.request()
            await connection.send(answers[min(index, len(answers) - 1)])

    return script


def ok(body: bytes = b"{}", *fields: str) -> bytes:
    """A whole 200 answer."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
