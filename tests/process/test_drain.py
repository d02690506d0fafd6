"""What becomes of everything that is in flight when the proxy is told to stop."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kubelatch.http1.watch import CborFramer
from kubelatch.relay.record import Record
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import ProxyProcess, client_of, proxy_in_loop, proxy_process
from tests.support.relay import eventually
from tests.support.upstream import Connection, Request, ScriptedUpstream, ok

WATCH = "/api/v1/pods?watch=true"
LOG = "/api/v1/namespaces/a/pods/b/log?follow=true"
JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf;stream=watch"
CBOR = "application/cbor-seq"
# {"type": "ADDED", "object": 55799({"a": [1, -500, h'0102', 1.5, true], "b": {_ "c": "xyz…", …}})}
ITEM = (
    b"\xa2\x64type\x65ADDED\x66object\xd9\xd9\xf7\xa2\x61a\x85\x01\x39\x01\xf3\x42\1\2\xfb\x3f\xf8"
    + bytes(6)
    + b"\xf5\x61b\xbf\x61c\x78\x64" + b"x" * 100 + b"\x61d\x7f\x61y\x61z\xff\x61e\x80\xff"
)  # fmt: skip
EVENT = b'{"type":"ADDED","object":{"kind":"Pod","note":"line\\nend"}}\n'
FRAME = (300).to_bytes(4) + b"\0\1\n" * 100
# Longer than the test may take: whoever waits for it fails.
NEVER = "--drain-timeout=1h"
SOON = "--drain-timeout=200ms"
EXEC = "/api/v1/namespaces/a/pods/b/exec"
UPGRADE = (
    f"GET {EXEC} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
).encode()
both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


def head(kind: str) -> bytes:
    fields = f"Content-Type: {kind}\r\nTransfer-Encoding: chunked"
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Server:
    """An API server that answers by target, and sends more when the test says so."""

    def __init__(self, tmp_path: Path, authority: Authority) -> None:
        self.server = ScriptedUpstream(self._script, authority)
        self.answers: dict[str, bytes] = {}
        self._asked: asyncio.Queue[Connection] = asyncio.Queue()
        self._path = tmp_path / "server"
        self._authority = authority

    @property
    def config(self) -> str:
        config = kubeconfig(self.server.url, self._authority, user={"token": "t"})
        return f"--kubeconfig={write(self._path, config)}"

    async def asked(self) -> Connection:
        """The connection on which the next request came."""
        return await self._asked.get()

    async def _script(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            target = request.line.split(" ")[1]
            await connection.send(self.answers.get(target, b""))
            self._asked.put_nowait(connection)


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Server:
    return Server(tmp_path, authority)


async def begin(proxy: ProxyProcess, target: str, version: str = "1.1") -> Client:
    """A client that has asked, and whose answer has begun if the server has begun it."""
    client = await Client.connect(proxy.address)
    await client.send(f"GET {target} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
    return client


async def refuses(address: str) -> None:
    """Wait until nobody listens there any more: the signal has been heard."""
    while True:
        try:
            (await Client.connect(address)).close()
        except OSError:
            return
        await asyncio.sleep(0)


async def received(client: Client, end: bytes) -> bytes:
    """Read until *end* has come."""
    async with asyncio.timeout(10):
        return await client.reader.readuntil(end)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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
    server: Server, kind: str, pieces: list[bytes], number: signal.Signals
) -> None:
    server.answers[WATCH] = head(kind) + b"".join(map(chunk, pieces))
    async with server.server, proxy_process(server.config, "--port=0", NEVER) as proxy:
        async with await begin(proxy, WATCH) as client:
            await client.reader.readuntil(b"\r\n\r\n")
            got = b""
            while len(got) < len(b"".join(pieces)):
                size = int((await client.reader.readline()), 16)
                got += await client.reader.readexactly(size)
                await client.reader.readexactly(2)
            proxy.signal(number)
            assert await client.to_end() == (b"0\r\n\r\n", True)
        assert await proxy.finish() == 0
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
    async with server.server, proxy_process(server.config, "--port=0", SOON) as proxy:
        async with await begin(proxy, target) as client:
            begun = await received(client, body + b"\r\n")
            proxy.signal(signal.SIGTERM)
            rest, _ = await client.to_end()
        assert await proxy.finish() == 0
    assert (begun + rest).endswith(body + b"\r\n")


async def test_a_watch_within_an_event_is_ended_behind_it(server: Server) -> None:
    server.answers[WATCH] = head(JSON) + chunk(EVENT[:9])
    async with server.server, proxy_process(server.config, "--port=0", NEVER) as proxy:
        async with await begin(proxy, WATCH) as client:
            connection = await server.asked()
            await received(client, EVENT[:9] + b"\r\n")
            proxy.signal(signal.SIGTERM)
            await refuses(proxy.address)
            await connection.send(chunk(EVENT[9:]))
            rest, clean = await client.to_end()
        assert (rest, clean) == (chunk(EVENT[9:]) + b"0\r\n\r\n", True)
        assert await proxy.finish() == 0


async def test_watches_go_on_while_others_finish(server: Server) -> None:
    whole = ok(b"first, second")
    server.answers |= {WATCH: head(JSON), "/api": whole[:-6]}
    async with server.server, proxy_process(server.config, "--port=0", NEVER) as proxy:
        async with await begin(proxy, WATCH) as watch:
            watching = await server.asked()
            async with await begin(proxy, "/api") as other:
                slow = await server.asked()
                await received(other, b"first, ")
                proxy.signal(signal.SIGTERM)
                await refuses(proxy.address)
                await watching.send(chunk(EVENT))
                await received(watch, EVENT)
                await slow.send(whole[-6:])
                assert (await other.to_end())[0].endswith(b"second")
            assert await watch.to_end() == (b"\r\n0\r\n\r\n", True)
        assert await proxy.finish() == 0


@pytest.mark.parametrize(
    ("target", "kind", "clean"),
    [pytest.param(WATCH, JSON, True, id="watch"), pytest.param(LOG, "text/plain", False, id="log")],
)
async def test_the_end_of_a_stream_without_chunks_is_as_honest(
    server: Server, target: str, kind: str, clean: bool
) -> None:
    """To an HTTP/1.0 client the end of the connection is the end of the body; a reset is not."""
    server.answers[target] = head(kind) + chunk(EVENT)
    async with server.server, proxy_process(server.config, "--port=0", SOON) as proxy:
        async with await begin(proxy, target, "1.0") as client:
            await received(client, EVENT)
            proxy.signal(signal.SIGTERM)
            assert await client.to_end() == (b"", clean)
        assert await proxy.finish() == 0


async def test_who_has_no_answer_at_the_end_is_told_so(server: Server) -> None:
    async with server.server, proxy_process(server.config, "--port=0", SOON) as proxy:
        async with await begin(proxy, "/api") as client:
            await server.asked()
            proxy.signal(signal.SIGTERM)
            answer = await client.answer()
        assert await proxy.finish() == 0
    assert (answer.status, answer.whole) == (504, True)
    assert b"--drain-timeout" in answer.body
    assert answer.values("retry-after") == []


async def test_a_client_that_reads_slowly_gets_all_of_its_answer(
    tmp_path: Path, authority: Authority, server: Server
) -> None:
    """The end of an exchange is not the end of its bytes: some wait in this process."""
    body = b"x" * 200_000
    server.answers |= {"/small": ok(b"x"), "/api": ok(body)}
    async with server.server:
        config = kubeconfig(server.server.url, authority)
        async with proxy_in_loop(tmp_path, config, NEVER) as app, client_of(app) as client:
            await client.get("/small")
            assert app._http is not None
            [connection] = app._http.connections
            assert connection.transport is not None
            for end in (connection.transport, client.writer.transport):
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually(lambda: len(server.server.requests) == 2)
            await eventually(lambda: not app._registry)
            assert connection.transport.get_write_buffer_size()
            draining = asyncio.create_task(app.drain())
            await refuses(app.name)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not draining.done()
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert (await client.answer()).body == body
            assert await client.to_end() == (b"", True)
            await draining


async def test_clients_that_ask_nothing_are_let_go_at_once(server: Server) -> None:
    server.answers |= {"/api": ok(), "/slow": ok(b"")[:-2]}
    async with server.server, proxy_process(server.config, "--port=0", NEVER) as proxy:
        async with (
            await begin(proxy, "/api") as idle,
            await Client.connect(proxy.address) as fresh,
            await Client.connect(proxy.address) as hesitant,
            await begin(proxy, "/slow") as busy,
        ):
            await idle.answer()
            await hesitant.send(b"GET /api HTTP/1.1\r\nHo")
            connections = [await server.asked(), await server.asked()]
            proxy.signal(signal.SIGTERM)
            # While another is still being answered.
            for client in (idle, fresh, hesitant):
                assert await client.to_end() == (b"", True)
            for connection in connections:
                await connection.send(b"\r\n")
            assert (await busy.answer()).status == 200
        assert await proxy.finish() == 0


async def test_what_was_asked_before_the_signal_is_answered(server: Server) -> None:
    """Requests that wait in the kernel: on a connection that is not accepted yet, and on one
    that is."""
    server.answers["/api"] = ok(b"here")
    async with server.server, proxy_process(server.config, "--port=0", NEVER) as proxy:
        async with await begin(proxy, "/api") as old:
            await old.answer()
            status = Path(f"/proc/{proxy.process.pid}/status")
            proxy.signal(signal.SIGSTOP)
            await eventually(lambda: "stopped" in status.read_text())
            await old.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with await begin(proxy, "/api") as new:
                proxy.signal(signal.SIGTERM)
                proxy.signal(signal.SIGCONT)
                for client in (old, new):
                    answer = await client.answer()
                    assert (answer.status, answer.body) == (200, b"here")
        assert await proxy.finish() == 0


async def test_a_tunnel_has_all_of_the_time_and_is_reset_then(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        await connection.send(_accept(request))
        while data := await connection.reader.read(100):
            await connection.send(data)

    flags = ("--reject-paths=", "--drain-timeout=1s", "--port=0")
    async with ScriptedUpstream(script, authority) as upstream:
        config = write(tmp_path / "c", kubeconfig(upstream.url, authority, user={"token": "t"}))
        async with proxy_process(f"--kubeconfig={config}", *flags) as proxy:
            async with await Client.connect(proxy.address) as client:
                await client.send(UPGRADE)
                assert b" 101 " in await received(client, b"\r\n\r\n")
                proxy.signal(signal.SIGTERM)
                await refuses(proxy.address)
                await client.send(b"still here")
                assert await client.reader.readexactly(10) == b"still here"
                # An end like any other would say that the command is over.
                assert await client.to_end() == (b"", False)
            assert await proxy.finish() == 0


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that accepts and never says a word, not even for TLS; and when it has."""
    connected, over = asyncio.Event(), asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", connected
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def plugin(path: Path, *, hangs_at: int) -> tuple[dict[str, object], Callable[[], bool]]:
    """A user whose exec plugin hangs at one of its runs, and whether it does."""
    token = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    answer = json.dumps({**token, "status": {"token": "t"}})
    runs = path.with_suffix(".runs")
    path.write_text(
        f"#!/bin/sh\necho >> {runs}\n"
        f"[ $(wc -l < {runs}) = {hangs_at} ] && exec sleep 30\necho '{answer}'\n"
    )
    path.chmod(0o755)
    command = {"apiVersion": token["apiVersion"], "command": str(path), "interactiveMode": "Never"}
    return {"exec": command}, lambda: runs.exists() and runs.read_text().count("\n") == hangs_at


async def is_told(client: Client, status: int) -> None:
    answer = await client.answer()
    assert (answer.status, answer.whole) == (status, True)
    causes = json.loads(answer.body)["details"]["causes"]
    assert [cause["reason"] for cause in causes] == ["draining"]
    # client-go repeats whatever is answered with it.
    assert answer.values("retry-after") == (["1"] if status == 503 else [])


@both_loops
@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n", id="request"),
        pytest.param(UPGRADE, id="upgrade"),
    ],
)
async def test_who_waits_for_a_connection_at_the_end_may_ask_again(
    tmp_path: Path, asking: bytes, loop: str
) -> None:
    flags = (f"--loop={loop}", "--reject-paths=", SOON, "--port=0")
    async with silent_server() as (url, connected):
        config = write(tmp_path / "c", kubeconfig(url, user={"token": "t"}))
        async with proxy_process(f"--kubeconfig={config}", *flags) as proxy:
            async with await Client.connect(proxy.address) as client:
                await client.send(asking)
                await connected.wait()
                proxy.signal(signal.SIGTERM)
                await is_told(client, 503)
            assert await proxy.finish() == 0


@both_loops
@pytest.mark.parametrize(
    ("hangs_at", "status"),
    [pytest.param(1, 503, id="first credential"), pytest.param(2, 504, id="renewed credential")],
)
async def test_who_waits_for_a_credential_at_the_end_is_told_whether_to_ask_again(
    tmp_path: Path, authority: Authority, hangs_at: int, status: int, loop: str
) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        await connection.reader.read()

    user, hangs = plugin(tmp_path / "plugin", hangs_at=hangs_at)
    flags = (f"--loop={loop}", SOON, "--port=0")
    async with ScriptedUpstream(refuse, authority) as upstream:
        config = write(tmp_path / "c", kubeconfig(upstream.url, authority, user=user))
        async with proxy_process(f"--kubeconfig={config}", *flags) as proxy:
            async with await begin(proxy, "/api") as client:
                await eventually(hangs)
                proxy.signal(signal.SIGTERM)
                await is_told(client, status)
            assert await proxy.finish() == 0


@both_loops
async def test_an_upgrade_without_an_answer_at_the_end_may_have_been_carried_out(
    server: Server, loop: str
) -> None:
    flags = (f"--loop={loop}", "--reject-paths=", SOON, "--port=0")
    async with server.server, proxy_process(server.config, *flags) as proxy:
        async with await Client.connect(proxy.address) as client:
            await client.send(UPGRADE)
            await server.asked()
            proxy.signal(signal.SIGTERM)
            await is_told(client, 504)
        assert await proxy.finish() == 0


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
            app._registry._on_end = ended.append
            await client.send(UPGRADE)
            await received(client, b"\r\n\r\n")
            await app.drain()
            assert await client.to_end() == (b"", False)
    assert [(record.status, record.cause) for record in ended] == [(101, "draining")]


@both_loops
async def test_a_second_signal_lets_nothing_look_whole(server: Server, loop: str) -> None:
    server.answers |= {
        LOG: head("text/plain") + chunk(b"a line\n"),
        EXEC: b"HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    }
    flags = (f"--loop={loop}", "--reject-paths=", NEVER, "--port=0")
    async with server.server, proxy_process(server.config, *flags) as proxy:
        async with (
            await begin(proxy, LOG, "1.0") as log,
            await Client.connect(proxy.address) as tunnel,
        ):
            await received(log, b"a line\n")
            await tunnel.send(UPGRADE)
            await received(tunnel, b"\r\n\r\n")
            proxy.signal(signal.SIGTERM)
            await refuses(proxy.address)
            proxy.signal(signal.SIGTERM)
            assert await log.to_end() == (b"", False)
            assert await tunnel.to_end() == (b"", False)
        assert await proxy.finish() == 0


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_whose_rest_is_still_here_at_the_end_does_not_look_whole(
    tmp_path: Path, authority: Authority, server: Server, version: str
) -> None:
    """To the exchange it is over; but its last bytes have not left this process."""
    body = chunk(b"x" * 200_000) + b"0\r\n\r\n"
    server.answers |= {"/small": ok(b"x"), "/api": head("text/plain") + body}
    async with server.server:
        config = kubeconfig(server.server.url, authority)
        flag = "--drain-timeout=100ms"
        async with proxy_in_loop(tmp_path, config, flag) as app, client_of(app) as client:
            await client.get("/small")
            assert app._http is not None
            [connection] = app._http.connections
            transport = connection.transport
            assert transport is not None
            for end in (transport, client.writer.transport):
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(f"GET /api HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
            await eventually(lambda: len(server.server.requests) == 2)
            await eventually(lambda: not app._registry)
            assert transport.get_write_buffer_size()
            await app.drain()
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            data, clean = await client.to_end()
            assert len(data) < len(body)
            assert not clean


async def test_a_client_that_goes_on_sending_after_its_answer_does_not_hold_up_the_end(
    tmp_path: Path, server: Server
) -> None:
    config = kubeconfig(server.server.url)
    async with proxy_in_loop(tmp_path, config, NEVER) as app, client_of(app) as client:
        await client.send(
            f"POST {EXEC} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc".encode()
        )
        assert (await client.answer()).status == 403
        # aiohttp would go on reading for ten.
        async with asyncio.timeout(5):
            await app.drain()


def _accept(request: Request) -> bytes:
    assert request.values("upgrade") == ["websocket"]
    return b"HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(ITEM), 1000])
def test_the_end_of_an_item_is_found_however_the_stream_is_cut(size: int) -> None:
    events, stream = CborFramer(), ITEM * 3
    ends = set()
    for start in range(0, len(stream), size):
        events.feed(stream[start : start + size])
        if events.at_boundary:
            ends.add(min(start + size, len(stream)))
    whole = {len(ITEM), 2 * len(ITEM), 3 * len(ITEM)}
    assert ends == {end for end in whole if end % size == 0 or end == len(stream)}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x1c", id="reserved length"),
        pytest.param(b"\xdf\x01", id="tag without end"),
        pytest.param(b"\xa1\xff", id="break in what has a length"),
        pytest.param(b"\x81" * 10_000 + b"\x01", id="deeper than Kubernetes reads"),
    ],
)
def test_what_is_no_cbor_of_kubernetes_has_no_end(data: bytes) -> None:
    events = CborFramer()
    events.feed(data)
    events.feed(ITEM)
    assert not events.at_boundary
