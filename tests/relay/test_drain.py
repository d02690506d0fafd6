"""What becomes of each kind of exchange when the proxy drains, and how long that takes; of a
signal and its process, tests/process/test_drain.py; of what is not sent, test_drain_unfinished."""

import asyncio
from pathlib import Path

import pytest

from kubelatch.relay import drain
from kubelatch.relay.record import Record
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.clock import ManualClock
from tests.support.draining import (
    CBOR,
    EVENT,
    FRAME,
    ITEM,
    JSON,
    LOG,
    NEVER,
    PROTOBUF,
    SOON,
    UPGRADE,
    WATCH,
    Server,
    begin,
    chunk,
    draining,
    head,
    received,
    refuses,
)
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import Connection, Request, ScriptedUpstream, ok

from .warm_connection import GET, mute


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Server:
    return Server(tmp_path, authority)


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        pytest.param(JSON, [], id="no event yet"),
        pytest.param(JSON, [EVENT, EVENT], id="json"),
        pytest.param(f"{JSON};stream=watch", [EVENT[:20], EVENT[20:]], id="an event in two chunks"),
        pytest.param(JSON, [EVENT[:-1], b"\n"], id="the line end alone"),
        pytest.param(PROTOBUF, [FRAME, FRAME], id="protobuf"),
        pytest.param(PROTOBUF, [FRAME[:2], FRAME[2:9], FRAME[9:]], id="protobuf in pieces"),
        pytest.param(PROTOBUF, [(0).to_bytes(4)], id="an empty frame"),
        pytest.param(CBOR, [ITEM, ITEM], id="cbor"),
        pytest.param("application/cbor", [ITEM], id="cbor by its other name"),
        pytest.param(CBOR, [ITEM[:24], ITEM[24:60], ITEM[60:]], id="cbor in pieces"),
    ],
)
async def test_a_watch_between_two_events_ends_cleanly_and_at_once(
    server: Server, kind: str, pieces: list[bytes]
) -> None:
    server.answers[WATCH] = head(kind) + b"".join(map(chunk, pieces))
    async with server.proxy(NEVER) as proxy:
        async with await begin(proxy.address, WATCH) as client:
            await client.reader.readuntil(b"\r\n\r\n")
            got = b""
            while len(got) < len(b"".join(pieces)):
                size = int((await client.reader.readline()), 16)
                got += await client.reader.readexactly(size)
                await client.reader.readexactly(2)
            proxy.drain()
            assert await client.to_end() == (b"0\r\n\r\n", True)
        await proxy.drained()
    assert got == b"".join(pieces)


@pytest.mark.parametrize(
    ("target", "kind", "body"),
    [
        pytest.param(WATCH, JSON, EVENT[:-1], id="event without its end"),
        pytest.param(WATCH, JSON, EVENT + EVENT[:9], id="next event begun"),
        pytest.param(WATCH, PROTOBUF, FRAME[:-1], id="frame without its end"),
        pytest.param(WATCH, PROTOBUF, FRAME + b"\0", id="next frame begun"),
        pytest.param(WATCH, CBOR, ITEM[:-1], id="item without its end"),
        pytest.param(WATCH, CBOR, ITEM + b"\xa1", id="next item begun"),
        pytest.param(WATCH, CBOR, ITEM + b"\x19\x01", id="next head begun"),
        pytest.param(WATCH, CBOR, b"\xff", id="no cbor"),
        pytest.param(WATCH, "application/yaml", b"type: ADDED\n", id="unknown format"),
        pytest.param(WATCH, JSON, b'{\n  "kind": "PodList",\n', id="list instead of a watch"),
        pytest.param(LOG, "text/plain", b"a whole line\n", id="log"),
        pytest.param("/api/v1/pods", JSON, EVENT, id="list"),
        pytest.param("/api/v1/namespaces/a/services/watch/proxy/", JSON, EVENT, id="application"),
    ],
)
async def test_what_could_be_taken_for_complete_is_cut(
    server: Server, target: str, kind: str, body: bytes
) -> None:
    server.answers[target] = head(kind) + chunk(body)
    async with server.proxy(SOON) as proxy:
        async with await begin(proxy.address, target) as client:
            begun = await received(client, body + b"\r\n")
            proxy.drain()
            rest, _ = await client.to_end()
        await proxy.drained()
    assert (begun + rest).endswith(body + b"\r\n")


async def test_a_watch_within_an_event_is_ended_behind_it(server: Server) -> None:
    server.answers[WATCH] = head(JSON) + chunk(EVENT[:9])
    async with server.proxy(NEVER) as proxy:
        async with await begin(proxy.address, WATCH) as client:
            connection = await server.asked()
            await received(client, EVENT[:9] + b"\r\n")
            proxy.drain()
            await refuses(proxy.address)
            await connection.send(chunk(EVENT[9:]))
            rest, clean = await client.to_end()
        assert (rest, clean) == (chunk(EVENT[9:]) + b"0\r\n\r\n", True)
        await proxy.drained()


async def test_watches_go_on_while_others_finish(server: Server) -> None:
    whole = ok(b"first, second")
    server.answers |= {WATCH: head(JSON), "/api": whole[:-6]}
    async with server.proxy(NEVER) as proxy:
        async with await begin(proxy.address, WATCH) as watch:
            watching = await server.asked()
            async with await begin(proxy.address, "/api") as other:
                slow = await server.asked()
                await received(other, b"first, ")
                proxy.drain()
                await refuses(proxy.address)
                await watching.send(chunk(EVENT))
                await received(watch, EVENT)
                await slow.send(whole[-6:])
                assert (await other.to_end())[0].endswith(b"second")
            assert await watch.to_end() == (b"\r\n0\r\n\r\n", True)
        await proxy.drained()


@pytest.mark.parametrize(
    ("target", "kind", "clean"),
    [pytest.param(WATCH, JSON, True, id="watch"), pytest.param(LOG, "text/plain", False, id="log")],
)
async def test_the_end_of_a_stream_without_chunks_is_as_honest(
    server: Server, target: str, kind: str, clean: bool
) -> None:
    """To an HTTP/1.0 client the end of the connection is the end of the body; a reset is not."""
    server.answers[target] = head(kind) + chunk(EVENT)
    async with server.proxy(SOON) as proxy:
        async with await begin(proxy.address, target, "1.0") as client:
            await received(client, EVENT)
            proxy.drain()
            assert await client.to_end() == (b"", clean)
        await proxy.drained()


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "idle connection"])
async def test_who_has_no_answer_at_the_end_is_told_so(server: Server, reused: bool) -> None:
    server.answers["/small"] = ok()
    async with server.proxy(SOON) as proxy:
        if reused:
            async with await begin(proxy.address, "/small") as earlier:
                await earlier.answer()
            await server.asked()
        async with await begin(proxy.address, "/api") as client:
            await server.asked()
            proxy.drain()
            answer = await client.answer()
        await proxy.drained()
    assert (answer.status, answer.whole) == (504, True)
    assert b"--drain-timeout" in answer.body
    assert answer.values("retry-after") == []


async def test_clients_that_ask_nothing_are_let_go_at_once(server: Server) -> None:
    server.answers |= {"/api": ok(), "/slow": ok(b"")[:-2]}
    async with server.proxy(NEVER) as proxy:
        async with (
            await begin(proxy.address, "/api") as idle,
            await Client.connect(proxy.address) as fresh,
            await Client.connect(proxy.address) as hesitant,
            await begin(proxy.address, "/slow") as busy,
        ):
            await idle.answer()
            await hesitant.send(b"GET /api HTTP/1.1\r\nHo")
            connections = [await server.asked(), await server.asked()]
            proxy.drain()
            # While another is still being answered.
            for client in (idle, fresh, hesitant):
                assert await client.to_end() == (b"", True)
            for connection in connections:
                await connection.send(b"\r\n")
            assert (await busy.answer()).status == 200
        await proxy.drained()


async def test_a_tunnel_has_all_of_the_time_and_is_reset_then(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        await connection.send(_accept(request))
        while data := await connection.reader.read(100):
            await connection.send(data)

    flags = ("--reject-paths=", "--drain-timeout=1s")
    async with (
        ScriptedUpstream(script, authority) as upstream,
        draining(tmp_path, kubeconfig(upstream.url, authority), *flags) as proxy,
    ):
        async with await Client.connect(proxy.address) as client:
            await client.send(UPGRADE)
            assert b" 101 " in await received(client, b"\r\n\r\n")
            proxy.drain()
            await refuses(proxy.address)
            await client.send(b"still here")
            assert await client.reader.readexactly(10) == b"still here"
            # An end like any other would say that the command is over.
            assert await client.to_end() == (b"", False)
        await proxy.drained()


async def test_a_tunnel_that_we_end_is_not_taken_for_one_whose_client_left(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        await connection.send(_accept(await connection.request()))
        await connection.reader.read()

    ended: list[Record] = []
    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        flags = ("--reject-paths=", "--drain-timeout=0s")
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            app._registry.on_end = ended.append
            await client.send(UPGRADE)
            await received(client, b"\r\n\r\n")
            await app.drain()
            assert await client.to_end() == (b"", False)
    assert [(record.status, record.cause) for record in ended] == [(101, "draining")]


@pytest.mark.parametrize("seconds", [0, 3, 3600])
async def test_a_drain_lasts_as_long_as_the_drain_timeout_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(drain, "asyncio", clock.asyncio())
    # One look in each second of that hour is enough.
    monkeypatch.setattr(drain, "_INTERVAL", 1.0)
    async with ScriptedUpstream(mute) as upstream:
        config, flag = kubeconfig(upstream.url), f"--drain-timeout={seconds}s"
        async with proxy_in_loop(tmp_path, config, flag) as app, client_of(app) as client:
            await client.send(GET)
            await eventually(lambda: upstream.requests)
            answer = asyncio.create_task(client.answer())
            await app.drain()
            assert sum(clock.slept) == seconds
            assert (await answer).status == 504


def _accept(request: Request) -> bytes:
    assert request.values("upgrade") == ["websocket"]
    return b"HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
