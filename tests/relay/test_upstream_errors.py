"""What goes wrong on the way to the API server, as the client sees it."""

import asyncio
import json
import socket

import pytest

from tests.support.certificates import Authority
from tests.support.relay import Tokens, eventually, relaying
from tests.support.upstream import Connection, Script, ScriptedUpstream, answering, ok

GET = b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"


def sending(*pieces: bytes, end: str = "close") -> Script:
    """Answer each request with these pieces, and end the connection so."""

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.ending = end != "stay"
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0.02)
        if end == "abort":
            connection.abort()
        elif end == "stay":
            await connection.reader.read()

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
BEFORE_ANY_BYTE = [
    pytest.param(sending(), "reset", id="closed without an answer"),
    pytest.param(sending(end="abort"), "reset", id="reset without an answer"),
    pytest.param(sending(b"HTTP/1.1 200 O"), "truncated", id="closed within the status line"),
    pytest.param(sending(HEAD + b"X: y\r\n"), "truncated", id="closed within the head"),
    pytest.param(sending(b"SSH-2.0-x\r\n"), "bad-answer", id="garbage"),
    pytest.param(sending(b"ICY 200 OK\r\n\r\n"), "bad-answer", id="another protocol"),
    pytest.param(sending(b"HTTP/1.1 099 X\r\n\r\n"), "bad-answer", id="status below 100"),
    pytest.param(
        sending(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nab"),
        "bad-answer",
        id="two lengths",
    ),
    pytest.param(
        sending(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab"),
        "bad-answer",
        id="length and chunks",
    ),
    pytest.param(
        sending(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
        "bad-answer",
        id="another transfer coding",
    ),
    pytest.param(
        sending(HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "bad-answer",
        id="chunked twice",
    ),
    pytest.param(
        sending(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "bad-answer",
        id="chunks in HTTP/1.0",
    ),
    pytest.param(
        sending(HEAD + b"Content-Length: 0x2\r\n\r\nab"), "bad-answer", id="length not decimal"
    ),
    pytest.param(sending(HEAD + b"A: b\r\n c\r\n\r\n"), "bad-answer", id="folded line"),
    pytest.param(sending(b"HTTP/1.1 200 OK\nA: b\n\n"), "bad-answer", id="bare line feeds"),
    pytest.param(sending(HEAD + b"A: \x00\r\n\r\n"), "bad-answer", id="NUL in a field"),
    pytest.param(
        sending(b"HTTP/1.1 104 X\r\nContent-Length: 2\r\n\r\nab"), "bad-answer", id="1xx with body"
    ),
    pytest.param(
        sending(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", end="stay"),
        "bad-answer",
        id="a 101 nobody asked for",
    ),
    pytest.param(
        sending(HEAD + b"X: " + b"y" * 1_300_000, end="stay"), "bad-answer", id="endless head"
    ),
    pytest.param(
        sending(b"HTTP/1.1 103 Hints\r\nX: y\r\n\r\n" * 60_000, end="stay"),
        "bad-answer",
        id="endless interim answers",
    ),
]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("script", "cause"), BEFORE_ANY_BYTE)
async def test_a_fault_before_the_answer_is_a_502_status(
    script: Script, cause: str, tls: bool, authority: Authority
) -> None:
    async with relaying(script, authority if tls else None) as relay:
        async with relay.client() as client:
            await client.send(GET)
            answer = await client.answer()
            while answer.status < 200:
                answer = await client.answer()
            assert answer.status == 502
            status = json.loads(answer.body)
            assert status["reason"] == "BadGateway"
            assert status["details"]["causes"][0]["reason"] == cause
            # The connection is as good as new.
            assert answer.values("connection") == []
        assert relay.records[0].cause == cause


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CUT_SHORT = [
    pytest.param(sending(HEAD + b"Content-Length: 9\r\n\r\nab"), id="length"),
    pytest.param(sending(HEAD + b"Content-Length: 9\r\n\r\nab", end="abort"), id="length, reset"),
    pytest.param(sending(CHUNKED, b"2\r\nab\r\n"), id="chunks"),
    pytest.param(sending(CHUNKED, b"2\r\nab\r\n", end="abort"), id="chunks, reset"),
    pytest.param(sending(CHUNKED, b"2\r\nab\r\n0\r\n"), id="last chunk without its end"),
    pytest.param(sending(CHUNKED, b"2\r\nab\r\n", b"zz\r\n", end="stay"), id="bad chunk size"),
    pytest.param(sending(CHUNKED, b"2\r\nab\r\n", b"2\r\nabc\r\n", end="stay"), id="long chunk"),
    pytest.param(
        sending(CHUNKED, b"2\r\nab\r\n", b"0\r\nX: " + b"y" * 3_000_000, end="stay"),
        id="endless trailers",
    ),
]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("script", CUT_SHORT)
async def test_a_cut_answer_never_looks_whole(
    script: Script, tls: bool, authority: Authority
) -> None:
    async with relaying(script, authority if tls else None) as relay:
        async with relay.client() as client:
            await client.send(GET)
            data, _ = await client.to_end()
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body in {b"ab", b"2\r\nab\r\n", b"2\r\nab\r\n2\r\nab\r\n"}
        assert relay.records[0].cause in {"truncated", "bad-answer"}
        assert relay.idle == 0


async def test_a_close_delimited_body_ends_with_a_last_chunk(authority: Authority) -> None:
    """For asyncio's TLS server, closing includes close_notify."""
    async with relaying(sending(HEAD + b"\r\n", b"all"), authority) as relay:
        async with relay.client() as client:
            answer = await client.get("/api")
        assert (answer.body, answer.whole) == (b"all", True)
        assert answer.values("transfer-encoding") == ["chunked"]


async def test_a_close_delimited_body_cut_without_close_notify_has_no_last_chunk(
    authority: Authority,
) -> None:
    async with relaying(sending(HEAD + b"\r\n", b"all", end="abort"), authority) as relay:
        async with relay.client() as client:
            await client.send(GET)
            data, _ = await client.to_end()
        assert data.endswith(b"\r\n\r\n3\r\nall\r\n")
        assert relay.records[0].cause == "truncated"


async def test_a_close_delimited_body_cut_short_is_a_reset_for_http10(
    authority: Authority,
) -> None:
    async with relaying(sending(HEAD + b"\r\n", b"all", end="abort"), authority) as relay:
        async with relay.client() as client:
            await client.send(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
            _, clean = await client.to_end()
        assert not clean


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ok(b"whole") + b"more", id="after a length"),
        pytest.param(CHUNKED + b"5\r\nwhole\r\n0\r\n\r\nmore", id="after chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole" * 2, id="two answers"),
    ],
)
async def test_bytes_behind_an_answer_cost_its_connection_but_not_the_answer(
    answer: bytes, tls: bool, authority: Authority
) -> None:
    async with relaying(answering(answer), authority if tls else None) as relay:
        async with relay.client() as client:
            for _ in range(3):
                got = await client.get("/api")
                assert (got.status, got.body) == (200, b"whole")
        assert len(relay.upstream.connections) == 3
        assert not any(record.cause for record in relay.records)


@pytest.mark.parametrize("status", [204, 304])
async def test_a_bodiless_status_has_no_body_whatever_it_says(status: int) -> None:
    answer = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\nbogus" % status
    async with relaying(answering(answer)) as relay:
        async with relay.client() as client:
            for _ in range(2):
                got = await client.get("/api")
                assert got.status == status
                assert got.values("content-length") == ([] if status == 204 else ["5"])
        assert len(relay.upstream.connections) == 2


async def test_unsolicited_bytes_end_an_idle_connection() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok(b"one"))
        await asyncio.sleep(0.05)
        await connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await connection.reader.read()

    async with relaying(script) as relay:
        async with relay.client() as client:
            assert (await client.get("/api")).body == b"one"
            await relay.upstream.connections[0].closed.wait()
            assert (await client.get("/api")).body == b"one"
        assert len(relay.upstream.connections) == 2


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        pytest.param(ok(b"x", "Connection: close"), 2, id="HTTP/1.1 close"),
        pytest.param(ok(b"x").replace(b"/1.1", b"/1.0"), 2, id="HTTP/1.0"),
        pytest.param(
            ok(b"x", "Connection: keep-alive").replace(b"/1.1", b"/1.0"),
            1,
            id="HTTP/1.0 keep-alive",
        ),
        pytest.param(ok(b"x"), 1, id="HTTP/1.1"),
    ],
)
async def test_the_upstreams_word_on_keeping_the_connection_is_heeded(
    answer: bytes, connections: int
) -> None:
    async with relaying(answering(answer)) as relay:
        async with relay.client() as client:
            for _ in range(2):
                got = await client.get("/api")
                assert (got.body, got.values("connection")) == (b"x", [])
        assert len(relay.upstream.connections) == connections


async def test_a_refused_connection_is_502_with_a_hint() -> None:
    async with relaying(answering(ok())) as relay:
        await relay.upstream.stop()
        async with relay.client() as client:
            answer = await client.get("/api")
            assert answer.status == 502
            status = json.loads(answer.body)
            assert status["details"]["causes"][0]["reason"] == "refused"
            assert "context" in status["message"]
            assert (await client.get("/api")).status == 502


async def test_a_name_that_cannot_be_resolved_is_502() -> None:
    for host in ("no-such-host.invalid", "a..b"):
        async with (
            relaying(answering(ok()), host=host) as relay,
            relay.client() as client,
        ):
            answer = await client.get("/api")
            assert json.loads(answer.body)["details"]["causes"][0]["reason"] == "dns"


async def test_no_answer_names_the_address_behind_the_name() -> None:
    async with relaying(answering(ok()), host="localhost") as relay:
        await relay.upstream.stop()
        async with relay.client() as client:
            answer = await client.get("/api")
        assert answer.status == 502
        assert b"localhost" in answer.body
        assert b"127.0.0.1" not in answer.body
        assert b"::1" not in answer.body


async def test_no_secret_is_in_any_failure(authority: Authority) -> None:
    async with relaying(sending(b"garbage\r\n"), authority, Tokens("s3cret")) as relay:
        async with relay.client() as client:
            await client.send(GET)
            data = await client.answer()
        assert b"s3cret" in relay.upstream.requests[0].head
        assert b"s3cret" not in data.head + data.body


async def test_a_server_that_does_not_speak_tls_is_named(authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        await connection.send(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async with relaying(answering(ok()), authority) as relay:
        plain = ScriptedUpstream(script)
        await relay.upstream.stop()
        async with plain:
            relay.lead_to(plain.port)
            async with relay.client() as client:
                answer = await client.get("/api")
        assert answer.status == 502
        assert json.loads(answer.body)["details"]["causes"][0]["reason"] == "tls-protocol"


async def test_a_head_in_one_read_with_its_fault_is_still_a_502() -> None:
    async with (
        relaying(sending(CHUNKED + b"zz\r\n", end="stay")) as relay,
        relay.client() as client,
    ):
        assert (await client.get("/api")).status == 502


async def test_a_server_that_resets_while_nobody_looks_costs_no_answer() -> None:
    """The reset comes between two exchanges, seen before the second begins."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok(b"x"))
        await asyncio.sleep(0.02)
        sock: socket.socket = connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.abort()

    async with relaying(script) as relay:
        async with relay.client() as client:
            for _ in range(3):
                assert (await client.get("/api", method="GET")).body == b"x"
                await eventually(lambda: all(c.closed.is_set() for c in relay.upstream.connections))
                await asyncio.sleep(0.02)
        assert [record.retries for record in relay.records] == [0, 0, 0]


async def test_an_upstream_that_only_offers_an_upgrade_is_relayed() -> None:
    answer = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    async with (
        relaying(answering(answer + b"Content-Length: 4\r\n\r\nneed")) as relay,
        relay.client() as client,
    ):
        for _ in range(2):
            got = await client.get("/api")
            assert (got.status, got.body, got.whole) == (426, b"need", True)
            assert got.values("upgrade") == []


async def test_naming_content_length_in_connection_does_not_unframe_an_answer() -> None:
    answer = ok(b"body", "Connection: Content-Length, X-Private, close", "X-Private: 1")
    async with relaying(answering(answer)) as relay, relay.client() as client:
        for _ in range(2):
            got = await client.get("/api")
            assert got.body == b"body"
            assert got.values("content-length") == ["4"]
            assert got.values("x-private") == []
