"""Connections that bring nothing any more: a load balancer has lost the API server behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubelatch.app import App
from kubelatch.relay import timeouts
from kubelatch.relay.record import Record
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import Connection, Request, ScriptedUpstream, ok

from .warm_connection import CHUNKED, request

EVENT = b'{"type":"ADDED","object":{}}\n'
WATCH = "/api/v1/pods?watch=true"
LOG = "/api/v1/namespaces/a/pods/b/log?follow=true"
LIST = "/api/v1/secrets"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second instead of fifteen."""
    monkeypatch.setattr(timeouts, "SILENCE", 0.1)


class Balancer:
    """The API servers behind a load balancer. Of some connections nothing comes any more.

    Attributes:
        dead: their numbers.
        arrived: every request, with the number of its connection.
        resets: new connections are reset at the sight of a request.
    """

    def __init__(self) -> None:
        self.dead: set[int] = set()
        self.arrived: list[tuple[int, str]] = []
        self.resets = False
        self.released = asyncio.Event()
        self.server = ScriptedUpstream(self._script)

    def lose(self) -> None:
        """The server that all connections lead to is lost, those to come lead to another."""
        self.dead = set(range(len(self.server.connections)))

    async def _script(self, connection: Connection) -> None:
        while True:
            asked = await connection.request()
            target = asked.line.split(" ")[1]
            self.arrived.append((connection.number, target))
            if connection.number in self.dead:
                if not await self._released_before_the_end_of(connection):
                    return
            elif self.resets:
                connection.abort()
                return
            await connection.send(self._answer(connection, asked, target))

    async def _released_before_the_end_of(self, connection: Connection) -> bool:
        ended = asyncio.ensure_future(connection.reader.read(1))
        released = asyncio.ensure_future(self.released.wait())
        await asyncio.wait({ended, released}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (ended, released):
            waiting.cancel()
        await asyncio.gather(ended, released, return_exceptions=True)
        return self.released.is_set()

    def _answer(self, connection: Connection, asked: Request, target: str) -> bytes:
        if target == WATCH:
            return CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
        if target == LOG:
            return CHUNKED.replace(b"application/json", b"text/plain") + b"5\r\nline\n\r\n"
        if target == LIST:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
        if asked.line.startswith("HEAD"):
            return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
        return ok(b"%d" % connection.number)


@contextlib.asynccontextmanager
async def balanced(
    directory: Path, monkeypatch: pytest.MonkeyPatch, connections: int = 1, *flags: str
) -> AsyncIterator[tuple[Balancer, App, list[Record]]]:
    """A whole proxy with so many idle connections to a balancer, and what it has recorded since."""
    records: list[Record] = []
    balancer = Balancer()
    async with balancer.server:
        config = kubeconfig(balancer.server.url)
        async with proxy_in_loop(directory, config, "--log-requests=off", *flags) as app:
            app._registry.on_end = records.append
            assert app._reloader is not None
            generation = app._reloader.current()
            pool = generation.transport(await generation.credential())
            opened = [await pool.open() for _ in range(connections)]
            for connection in opened:
                connection.release()
            await eventually(lambda: len(balancer.server.connections) == connections)
            yield balancer, app, records
            balancer.released.set()


async def looks(app: App, count: int) -> None:
    """Wait until it has been looked so often who waits."""
    assert app._timeouts is not None
    seen, real = 0, app._timeouts._check

    def look() -> None:
        nonlocal seen
        seen += 1
        real()

    app._timeouts.stop()
    app._timeouts._check = look  # type: ignore[method-assign]
    app._timeouts.start(app.supervisor)
    await eventually(lambda: seen >= count)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("body", [b"", b"ab"], ids=["without-a-task", "with-one"])
async def test_a_silent_connection_is_not_trusted_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, body: bytes
) -> None:
    async with balanced(tmp_path, monkeypatch, 3) as (balancer, app, records):
        async with client_of(app) as client:
            balancer.lose()
            fields = [f"Content-Length: {len(body)}"] if body else []
            await client.send(request("/api/v1/pods", *fields, method=method) + body)
            answer = await client.answer(head_only=method == "HEAD")
            assert (answer.status, answer.body) == (200, b"3" if method == "GET" else b"")
            # The first attempt is cancelled, and what was idle beside it is gone.
            for connection in balancer.server.connections[:3]:
                await eventually(connection.closed.is_set)
            # The connection of the second attempt serves on.
            assert (await client.get("/api")).body == b"3"
        assert [(r.retries, r.connects, r.reused, r.cause) for r in records] == [
            (1, 1, False, ""),
            (0, 0, True, ""),
        ]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/namespaces/a/pods/b"),
        ("OPTIONS", "/api/v1/pods"),
        ("GET", "/api/v1/namespaces/a/services/b/proxy/"),
        ("GET", "/api/v1/namespaces/a/pods/b:8080/proxy/x"),
        ("GET", "/api/v1/proxy/namespaces/a/services/b/"),
        ("GET", "/api/v1/namespaces/a/pods/b/portforward"),
        ("GET", "/debug/pprof/profile?seconds=30"),
    ],
)
async def test_what_may_be_more_than_a_question_is_not_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, target: str
) -> None:
    async with (
        balanced(tmp_path, monkeypatch, 2) as (balancer, app, _),
        client_of(app) as client,
        client_of(app) as other,
    ):
        balancer.lose()
        await client.send(request(target, method=method))
        await eventually(lambda: balancer.arrived)
        assert (await other.get("/api")).status == 200
        await looks(app, 12)
        assert [asked for _, asked in balancer.arrived].count(target) == 1
        balancer.released.set()
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("target", [WATCH, LOG])
async def test_streams_that_do_not_begin_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    async with balanced(tmp_path, monkeypatch) as (balancer, app, _), client_of(app) as client:
        balancer.lose()
        await client.send(request(target))
        await client.reader.readuntil(b"\r\n\r\n")
        assert balancer.arrived == [(0, target), (1, target)]


async def test_a_slow_api_server_gets_a_few_requests_twice_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with balanced(tmp_path, monkeypatch, 100) as (balancer, app, records):
        balancer.dead = set(range(1000))
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(app)) for _ in range(100)]
            for client in clients:
                await client.send(request("/api/v1/pods"))
            await eventually(lambda: len(balancer.arrived) == 104)
            await looks(app, 20)
            assert len(balancer.arrived) == 104
            balancer.released.set()
            assert [(await client.answer()).status for client in clients] == [200] * 100
        await eventually(lambda: len(records) == 100)
        assert sum(record.retries for record in records) <= 4
        assert len(balancer.arrived) == 104


async def test_what_the_first_attempt_brings_after_all_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with balanced(tmp_path, monkeypatch) as (balancer, app, records):
        async with client_of(app) as client:
            balancer.dead = {0, 1}
            await client.send(request("/api/v1/pods"))
            await eventually(lambda: len(balancer.arrived) == 2)
            first, second = balancer.server.connections
            await first.send(ok(b"slow"))
            assert (await client.answer()).body == b"slow"
            await eventually(second.closed.is_set)
            assert not first.closed.is_set()
        assert [(r.retries, r.reused) for r in records] == [(0, True)]


async def test_a_second_attempt_that_fails_leaves_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with balanced(tmp_path, monkeypatch) as (balancer, app, records):
        async with client_of(app) as client:
            balancer.lose()
            balancer.resets = True
            await client.send(request("/api/v1/pods"))
            await eventually(lambda: len(balancer.arrived) == 2)
            await looks(app, 12)
            assert len(balancer.arrived) == 2
            balancer.released.set()
            assert (await client.answer()).body == b"0"
        assert [r.retries for r in records] == [0]


async def test_a_client_that_leaves_ends_both_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with balanced(tmp_path, monkeypatch) as (balancer, app, records):
        balancer.dead = {0, 1}
        async with client_of(app) as client:
            await client.send(request("/api/v1/pods"))
            await eventually(lambda: len(balancer.arrived) == 2)
        for connection in balancer.server.connections:
            await eventually(connection.closed.is_set)
        await eventually(lambda: records)
        assert [r.cause for r in records] == ["client-gone"]


async def test_all_that_wait_are_helped_once_one_connection_was_found_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with balanced(tmp_path, monkeypatch, 30) as (balancer, app, _):
        balancer.lose()
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(app)) for _ in range(30)]
            for client in clients:
                await client.send(request("/api/v1/pods"))
            assert [(await client.answer()).status for client in clients] == [200] * 30


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        pytest.param(WATCH, (b"0\r\n\r\n", True), id="a-watch-as-the-api-server-ends-one"),
        pytest.param(LIST, (b"", True), id="half-an-answer-by-a-cut"),
    ],
)
async def test_what_stands_still_on_a_dead_connection_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, rest: tuple[bytes, bool]
) -> None:
    async with balanced(tmp_path, monkeypatch, 2) as (balancer, app, records):
        async with client_of(app) as client, client_of(app) as other:
            await client.send(request(target))
            await client.reader.readuntil(EVENT + b"\r\n" if target == WATCH else b"ab")
            balancer.lose()
            assert (await other.get("/api")).body == b"2"
            assert await client.to_end() == rest
        causes = {record.target: record.cause for record in records}
        assert causes == {target: "" if target == WATCH else "truncated", "/api": ""}


@pytest.mark.parametrize("target", [WATCH, LOG])
async def test_streams_that_may_be_alive_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """A watch that brings something, and a log even if it brings nothing: its client would not
    ask again."""
    async with (
        balanced(tmp_path, monkeypatch, 2) as (balancer, app, _),
        client_of(app) as client,
        client_of(app) as other,
    ):
        await client.send(request(target))
        await client.reader.readuntil(b"\n\r\n")
        balancer.lose()
        assert (await other.get("/api")).body == b"2"
        [(number, _), *_] = balancer.arrived
        if target == WATCH:
            await balancer.server.connections[number].send(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await looks(app, 20)
        assert not balancer.server.connections[number].closed.is_set()
