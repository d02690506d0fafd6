"""A client's connection: pipelining, HTTP/1.0, refused requests, and its limits."""

import asyncio
import json

import pytest

from tests.support.relay import eventually, relaying
from tests.support.upstream import Connection, answering, ok

HOST = b"Host: localhost\r\n"
GET = b"GET /api HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo(connection: Connection) -> None:
    """Answer with the request's target and body, and take longer for the earlier ones."""
    while True:
        request = await connection.request()
        target = request.line.split(" ")[1].encode()
        await asyncio.sleep(0.02 if target.endswith(b"1") else 0)
        await connection.send(ok(target + b" " + request.body))


async def test_pipelined_requests_are_answered_in_order_and_whole() -> None:
    async with relaying(echo) as relay, relay.client() as client:
        await client.send(
            b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n"
            b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nbody"
            b"POST /3 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            b"2\r\nch\r\n4\r\nunks\r\n0\r\n\r\n"
            b"GET /forbidden HTTP/1.1\r\n" + HOST + b"\r\n"
            b"GET /5 HTTP/1.1\r\n" + HOST + b"\r\n"
        )  # fmt: skip
        assert (await client.answer()).body == b"/1 "
        assert (await client.answer()).body == b"/2 body"
        assert (await client.answer()).body == b"/3 chunks"
        assert (await client.answer()).status == 403
        assert (await client.answer()).body == b"/5 "


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_requests_in_small_pieces_are_the_same_requests(size: int) -> None:
    stream = (
        b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n\r\n\r\n"
        b"POST /3 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        b"2\r\nch\r\n4\r\n\r\n\r\n\r\n0\r\nX: y\r\n\r\n"
        b"GET /5 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        b"GET /6 HTTP/1.1\r\n" + HOST + b"\r\n"
    )  # fmt: skip
    async with relaying(echo) as relay, relay.client() as client:
        for start in range(0, len(stream), size):
            await client.send(stream[start : start + size])
            await asyncio.sleep(0)
        assert (await client.answer()).body == b"/2 \r\n\r\n"
        assert (await client.answer()).body == b"/3 ch\r\n\r\n"
        assert (await client.answer()).body == b"/5 "
        assert (await client.answer()).body == b"/6 "


@pytest.mark.parametrize("piecewise", [False, True], ids=["at once", "in pieces"])
async def test_a_bodys_last_trailer_is_no_field_of_the_next_request(piecewise: bool) -> None:
    stream = (
        b"POST /2 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        b"0\r\nX-A: 1\r\nAuthorization: Bearer theirs\r\n\r\n" + GET
    )
    async with relaying(echo) as relay, relay.client() as client:
        for piece in [stream[i : i + 1] for i in range(len(stream))] if piecewise else [stream]:
            await client.send(piece)
        assert (await client.answer()).body == b"/2 "
        assert (await client.answer()).body == b"/api "
        assert relay.upstream.requests[1].values("authorization") == []


async def test_a_head_that_repeats_is_the_same_request_between_any_others() -> None:
    chunked = b"POST /2 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    longer = GET.replace(b"\r\n\r\n", b"\r\nX-A: 1\r\n\r\n")
    stream = [GET, GET, chunked, GET, b"\r\n" + GET, longer, chunked, longer, GET]
    async with relaying(echo) as relay, relay.client() as client:
        for piece in stream:
            await client.send(piece)
            assert (await client.answer()).status == 200
        await client.send(b"\r\n")
        await client.send(GET + GET)
        await client.send(GET[:20])
        await client.send(GET[20:])
        for _ in range(3):
            assert (await client.answer()).body == b"/api "
        seen = [request.values("x-a") for request in relay.upstream.requests]
        assert seen == [["1"] if piece is longer else [] for piece in [*stream, GET, GET, GET]]


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 4\r\n\r\nbody",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ],
)
async def test_a_body_is_not_lost_with_an_upgrade_that_is_ignored(framed: bytes) -> None:
    head = b"POST /2 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    async with relaying(echo) as relay, relay.client() as client:
        await client.send(head + framed + GET)
        assert (await client.answer()).body == b"/2 body"
        assert (await client.answer()).body == b"/api "


async def test_pipelining_after_many_bodies_does_not_stall() -> None:
    """aiohttp's count of messages in the parser drifts by one for each body that comes late."""
    async with relaying(echo) as relay, relay.client() as client:
        for _ in range(40):
            await client.send(b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n")
            await asyncio.sleep(0.005)
            await client.send(b"body")
            assert (await client.answer()).body == b"/2 body"
        await client.send(GET * 5)
        for _ in range(5):
            assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(GET, id="relayed"),
        pytest.param(b"GET /forbidden HTTP/1.1\r\n" + HOST + b"\r\n", id="refused"),
    ],
)
async def test_a_flood_of_requests_from_one_who_does_not_read_is_stopped(
    request_bytes: bytes,
) -> None:
    async with relaying(answering(ok(b"x" * 1000))) as relay, relay.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(request_bytes * 200_000)
        [connection] = relay.http.connections
        count = -1
        while count != len(relay.records):
            count = len(relay.records)
            await asyncio.sleep(0.4)
        assert count < 100_000
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < 600_000
        assert len(connection._backlog) < 600_000
        client.writer.transport.abort()


async def test_a_flood_of_requests_is_answered_in_full_to_one_who_reads() -> None:
    async with relaying(answering(ok(b"x"))) as relay, relay.client() as client:
        sending = asyncio.ensure_future(client.send(GET * 2000))
        for _ in range(2000):
            assert (await client.answer()).body == b"x"
        await sending
        assert len(relay.upstream.connections) == 1


@pytest.mark.parametrize("size", [1_000, 300_000], ids=["small", "large"])
async def test_an_offer_of_h2c_with_a_body_is_served_plainly(size: int) -> None:
    """Java's HttpClient offers h2c with each POST."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with relaying(echo) as relay, relay.client() as client:
        for _ in range(2):
            await client.send(
                b"POST /2 HTTP/1.1\r\n" + HOST + offer + b"Content-Length: %d\r\n\r\n" % size
                + b"b" * size + GET
            )  # fmt: skip
            assert (await client.answer()).body == b"/2 " + b"b" * size
            assert (await client.answer()).body == b"/api "
        request = relay.upstream.requests[0]
        assert request.values("upgrade") == request.values("http2-settings") == []


async def test_what_follows_a_pipelined_upgrade_is_not_taken_for_a_request() -> None:
    """The upgrade waits behind a plain request, which must not set loose what follows it."""

    async def script(connection: Connection) -> None:
        request = await connection.request()
        if request.values("upgrade"):
            await connection.send(
                b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            await connection.send(await connection.reader.readexactly(len(GET)))
        else:
            await asyncio.sleep(0.02)
            await connection.send(ok(b"plain"))

    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with relaying(script) as relay, relay.client() as client:
        await client.send(GET + b"GET /ws HTTP/1.1\r\n" + HOST + upgrade + GET)
        assert (await client.answer()).body == b"plain"
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(len(GET)) == GET
        assert len(relay.upstream.requests) == 2


@pytest.mark.parametrize(
    ("upstream", "fields", "expected"),
    [
        pytest.param(ok(b"x"), b"", (["1"], [], ["close"]), id="length, no keep-alive"),
        pytest.param(
            ok(b"x"),
            b"Connection: keep-alive\r\n",
            (["1"], [], ["keep-alive"]),
            id="length, keep-alive",
        ),
        pytest.param(
            CHUNKED + b"1\r\nx\r\n0\r\nT: 1\r\n\r\n",
            b"Connection: keep-alive\r\n",
            ([], [], ["close"]),
            id="chunks, keep-alive",
        ),
        pytest.param(CHUNKED + b"1\r\nx\r\n0\r\n\r\n", b"", ([], [], ["close"]), id="chunks"),
    ],
)
async def test_http10_clients_get_what_they_understand(
    upstream: bytes, fields: bytes, expected: tuple[list[str], ...]
) -> None:
    async with relaying(answering(upstream)) as relay, relay.client() as client:
        await client.send(b"GET /api HTTP/1.0\r\n" + HOST + fields + b"\r\n")
        answer = await client.answer()
        assert answer.head.startswith(b"HTTP/1.0 200 OK")
        assert answer.body == b"x"
        names = ("content-length", "transfer-encoding", "connection")
        assert tuple(answer.values(name) for name in names) == expected
        if expected[2] == ["keep-alive"]:
            await client.send(b"GET /api HTTP/1.0\r\n" + HOST + b"\r\n")
            assert (await client.answer()).body == b"x"
        assert await client.to_end() == (b"", True)


async def test_http10_clients_get_no_interim_answers() -> None:
    async with relaying(answering(b"HTTP/1.1 103 H\r\n\r\n" + ok(b"x"))) as relay:
        async with relay.client() as client:
            await client.send(
                b"POST /api HTTP/1.0\r\n" + HOST
                + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nb"
            )  # fmt: skip
            assert (await client.answer()).status == 200
        assert relay.upstream.requests[0].values("expect") == []


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="garbage"),
        pytest.param(b"GET /api HTTP/1.1\nHost: localhost\n\n", 400, id="bare line feeds"),
        pytest.param(b"GET /api HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET /api HTTP/1.1\r\n" + HOST * 2 + b"\r\n", 400, id="two hosts"),
        pytest.param(
            b"POST /api HTTP/1.1\r\n" + HOST
            + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="length and chunks",
        ),
        pytest.param(
            b"GET /api HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 1_100_000 + b"\r\n\r\n",
            431,
            id="huge field",
        ),
        pytest.param(
            b"GET /api HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 300 + b"\r\n", 431, id="many fields"
        ),
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_read_is_a_status_and_the_end(
    stream: bytes, status: int
) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(stream)
        answer = await client.answer()
        assert answer.status == status
        assert json.loads(answer.body)["kind"] == "Status"
        await client.to_end()
        assert relay.upstream.requests == []


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(
            b"POST /forbidden HTTP/1.1\r\n" + HOST + b"Content-Length: 2000000\r\n\r\nab"
        )
        assert (await client.answer()).status == 403
        await client.send(b"x" * 1_000_000)
        assert await client.to_end() == (b"", True)


async def test_a_silent_client_costs_the_upstream_nothing() -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(b"GET /api HTTP/1.1\r\nHo")
        await eventually(lambda: relay.http.connections)
        assert relay.upstream.connections == []
