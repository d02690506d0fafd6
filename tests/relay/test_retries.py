"""What is sent again, what is not, and with which credential."""

import asyncio
import os
import socket
from collections.abc import Callable

import pytest

from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.relay import Tokens, eventually, relaying
from tests.support.upstream import Connection, answering, ok

UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"


async def one_answer_then_dead(connection: Connection) -> None:
    """Serve one request, then end the connection at the sight of the next."""
    await connection.request()
    await connection.send(ok(b""))
    if connection.number == 0:
        await connection.request()
        connection.abort()
    else:
        await answering(ok(b""))(connection)


async def post(client: Client, body: bytes = b"b", *fields: bytes) -> Answer:
    lines = [b"POST /api HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body), *fields]
    await client.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    return await client.answer()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_stale_connection_is_invisible(
    method: str, tls: bool, authority: Authority
) -> None:
    async with relaying(one_answer_then_dead, authority if tls else None) as relay:
        async with relay.client() as client:
            for _ in range(3):
                assert (await client.get("/api", method=method)).status == 200
        assert [record.retries for record in relay.records] == [0, 1, 0]


def bare_end(connection: Connection) -> None:
    """End the bytes without TLS's own end."""
    # uvloop's own sockets know no shutdown.
    descriptor = os.dup(connection.writer.get_extra_info("socket").fileno())
    with socket.socket(fileno=descriptor) as same:
        same.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Connection.abort, id="aborted"),
        pytest.param(bare_end, id="cut"),
        pytest.param(Connection.close, id="close_notify"),
    ],
)
async def test_a_reused_tls_connection_that_ends_is_invisible_however_it_ends(
    end: Callable[[Connection], None], authority: Authority
) -> None:
    """Python 3.11.2 names some of these otherwise than later releases: that was a 502."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok(b"x"))
        await connection.request()
        end(connection)
        await connection.reader.read()

    async with relaying(script, authority) as relay, relay.client() as client:
        assert [(await client.get("/api")).status for _ in range(3)] == [200] * 3
        assert sum(record.retries for record in relay.records) == 2


async def test_a_hundred_stale_connections_of_a_hundred_are_invisible() -> None:
    """Each connection dies at its second request."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok(b"x"))
        await connection.request()

    async with relaying(script) as relay, relay.client() as client:
        statuses = [(await client.get("/api")).status for _ in range(101)]
        assert statuses == [200] * 101
        assert sum(record.retries for record in relay.records) == 100


async def test_one_dead_connection_tells_of_the_others() -> None:
    """As after a restart: each connection resets when it is used again, and not before."""
    together = asyncio.Barrier(3)

    async def script(connection: Connection) -> None:
        if connection.number < 3:
            await connection.request()
            await together.wait()
            await connection.send(ok(b""))
            await connection.request()
        else:
            await answering(ok(b""))(connection)

    async with (
        relaying(script) as relay,
        relay.client() as a,
        relay.client() as b,
        relay.client() as c,
    ):
        await asyncio.gather(*(client.get("/api") for client in (a, b, c)))
        assert relay.idle == 3
        assert (await a.get("/api")).status == 200
        # Not repeatable, and more than the one that is known to be alive can carry.
        answers = await asyncio.gather(*(post(client) for client in (a, b, c)))
        assert [answer.status for answer in answers] == [200] * 3


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_that_may_have_been_acted_on_is_never_sent_twice(method: str) -> None:
    async with relaying(one_answer_then_dead) as relay, relay.client() as client:
        assert (await client.get("/api")).status == 200
        answer = await client.get("/api", method=method)
        assert answer.status == 502
        lines = [request.line for request in relay.upstream.requests]
        assert lines == ["GET /api HTTP/1.1", f"{method} /api HTTP/1.1"]


async def test_a_small_body_is_sent_again_with_its_get() -> None:
    async with relaying(one_answer_then_dead) as relay, relay.client() as client:
        assert (await client.get("/api")).status == 200
        await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab")
        assert (await client.answer()).status == 200
        assert [r.body for r in relay.upstream.requests] == [b"", b"ab", b"ab"]


async def test_a_new_connection_that_dies_is_not_tried_again() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()

    async with relaying(script) as relay, relay.client() as client:
        assert (await client.get("/api")).status == 502
        assert len(relay.upstream.requests) == 1


async def test_an_answer_that_had_begun_is_not_asked_for_again() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok(b"x"))
        await connection.request()
        await connection.send(b"HTTP/1.1 200")

    async with relaying(script) as relay, relay.client() as client:
        assert (await client.get("/api")).status == 200
        assert (await client.get("/api")).status == 502
        assert len(relay.upstream.requests) == 2


async def test_a_refused_credential_is_renewed_once_and_nobody_notices(
    authority: Authority,
) -> None:
    tokens = Tokens("old", "new")

    async def script(connection: Connection) -> None:
        request = await connection.request()
        new = request.values("authorization") == ["Bearer new"]
        await connection.send(ok(b"in") if new else UNAUTHORIZED)

    async with relaying(script, authority, tokens) as relay:
        async with relay.client() as client:
            answer = await post(client, b"body")
        assert (answer.status, answer.body) == (200, b"in")
        assert tokens.rejected == ["old"]
        sent = [(r.values("authorization"), r.body) for r in relay.upstream.requests]
        assert sent == [(["Bearer old"], b"body"), (["Bearer new"], b"body")]


async def test_two_refused_credentials_are_the_end(authority: Authority) -> None:
    tokens = Tokens("a", "b", "c")
    async with relaying(answering(UNAUTHORIZED), authority, tokens) as relay:
        async with relay.client() as client:
            answer = await client.get("/api")
        assert (answer.status, answer.body) == (401, b"no")
        assert tokens.rejected == ["a"]
        assert len(relay.upstream.requests) == 2


@pytest.mark.parametrize("size", [2, 300_000], ids=["small", "larger than is held"])
async def test_without_another_credential_the_401_passes_whole(
    size: int, authority: Authority
) -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % size + b"n" * size
    tokens = Tokens("only")
    async with relaying(answering(refusal), authority, tokens) as relay:
        async with relay.client() as client:
            for _ in range(2):
                answer = await client.get("/api")
                assert (answer.status, len(answer.body)) == (401, size)
            await eventually(lambda: tokens.rejected == ["only", "only"])
        assert len(relay.upstream.requests) == 2


async def test_a_clients_own_credential_is_its_own_affair(authority: Authority) -> None:
    tokens = Tokens("a", "b")
    async with relaying(answering(UNAUTHORIZED), authority, tokens) as relay:
        async with relay.client() as client:
            answer = await client.get("/api", "Authorization: Bearer mine")
        assert answer.status == 401
        assert tokens.rejected == []
        assert [r.values("authorization") for r in relay.upstream.requests] == [["Bearer mine"]]


async def test_a_401_to_an_upload_passes_at_once_and_the_next_request_has_the_new_credential(
    authority: Authority,
) -> None:
    tokens = Tokens("old", "new")

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.head()
            if request.values("authorization") == ["Bearer old"]:
                await connection.send(UNAUTHORIZED)
                await connection.reader.read()
            await connection.send(ok(b"in"))

    async with relaying(script, authority, tokens) as relay:
        async with relay.client() as client:
            await client.send(
                b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab"
            )
            assert (await client.answer()).status == 401
        await eventually(lambda: tokens.rejected == ["old"])
        async with relay.client() as client:
            assert (await client.get("/api")).body == b"in"


async def test_a_401_to_an_upload_does_not_wait_for_the_renewal(authority: Authority) -> None:
    tokens = Tokens("old", "new")

    async def script(connection: Connection) -> None:
        await connection.head()
        tokens.gate.clear()
        await connection.send(UNAUTHORIZED)
        await connection.reader.read()

    async with relaying(script, authority, tokens) as relay:
        async with relay.client() as client:
            await client.send(
                b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab"
            )
            assert (await client.answer()).status == 401
            assert tokens.waiting <= 1
        await eventually(lambda: tokens.rejected == ["old"])
        tokens.gate.set()


async def test_no_credential_goes_over_plain_http() -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        assert (await client.get("/api")).status == 200
        assert relay.upstream.requests[0].values("authorization") == []


async def test_requests_without_a_credential_wait_for_it(authority: Authority) -> None:
    tokens = Tokens("t")
    tokens.gate.clear()
    async with relaying(answering(ok()), authority, tokens) as relay, relay.client() as client:
        asking = asyncio.ensure_future(client.get("/api"))
        await eventually(lambda: tokens.waiting)
        tokens.gate.set()
        assert (await asking).status == 200
        assert relay.records[0].credential_wait > 0
