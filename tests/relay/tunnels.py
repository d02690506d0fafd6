"""What tunnels begin with, on both sides."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import Relay, relaying
from tests.support.upstream import Connection, Script


def asking(protocol: str = "websocket", method: str = "GET", *fields: str) -> bytes:
    """The head of a request to upgrade."""
    lines = [
        f"{method} /ws HTTP/1.1", "Host: localhost", "Connection: keep-alive, Upgrade",
        f"Upgrade: {protocol}", *fields,
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def agreeing(protocol: str = "websocket") -> bytes:
    """The head of the answer that agrees."""
    head = f"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nX-A: b\r\n\r\n"
    return head.encode()


async def echo(connection: Connection) -> None:
    """Agree, and send back what comes."""
    request = await connection.request()
    await connection.send(agreeing(request.values("upgrade")[0]))
    while data := await connection.reader.read(65536):
        await connection.send(data)


@asynccontextmanager
async def tunnelled(
    script: Script, authority: Authority | None = None, protocol: str = "websocket"
) -> AsyncIterator[tuple[Relay, Client]]:
    """A client behind an agreed upgrade."""
    async with relaying(script, authority) as relay, relay.client() as client:
        await client.send(asking(protocol))
        assert (await client.answer()).status == 101
        yield relay, client


def reset(end: Client | Connection) -> None:
    """End a connection by TCP reset."""
    sock: socket.socket = end.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    end.writer.transport.abort()
