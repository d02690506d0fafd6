"""What the tests of requests without a task share: an idle upstream connection, and scripts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from kubelatch.relay.client import ClientProtocol
from kubelatch.relay.handler import Handler
from kubelatch.relay.states import State
from kubelatch.relay.upstream_exchange import UpstreamExchange
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import Relay, Tokens, eventually, relaying
from tests.support.upstream import Connection, Script, ok

from .test_reading import leave

HOST = b"Host: localhost\r\n"
GET = b"GET /api HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
# The targets of the requests that have begun without a task; see the fixture of that name.
Begun = list[str]
BEGUN: Begun = []


def note_begun(handler: Handler) -> None:
    """Note in :data:`BEGUN` what the handler sends to the upstream from now on."""

    def make_exchange(*arguments: Any, **options: Any) -> UpstreamExchange:
        exchange = UpstreamExchange(*arguments, **options)

        def look() -> None:
            if exchange._task is None and exchange.record.reused:
                BEGUN.append(exchange.record.target)

        # Once it has begun, and before a task of it can.
        asyncio.get_running_loop().call_soon(look)
        return exchange

    handler.exchange = make_exchange


@contextlib.asynccontextmanager
async def primed(
    script: Script, authority: Authority | None = None, *tokens: str
) -> AsyncIterator[tuple[Relay, Client, ClientProtocol]]:
    """A relay with an idle upstream connection, and a client with both ends of its connection."""
    async with relaying(script, authority, Tokens(*tokens or ("t",))) as relay:
        await relay.prime()
        note_begun(relay.handler)
        async with relay.client() as client:
            await eventually(lambda: relay.http.connections)
            [connection] = relay.http.connections
            assert isinstance(connection, ClientProtocol)
            await eventually(lambda: connection.state is State.IDLE)
            try:
                yield relay, client, connection
            except BaseException:
                # What has not been sent would keep it, and the test, waiting.
                leave(client, reset=True)
                raise
        await eventually(lambda: not relay.http.connections)
        assert connection.exchange is None


def request(target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def echo(connection: Connection) -> None:
    while True:
        asked = await connection.request()
        await connection.send(ok(asked.line.split(" ")[1].encode() + b" " + asked.body))


async def mute(connection: Connection) -> None:
    await connection.request()
    await connection.reader.read()


async def watch(connection: Connection) -> None:
    await connection.request()
    await connection.send(CHUNKED + b'c\r\n{"type":""}\n\r\n')
    await connection.reader.read()


async def unfinished(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
    await connection.reader.read()
