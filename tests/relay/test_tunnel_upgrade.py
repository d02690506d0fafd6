"""Upgrades: what is agreed, what is refused, and the bytes that come too early."""

import asyncio
import json

import pytest

from tests.support.certificates import Authority
from tests.support.relay import Tokens, eventually, relaying
from tests.support.upstream import Connection, answering, ok

from .tunnels import agreeing, asking, echo, reset, tunnelled

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@TLS
@pytest.mark.parametrize(
    ("protocol", "method"), [("websocket", "GET"), ("SPDY/3.1", "POST"), ("SPDY/3.1", "GET")]
)
async def test_an_upgrade_is_a_tunnel(
    protocol: str, method: str, tls: bool, authority: Authority
) -> None:
    async with relaying(echo, authority if tls else None) as relay, relay.client() as client:
        await client.send(asking(protocol, method, "Sec-WebSocket-Key: k", "Content-Length: 0"))
        answer = await client.answer()
        assert answer.status == 101
        assert answer.values("upgrade") == [protocol]
        assert answer.values("connection") == ["Upgrade"]
        assert answer.values("x-a") == ["b"]
        await client.send(b"ping")
        assert await client.reader.readexactly(4) == b"ping"
        [request] = relay.upstream.requests
        assert request.line == f"{method} /ws HTTP/1.1"
        assert request.values("connection") == ["Upgrade"]
        assert request.values("upgrade") == [protocol]
        assert request.values("sec-websocket-key") == ["k"]
        assert request.values("x-forwarded-for") == ["127.0.0.1"]
        assert request.values("authorization") == (["Bearer first"] if tls else [])


@pytest.mark.parametrize("protocol", ["websocket", "SPDY/3.1"])
@pytest.mark.parametrize("split", [0, 1, 2, 3, 4, 5, 100])
async def test_early_bytes_of_the_client_arrive(split: int, protocol: str) -> None:
    head = asking(protocol)
    early = b"EARLY\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    cut = len(head) - 4 + split
    async with relaying(echo) as relay, relay.client() as client:
        await client.send((head + early)[:cut])
        await asyncio.sleep(0.01)
        await client.send((head + early)[cut:])
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(len(early)) == early
        await client.send(b"late")
        assert await client.reader.readexactly(4) == b"late"


async def test_many_early_bytes_wait_in_bounded_memory_and_arrive() -> None:
    agree = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await agree.wait()
        await connection.send(agreeing())
        while data := await connection.reader.read(65536):
            await connection.send(data)

    async with relaying(script) as relay, relay.client() as client:
        early = bytes(range(256)) * 80_000
        sending = asyncio.ensure_future(client.send(asking() + early))
        await eventually(lambda: relay.upstream.requests)
        await asyncio.sleep(0.1)
        [connection] = relay.http.connections
        assert len(connection._backlog) < 1_000_000
        agree.set()
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(len(early)) == early
        await sending


@TLS
@pytest.mark.parametrize("size", [5, 600_000])
async def test_early_bytes_of_the_upstream_arrive(
    size: int, tls: bool, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing() + b"e" * size)
        await connection.reader.read()

    async with tunnelled(script, authority if tls else None) as (_, client):
        assert await client.reader.readexactly(size) == b"e" * size


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(agreeing("spdy/3.1"), id="another protocol"),
        pytest.param(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\n\r\n", id="no protocol"),
        pytest.param(ok(b"SECRET"), id="200"),
        pytest.param(b"HTTP/1.1 302 F\r\nLocation: x\r\nContent-Length: 0\r\n\r\n", id="redirect"),
        pytest.param(b"HTTP/1.1 204 N\r\n\r\n", id="204"),
        pytest.param(b"garbage\r\n\r\n", id="garbage"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 403 F\r\nContent-Length: 9\r\n\r\nab", id="a cut refusal"),
        pytest.param(b"HTTP/1.1 403 F\r\n\r\n" + b"x" * 2_000_000, id="an endless refusal"),
    ],
)
async def test_anything_but_the_protocol_asked_for_is_502_and_the_end(answer: bytes) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer)

    async with relaying(script) as relay, relay.client() as client:
        await client.send(asking() + b"EARLY")
        got = await client.answer()
        assert got.status == 502
        assert json.loads(got.body)["kind"] == "Status"
        assert got.values("connection") == ["close"]
        assert got.values("location") == []
        assert await client.to_end() == (b"", True)
        await relay.upstream.connections[0].closed.wait()


@TLS
async def test_a_cut_right_behind_the_101_leaves_no_hanging_tunnel(
    tls: bool, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(agreeing() + b"x")
        reset(connection)

    async with relaying(script, authority if tls else None) as relay, relay.client() as client:
        await client.send(asking())
        async with asyncio.timeout(5):
            await client.to_end()
        await eventually(lambda: relay.records)


@TLS
async def test_a_refusal_is_relayed_with_its_body_and_then_closed(
    tls: bool, authority: Authority
) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = answering(refusal + b"4\r\nnope\r\n0\r\n\r\n")
    async with relaying(script, authority if tls else None) as relay, relay.client() as client:
        await client.send(asking())
        answer = await client.answer()
        assert (answer.status, answer.body) == (403, b"nope")
        assert answer.values("x-why") == ["no"]
        assert answer.values("connection") == ["close"]
        assert await client.to_end() == (b"", True)
        assert relay.idle == 0


async def test_an_upgrade_with_a_body_is_400() -> None:
    async with relaying(echo) as relay, relay.client() as client:
        await client.send(asking("SPDY/3.1", "POST", "Content-Length: 4") + b"body")
        assert (await client.answer()).status == 400
        await client.to_end()
        assert relay.upstream.requests == []


async def test_a_refused_upgrade_is_not_followed_by_a_request() -> None:
    """Bytes behind it may be of the protocol that was asked for."""
    async with relaying(echo) as relay, relay.client() as client:
        await client.send(
            asking().replace(b"/ws", b"/forbidden") + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert (await client.answer()).status == 403
        assert await client.to_end() == (b"", True)
        assert relay.upstream.requests == []


async def test_a_refused_credential_is_renewed_before_the_tunnel(authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        if request.values("authorization") == ["Bearer old"]:
            await connection.send(b"HTTP/1.1 401 U\r\nContent-Length: 0\r\n\r\n")
        else:
            await connection.send(agreeing())
            await connection.send(await connection.reader.readexactly(5))

    tokens = Tokens("old", "new")
    async with relaying(script, authority, tokens) as relay, relay.client() as client:
        await client.send(asking() + b"EARLY")
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(5) == b"EARLY"
        assert tokens.rejected == ["old"]
        assert len(relay.upstream.connections) == 2


@pytest.mark.parametrize("own", [False, True], ids=["ours", "the client's"])
async def test_a_401_that_cannot_be_helped_is_relayed(own: bool, authority: Authority) -> None:
    refusal = b"HTTP/1.1 401 U\r\nContent-Length: 2\r\n\r\nno"
    tokens = Tokens("only")
    async with relaying(answering(refusal), authority, tokens) as relay, relay.client() as client:
        await client.send(asking("websocket", "GET", *(["Authorization: Bearer x"] if own else [])))
        answer = await client.answer()
        assert (answer.status, answer.body) == (401, b"no")
        assert tokens.rejected == ([] if own else ["only"])
