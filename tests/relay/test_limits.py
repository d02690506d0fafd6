"""Limits for clients: a head's size, its fields, its time; idle connections, and how many."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.http import HttpRequestParser

from kubelatch.app import App
from kubelatch.relay.server import ClientServer
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import Connection, Script, ScriptedUpstream, answering, ok

START = b"GET /api HTTP/1.1\r\nHost: localhost\r\n"
GET = START + b"\r\n"


class Bench:
    """A proxy, its upstream, and its request log."""

    def __init__(self, app: App, upstream: ScriptedUpstream, log: Path) -> None:
        self.app = app
        self.upstream = upstream
        self._log = log

    async def logged(self, count: int = 1) -> list[dict[str, Any]]:
        """The log's records, once there are *count* of them."""
        await eventually(lambda: self._log.read_bytes().count(b"\n") >= count)
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@contextlib.asynccontextmanager
async def limited(
    directory: Path, *flags: str, script: Script | None = None
) -> AsyncIterator[Bench]:
    log = directory / "log"
    flags = (*flags, f"--log-requests={log}", "--log-format=json")
    async with ScriptedUpstream(script or answering(ok(b"x"))) as upstream:
        config = kubeconfig(upstream.url)
        async with proxy_in_loop(directory, config, *flags) as app:
            yield Bench(app, upstream, log)


def refusal(answer: Answer) -> tuple[int, str, str]:
    """The code, cause and message of an answer, which must be a ``Status`` and the last."""
    status = json.loads(answer.body)
    assert (status["kind"], status["code"]) == ("Status", answer.status)
    assert answer.values("connection") == ["close"]
    [cause] = status["details"]["causes"]
    return answer.status, cause["reason"], status["message"]


def head(size: int, fields: int = 1) -> bytes:
    """A request of *size* bytes with so many fields besides ``Host``."""
    room = size - len(GET)
    each, rest = divmod(room, fields)
    lines = [b"X: " + b"y" * (each - 5) + b"\r\n"] * (fields - 1)
    return START + b"".join(lines) + b"X: " + b"y" * (each + rest - 5) + b"\r\n\r\n"


IN_ONE = 2**30
SHAPES = [
    pytest.param(1, IN_ONE, id="one field, in one read"),
    pytest.param(40, IN_ONE, id="many fields, in one read"),
    pytest.param(1, 1, id="one field, byte by byte"),
    pytest.param(40, 7, id="many fields, in pieces"),
    pytest.param(40, 1999, id="many fields, in two reads"),
]


async def send_pieces(client: Client, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        await client.send(data[start : start + size])
        # Both ends are in this loop: the proxy reads in between.
        await asyncio.sleep(0)


@pytest.mark.parametrize(("fields", "piece"), SHAPES)
async def test_a_head_of_the_largest_size_passes_however_it_comes(
    tmp_path: Path, fields: int, piece: int
) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        for _ in range(2):
            await send_pieces(client, head(2000, fields), piece)
            assert (await client.answer()).body == b"x"
        sent = [v for v in bench.upstream.requests[0].values("x") if set(v) == {"y"}]
        assert len(sent) == fields


@pytest.mark.parametrize(("fields", "piece"), SHAPES)
async def test_a_larger_head_is_refused_however_it_comes(
    tmp_path: Path, fields: int, piece: int
) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        await send_pieces(client, head(2001, fields), piece)
        code, cause, message = refusal(await client.answer())
        assert (code, cause) == (431, "head-too-large")
        assert "2000 bytes" in message
        assert "--max-header-bytes" in message
        assert await client.to_end() == (b"", True)
        assert bench.upstream.requests == []
        [record] = await bench.logged()
        assert (record["status"], record["cause"]) == (431, "head-too-large")


async def test_a_long_target_counts_too(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        answer = await client.get("/api?" + "x" * 2000)
        assert refusal(answer)[:2] == (431, "head-too-large")


async def test_by_default_one_field_may_have_almost_a_mebibyte(tmp_path: Path) -> None:
    async with limited(tmp_path) as bench, client_of(bench.app) as client:
        await client.send(head(2**20 - 500))
        assert (await client.answer()).status == 200
        await client.send(head(2**20 + 1, 200))
        assert refusal(await client.answer())[:2] == (431, "head-too-large")


async def test_a_head_in_many_pieces_is_fed_in_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser copies the line so far with each piece: bytes of one must not be so many."""
    fed = []

    class Counting:
        def __init__(self, parser: HttpRequestParser) -> None:
            self._parser = parser

        def feed_data(self, piece: bytes) -> Any:
            fed.append(len(piece))
            return self._parser.feed_data(piece)

    real = ClientServer.parser
    monkeypatch.setattr(ClientServer, "parser", lambda *args: Counting(real(*args)))
    async with limited(tmp_path) as bench, client_of(bench.app) as client:
        await send_pieces(client, head(4000), 1)
        assert (await client.answer()).status == 200
    assert sum(fed) == 4000
    assert len(fed) < 300


async def test_the_body_does_not_count(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        post = START.replace(b"GET", b"POST")
        body = b"b" * 5000
        await send_pieces(client, post + b"Content-Length: 5000\r\n\r\n" + body, 1500)
        assert (await client.answer()).status == 200
        await send_pieces(
            client,
            post + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + body + b"\r\n0\r\n\r\n",
            1500,
        )
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("piece", [IN_ONE, 5], ids=["in one read", "in pieces"])
async def test_one_header_field_too_many_is_refused(tmp_path: Path, piece: int) -> None:
    async with (
        limited(tmp_path, "--max-headers=10") as bench,
        client_of(bench.app) as client,
    ):
        await send_pieces(client, START + b"X: y\r\n" * 9 + b"\r\n", piece)
        assert (await client.answer()).status == 200
        await send_pieces(client, START + b"X: y\r\n" * 10 + b"\r\n", piece)
        code, cause, message = refusal(await client.answer())
        assert (code, cause) == (431, "too-many-headers")
        assert "10 header fields" in message
        assert "--max-headers" in message
        assert await client.to_end() == (b"", True)
        assert len(bench.upstream.requests) == 1
        assert (await bench.logged(2))[-1]["cause"] == "too-many-headers"


async def test_a_head_that_does_not_end_is_told_so(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--head-timeout=50ms") as bench,
        client_of(bench.app) as client,
    ):
        await client.send(START)
        code, cause, message = refusal(await client.answer())
        assert (code, cause) == (408, "head-timeout")
        assert "0.05 s" in message
        assert "--head-timeout" in message
        assert await client.to_end() == (b"", True)
        [record] = await bench.logged()
        assert (record["status"], record["cause"]) == (408, "head-timeout")
        assert bench.upstream.requests == []


async def test_more_bytes_give_a_slow_head_no_more_time(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--head-timeout=100ms") as bench,
        client_of(bench.app) as client,
    ):

        async def drip() -> None:
            await client.send(START + b"X: ")
            while True:
                await client.send(b"y")
                await asyncio.sleep(0.01)

        dripping = asyncio.ensure_future(drip())
        assert refusal(await client.answer())[0] == 408
        dripping.cancel()


async def test_a_refusal_waits_for_the_answers_before_it(tmp_path: Path) -> None:
    proceed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await proceed.wait()
        await connection.send(ok(b"first"))

    async with (
        limited(tmp_path, "--head-timeout=10ms", script=script) as bench,
        client_of(bench.app) as client,
    ):
        await client.send(GET + START)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.1)
        proceed.set()
        assert (await client.answer()).body == b"first"
        assert refusal(await client.answer())[0] == 408


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(START + b"\r", id="most of a head"),
    ],
)
async def test_what_is_no_slow_head_is_left_alone(tmp_path: Path, before: bytes) -> None:
    async with (
        limited(tmp_path, "--head-timeout=400ms") as bench,
        client_of(bench.app) as client,
    ):
        await client.send(before)
        await asyncio.sleep(0.01)
        await client.send(b"\n" if before.endswith(b"\r") else GET)
        assert (await client.answer()).status == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.5)
        await client.send(GET)
        assert (await client.answer()).status == 200


async def test_a_head_may_have_all_the_time(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--head-timeout=0", "--idle-timeout=0") as bench,
        client_of(bench.app) as client,
    ):
        await client.send(START)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.1)
        await client.send(b"\r\n")
        assert (await client.answer()).status == 200
        await client.send(GET)
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("before", [b"", GET], ids=["never used", "used"])
async def test_an_idle_connection_is_closed(tmp_path: Path, before: bytes) -> None:
    async with (
        limited(tmp_path, "--idle-timeout=300ms") as bench,
        client_of(bench.app) as client,
    ):
        if before:
            await client.send(before)
            assert (await client.answer()).status == 200
        assert await client.to_end() == (b"", True)


async def test_a_request_longer_than_the_idle_time_goes_on(tmp_path: Path) -> None:
    proceed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await proceed.wait()
        await connection.send(ok(b"late"))

    async with (
        limited(tmp_path, "--idle-timeout=300ms", script=script) as bench,
        client_of(bench.app) as client,
    ):
        await client.send(GET)
        await asyncio.sleep(0.6)
        proceed.set()
        assert (await client.answer()).body == b"late"
        assert await client.to_end() == (b"", True)


async def test_connections_beyond_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-connections=2") as bench,
        client_of(bench.app) as first,
        client_of(bench.app) as second,
    ):
        assert (await first.get("/api")).status == 200
        assert (await second.get("/api")).status == 200
        async with client_of(bench.app) as third:
            answer = await third.get("/api")
            code, cause, message = refusal(answer)
            assert (code, cause) == (503, "too-many-connections")
            assert "2 connections" in message
            assert "--max-connections" in message
            assert answer.values("retry-after") == ["1"]
            assert await third.to_end() == (b"", True)
        causes = [record.get("cause") for record in await bench.logged(3)]
        assert causes == [None, None, "too-many-connections"]
        assert len(bench.upstream.requests) == 2
        assert (await first.get("/api")).status == 200


@contextlib.asynccontextmanager
async def admitted(bench: Bench) -> AsyncIterator[Client]:
    """A client with a place, once there is one."""
    async with asyncio.timeout(5):
        while True:
            client = await Client.connect(bench.app.name)
            if (await client.get("/api")).status == 200:
                break
            client.close()
    async with client:
        yield client


async def test_each_end_of_a_connection_makes_room_for_one(tmp_path: Path) -> None:
    async with limited(tmp_path, "--max-connections=1") as bench:
        for end in ("close", "abort", "close", "abort"):
            async with admitted(bench) as first:
                # Those who are turned away are not counted, neither as they come nor as they go.
                for _ in range(2):
                    async with client_of(bench.app) as second:
                        assert (await second.get("/api")).status == 503
                assert (await first.get("/api")).status == 200
                await first.send(START)
                getattr(first.writer.transport, end)()
        async with admitted(bench):
            pass


async def test_a_turned_away_client_that_never_asks_is_told_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.relay.client._REFUSED_LINGER", 0.05)
    async with (
        limited(tmp_path, "--max-connections=1") as bench,
        client_of(bench.app) as first,
    ):
        assert (await first.get("/api")).status == 200
        async with client_of(bench.app) as second:
            assert refusal(await second.answer())[0] == 503
            assert await second.to_end() == (b"", True)


async def test_a_refused_client_that_stays_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.relay.client._REFUSED_LINGER", 0.05)
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        await client.send(head(3000))
        assert refusal(await client.answer())[0] == 431
        assert bench.app._http is not None
        http = bench.app._http
        await eventually(lambda: not http.connections)


@pytest.mark.parametrize("before", [b"", b"\r\n"], ids=["nothing", "an empty line"])
async def test_a_new_connection_without_a_request_is_closed_in_seconds(
    tmp_path: Path, before: bytes
) -> None:
    async with limited(tmp_path, "--head-timeout=50ms") as bench, client_of(bench.app) as client:
        await client.send(before)
        assert await client.to_end() == (b"", True)


async def test_a_used_connection_may_be_idle_for_longer_than_a_new_one(tmp_path: Path) -> None:
    async with limited(tmp_path, "--head-timeout=50ms") as bench, client_of(bench.app) as client:
        assert (await client.get("/api")).status == 200
        async with client_of(bench.app) as silent:
            assert await silent.to_end() == (b"", True)
        assert (await client.get("/api")).status == 200


async def test_a_silent_connection_makes_room_for_a_new_one(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-connections=3") as bench,
        client_of(bench.app) as used,
        client_of(bench.app) as oldest,
        client_of(bench.app) as half,
    ):
        assert (await used.get("/api")).status == 200
        await half.send(START)
        async with client_of(bench.app) as new:
            assert (await new.get("/api")).status == 200
            assert await oldest.to_end() == (b"", False)
        await half.send(b"\r\n")
        assert (await half.answer()).status == 200
        assert (await used.get("/api")).status == 200


async def test_peers_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-connections=5") as bench,
        contextlib.AsyncExitStack() as all_,
    ):
        silent = [await all_.enter_async_context(client_of(bench.app)) for _ in range(20)]
        async with client_of(bench.app) as client:
            assert (await client.get("/api")).status == 200
        assert bench.app._http is not None
        assert len(bench.app._http.connections) <= 5
        assert await silent[0].to_end() == (b"", False)


async def test_of_turned_away_clients_only_so_many_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.relay.server._MAX_REFUSED", 3)
    async with (
        limited(tmp_path, "--max-connections=1") as bench,
        client_of(bench.app) as first,
        contextlib.AsyncExitStack() as all_,
    ):
        assert (await first.get("/api")).status == 200
        others = [await all_.enter_async_context(client_of(bench.app)) for _ in range(10)]
        await asyncio.gather(*(other.to_end() for other in others[:7]))
        assert bench.app._http is not None
        assert len(bench.app._http.connections) == 4
        assert (await others[9].get("/api")).status == 503


async def test_another_users_connections_take_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.relay.server._MAX_REFUSED", 3)
    async with limited(tmp_path, "--clients=4242", "--max-connections=1") as bench:
        assert bench.app._http is not None
        http = bench.app._http
        async with contextlib.AsyncExitStack() as all_:
            foreign = [await all_.enter_async_context(client_of(bench.app)) for _ in range(10)]
            await asyncio.gather(*(client.to_end() for client in foreign[:7]))
            assert len(http.connections) == 3
            answer = await foreign[9].get("/api")
            assert answer.status == 403
            assert answer.values("connection") == ["close"]
            assert not http._admitted


async def test_heads_that_came_in_part_have_a_limit_in_sum(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-partial-header-bytes=5000") as bench,
        client_of(bench.app) as small,
        client_of(bench.app) as large,
        client_of(bench.app) as other,
    ):
        await small.send(START + b"X: " + b"y" * 500)
        await large.send(START + b"X: " + b"y" * 2500)
        await eventually(
            lambda: bench.app._http is not None and bench.app._http._partial_size > 3000
        )
        await other.send(START + b"X: " + b"y" * 2400)
        code, cause, message = refusal(await large.answer())
        assert (code, cause) == (503, "too-many-partial-heads")
        assert "--max-partial-header-bytes" in message
        for client in (small, other):
            await client.send(b"\r\n\r\n")
            assert (await client.answer()).status == 200
        assert bench.app._http is not None
        assert bench.app._http._partial_size == 0


async def test_a_partial_head_of_a_lost_connection_counts_no_longer(tmp_path: Path) -> None:
    async with limited(tmp_path) as bench:
        assert bench.app._http is not None
        http = bench.app._http
        async with client_of(bench.app) as client:
            await client.send(START)
            await eventually(lambda: http._partial_size > 0)
        await eventually(lambda: http._partial_size == 0)


POST = b"POST /api HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = POST + b"Content-Length: 10\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(LENGTH, id="nothing of the body"),
        pytest.param(LENGTH + b"12345", id="half of the body"),
        pytest.param(CHUNKED + b"5\r\n123", id="half of a chunk"),
        pytest.param(CHUNKED + b"5\r\n12345\r\n0\r\nX: y\r\n", id="half of the trailers"),
        pytest.param(
            POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", id="an expectation"
        ),
    ],
)
async def test_a_body_that_stalls_is_not_awaited_for_ever(tmp_path: Path, sent: bytes) -> None:
    async def script(connection: Connection) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await connection.request()

    async with (
        limited(tmp_path, "--body-timeout=50ms", script=script) as bench,
        client_of(bench.app) as client,
    ):
        await client.send(sent)
        code, cause, message = refusal(await client.answer())
        assert (code, cause) == (408, "body-timeout")
        assert "--body-timeout" in message
        [record] = await bench.logged()
        assert (record["status"], record["cause"]) == (408, "body-timeout")


async def test_a_body_that_the_upstream_does_not_take_has_not_stalled(tmp_path: Path) -> None:
    proceed = asyncio.Event()
    size = 8 * 1024 * 1024

    async def script(connection: Connection) -> None:
        await proceed.wait()
        await connection.request()
        await connection.send(ok(b"taken"))

    async with (
        limited(tmp_path, "--body-timeout=100ms", script=script) as bench,
        client_of(bench.app) as client,
    ):
        sending = asyncio.ensure_future(
            client.send(POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        )
        # Longer than the limit, and nothing happens.
        await asyncio.sleep(0.4)
        proceed.set()
        assert (await client.answer()).body == b"taken"
        await sending


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"1;" + b"x" * 3000 + b"\r\ny\r\n", id="a long extension"),
        pytest.param(b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\ny\r\n" * 300, id="many extensions"),
        pytest.param(b"0\r\n" + b"X: yyyyyyyy\r\n" * 250, id="trailers"),
        pytest.param(b"0" * 3000 + b"1\r\ny\r\n", id="leading zeros"),
    ],
)
@pytest.mark.parametrize("piece", [IN_ONE, 999], ids=["in one read", "in pieces"])
async def test_a_chunked_body_has_a_limit_for_what_is_no_data(
    tmp_path: Path, more: bytes, piece: int
) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000", "--max-headers=1000") as bench,
        client_of(bench.app) as client,
    ):
        await send_pieces(client, CHUNKED + b"1\r\nx\r\n" + more, piece)
        assert refusal(await client.answer())[:2] == (400, "bad-request")


async def test_a_body_of_the_shortest_chunks_passes(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        await send_pieces(client, CHUNKED + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n", 1000)
        assert (await client.answer()).status == 200
        [request] = bench.upstream.requests
        assert request.body == b"x" * 5000


async def test_data_of_a_body_makes_no_room_for_what_is_none(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, "--max-header-bytes=2000") as bench,
        client_of(bench.app) as client,
    ):
        await send_pieces(client, CHUNKED + b"2710\r\n" + b"x" * 10_000 + b"\r\n", IN_ONE)
        await eventually(lambda: bench.upstream.requests)
        await send_pieces(client, b"1;" + b"x" * 3000, 500)
        assert refusal(await client.answer())[:2] == (400, "bad-request")
