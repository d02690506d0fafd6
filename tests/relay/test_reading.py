"""A client that leaves takes its upstream connection with it, whatever was under way."""

import asyncio
import socket

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import Relay, Tokens, eventually, relaying
from tests.support.upstream import Connection, answering, ok

GET = b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def silent(connection: Connection) -> None:
    await connection.head()
    await connection.reader.read()


async def watch(connection: Connection) -> None:
    await connection.head()
    await connection.send(CHUNKED)
    await connection.reader.read()


async def flood(connection: Connection) -> None:
    await connection.head()
    await connection.send(CHUNKED)
    while True:
        await connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")


async def unread(connection: Connection) -> None:
    await connection.head()
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await connection.closed.wait()


def leave(client: Client, *, reset: bool) -> None:
    if reset:
        sock: socket.socket = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.writer.transport.abort()
    else:
        client.close()


async def released(relay: Relay) -> None:
    """The exchange is over and the upstream connection is closed, within a second or so."""
    async with asyncio.timeout(2):
        for connection in relay.upstream.connections:
            await connection.closed.wait()
        await eventually(lambda: relay.records)
    assert relay.idle == 0
    assert relay.records[0].cause == "client-gone"


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("script", [silent, watch, flood])
async def test_leaving_ends_the_upstream_connection(
    script: object, tls: bool, reset: bool, authority: Authority
) -> None:
    async with (
        relaying(script, authority if tls else None) as relay,  # type: ignore[arg-type]
        relay.client() as client,
    ):
        await client.send(GET)
        await eventually(lambda: relay.upstream.requests)
        await asyncio.sleep(0.1)
        leave(client, reset=reset)
        await released(relay)


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
async def test_leaving_in_an_upload_that_flows(reset: bool) -> None:
    async with relaying(silent) as relay, relay.client() as client:
        await client.send(b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nab")
        await eventually(lambda: relay.upstream.requests)
        leave(client, reset=reset)
        await released(relay)


async def test_leaving_in_an_upload_that_nobody_takes() -> None:
    """Nothing is read from the client any more, so its end does not show by itself."""

    async def script(connection: Connection) -> None:
        await connection.head()
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await ended.wait()
        connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection.reader.read()

    ended = asyncio.Event()
    async with relaying(script) as relay, relay.client() as client:
        head = b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000000\r\n\r\n"
        client.writer.write(head + b"x" * 30_000_000)
        await eventually(lambda: relay.upstream.requests)
        await asyncio.sleep(0.3)
        leave(client, reset=True)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "client-gone"
        ended.set()


async def test_leaving_with_a_full_pipeline_behind_a_quiet_watch() -> None:
    async with relaying(watch) as relay, relay.client() as client:
        await client.send(GET * 100)
        await eventually(lambda: relay.upstream.requests)
        await asyncio.sleep(0.1)
        leave(client, reset=False)
        await released(relay)


async def test_leaving_while_connecting(authority: Authority) -> None:
    """The upstream takes the connection and never answers the TLS handshake."""

    async def script(connection: Connection) -> None:
        await connection.reader.read()

    async with relaying(script) as mute, relaying(silent, authority) as relay:
        relay.lead_to(mute.upstream.port)
        async with relay.client() as client:
            await client.send(GET)
            await eventually(lambda: mute.upstream.connections)
            leave(client, reset=False)
            await eventually(lambda: relay.records)
            await mute.upstream.connections[0].closed.wait()


async def test_leaving_while_waiting_for_a_credential(authority: Authority) -> None:
    tokens = Tokens("t")
    tokens.gate.clear()
    async with relaying(silent, authority, tokens) as relay, relay.client() as client:
        await client.send(GET)
        await eventually(lambda: tokens.waiting)
        leave(client, reset=False)
        await eventually(lambda: not tokens.waiting)
        await eventually(lambda: relay.records)


async def test_a_thousand_clients_that_come_and_go_leave_nothing() -> None:
    async with relaying(answering(ok(b"x"))) as relay:
        for _ in range(20):
            clients = [await Client.connect(relay.address) for _ in range(50)]
            for index, client in enumerate(clients):
                client.writer.write(GET[: 5 + index])
                leave(client, reset=index % 2 == 0)
        await eventually(lambda: not relay.http.connections)
