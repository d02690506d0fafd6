"""Requests that need no task, as time goes by: limits, the end of the proxy, and reloads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubelatch.app import App
from kubelatch.gate import Gate, GateSettings
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import Tokens, eventually, generation_for, relaying
from tests.support.upstream import Connection, Script, ScriptedUpstream, answering, ok

from .warm_connection import GET, Begun, echo, mute, note_begun, primed, request, unfinished, watch


@contextlib.asynccontextmanager
async def whole_proxy(
    directory: Path, script: Script, *flags: str
) -> AsyncIterator[tuple[App, Client, ScriptedUpstream]]:
    """A whole proxy that has served a request, so that its upstream connection waits for work."""
    async with ScriptedUpstream(script) as upstream:
        config = kubeconfig(upstream.url)
        async with proxy_in_loop(directory, config, *flags) as app, client_of(app) as client:
            assert (await client.get("/warm")).status == 200
            assert app._handler is not None
            note_begun(app._handler)
            yield app, client, upstream


def warm(script: Script) -> Script:
    """*script*, behind a request that is answered."""

    async def both(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok(b"warm"))
        await script(connection)

    return both


WATCH = request("/api/v1/pods?watch=true")


async def test_a_watch_that_is_silent_longer_than_the_idle_time_is_not_cut(
    tmp_path: Path, begun: Begun
) -> None:
    script, flag = warm(watch), "--idle-timeout=200ms"
    async with whole_proxy(tmp_path, script, flag) as (_, client, upstream):
        await client.send(WATCH)
        await client.reader.readuntil(b'"}\n\r\n')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.7)
        upstream.connections[0].writer.write(b"0\r\n\r\n")
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        # And once it is over, an idle connection is one.
        async with asyncio.timeout(5):
            assert await client.to_end() == (b"", True)
    assert begun == ["/api/v1/pods?watch=true"]


async def test_a_head_behind_an_exchange_without_a_task_has_its_time_limit(
    tmp_path: Path, begun: Begun
) -> None:
    async with whole_proxy(tmp_path, echo, "--head-timeout=50ms") as (_, client, _):
        await client.send(GET + GET[:-9])
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 408
        assert await client.to_end() == (b"", True)
    assert begun == ["/api"]


async def draining(app: App) -> asyncio.Task[None]:
    """The drain, once nobody is let in any more."""
    task = asyncio.create_task(app.drain())
    assert app._http is not None
    await eventually(lambda: app._registry.draining)
    return task


async def test_an_answer_that_begins_while_draining_is_whole_and_says_that_it_is_the_last(
    tmp_path: Path, begun: Begun
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await proceed.wait()
        await connection.send(ok(b"late"))
        await connection.reader.read()

    proceed = asyncio.Event()
    async with whole_proxy(tmp_path, warm(script)) as (app, client, upstream):
        await client.send(GET)
        await eventually(lambda: len(upstream.requests) == 2)
        drain = await draining(app)
        await client.send(GET)
        proceed.set()
        answer = await client.answer()
        assert (answer.body, answer.values("connection")) == (b"late", ["close"])
        await client.to_end()
        await drain
        assert len(upstream.requests) == 2
    assert begun == ["/api"]


async def test_a_watch_is_ended_between_two_events_when_draining(
    tmp_path: Path, begun: Begun
) -> None:
    async with whole_proxy(tmp_path, warm(watch)) as (app, client, _):
        await client.send(WATCH)
        await client.reader.readuntil(b'"}\n\r\n')
        await (await draining(app))
        assert await client.to_end() == (b"0\r\n\r\n", True)
    assert begun == ["/api/v1/pods?watch=true"]


@pytest.mark.parametrize("script", [mute, unfinished], ids=["no answer", "half an answer"])
async def test_what_is_not_over_when_the_drain_is_told_so_or_cut(
    script: Script, tmp_path: Path, begun: Begun
) -> None:
    flag = "--drain-timeout=100ms"
    async with whole_proxy(tmp_path, warm(script), flag) as (app, client, upstream):
        await client.send(GET + GET)
        await eventually(lambda: len(upstream.requests) == 2)
        if script is unfinished:
            await client.reader.readuntil(b"\r\n\r\nab")
        await (await draining(app))
        await app.stop()
        data, _ = await client.to_end()
        assert data.startswith(b"HTTP/1.1 504 ") if script is mute else data == b""
        assert data.count(b"HTTP/1.1") == (script is mute)
    assert begun == ["/api"]


async def test_an_upload_goes_on_while_draining(tmp_path: Path) -> None:
    """aiohttp reads no more from a connection that is to end behind its answer."""
    async with whole_proxy(tmp_path, echo) as (app, client, upstream):
        await client.send(request("/b", "Content-Length: 600000", method="POST") + b"x")
        await eventually(lambda: len(upstream.requests) == 2)
        drain = await draining(app)
        await client.send(b"y" * 599_999)
        answer = await client.answer()
        assert (answer.status, len(answer.body)) == (200, 600_003)
        assert answer.values("connection") == ["close"]
        await drain


async def test_another_gate_judges_the_next_request_of_a_connection(begun: Begun) -> None:
    async with primed(echo) as (relay, client, _):
        assert (await client.get("/api")).status == 200
        relay.handler.gate = Gate(GateSettings(reject_paths=("^/api",)))
        assert (await client.get("/api")).status == 403
        relay.handler.gate = Gate(GateSettings(reject_paths=("^/other",)))
        assert (await client.get("/api")).status == 200
    assert begun == ["/api", "/api"]


async def test_another_generation_gets_the_next_request_of_a_connection(begun: Begun) -> None:
    async with primed(answering(ok(b"old"))) as (relay, client, _):
        assert (await client.get("/api")).body == b"old"
        async with ScriptedUpstream(answering(ok(b"new"))) as upstream:
            old, new = (
                relay.generation,
                generation_for(upstream, None, Tokens("t"), path_prefix=b"/p"),
            )
            relay.generation = new
            await relay.prime()
            assert (await client.get("/api")).body == b"new"
            assert [r.line for r in upstream.requests] == ["GET /p/api HTTP/1.1"]
            await new.close()
        relay.generation = old
    assert begun == ["/api", "/api"]


async def test_a_token_that_has_been_replaced_is_in_the_next_request(
    authority: Authority, begun: Begun
) -> None:
    tokens = Tokens("first", "second")
    async with relaying(echo, authority, tokens) as relay:
        note_begun(relay.handler)
        await relay.prime()
        async with relay.client() as client:
            await client.get("/api")
            await tokens.invalidate(tokens._credentials[0])
            await client.get("/api")
        sent = [r.values("authorization") for r in relay.upstream.requests]
    assert sent == [["Bearer first"], ["Bearer second"]]
    assert begun == ["/api", "/api"]
