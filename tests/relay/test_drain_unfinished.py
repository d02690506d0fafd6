"""What becomes of a request without a response, and of one whose last bytes are still here, when
the proxy drains."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.draining import (
    EXEC,
    NEVER,
    SOON,
    UPGRADE,
    Server,
    begin,
    chunk,
    draining,
    head,
    refuses,
)
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream, ok


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Server:
    return Server(tmp_path, authority)


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


@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n", id="request"),
        pytest.param(UPGRADE, id="upgrade"),
    ],
)
async def test_who_waits_for_a_connection_at_the_end_may_ask_again(
    tmp_path: Path, asking: bytes
) -> None:
    async with (
        silent_server() as (url, connected),
        draining(tmp_path, kubeconfig(url), "--reject-paths=", SOON) as proxy,
    ):
        async with await Client.connect(proxy.address) as client:
            await client.send(asking)
            await connected.wait()
            proxy.drain()
            await is_told(client, 503)
        await proxy.drained()


@pytest.mark.parametrize(
    ("hangs_at", "status"),
    [pytest.param(1, 503, id="first credential"), pytest.param(2, 504, id="renewed credential")],
)
async def test_who_waits_for_a_credential_at_the_end_is_told_whether_to_ask_again(
    tmp_path: Path, authority: Authority, hangs_at: int, status: int
) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        await connection.reader.read()

    user, hangs = plugin(tmp_path / "plugin", hangs_at=hangs_at)
    async with ScriptedUpstream(refuse, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user=user)
        async with draining(tmp_path, config, SOON) as proxy:
            async with await begin(proxy.address, "/api") as client:
                await eventually(hangs)
                proxy.drain()
                await is_told(client, status)
            await proxy.drained()


async def test_an_upgrade_without_an_answer_at_the_end_may_have_been_carried_out(
    server: Server,
) -> None:
    async with server.proxy("--reject-paths=", SOON) as proxy:
        async with await Client.connect(proxy.address) as client:
            await client.send(UPGRADE)
            await server.asked()
            proxy.drain()
            await is_told(client, 504)
        await proxy.drained()


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
