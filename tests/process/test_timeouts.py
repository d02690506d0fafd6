"""How long the API server may take, who is exempt, and how peers that have died are noticed."""

import asyncio
import socket
from pathlib import Path

import pytest

from kubelatch.system.listeners import adopt, listen_tcp
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .running import run

LIMIT = "--response-timeout=60ms"


class Late:
    """An API server that says nothing of ``/never``, and answers others when it is told to."""

    def __init__(self, authority: Authority, early: bytes = b"") -> None:
        self.go_on = asyncio.Event()
        self.server = ScriptedUpstream(self._script, authority)
        self._early = early

    async def _script(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            if "/never" in request.line:
                await connection.reader.read()
                return
            await connection.send(self._early)
            await self.go_on.wait()
            await connection.send(ok(b"late")[len(self._early) :])


async def test_a_request_without_an_answer_is_given_up(
    tmp_path: Path, authority: Authority
) -> None:
    late = Late(authority)
    async with late.server:
        config = kubeconfig(late.server.url, authority)
        async with proxy_in_loop(tmp_path, config, LIMIT) as app, client_of(app) as client:
            answer = await client.get("/never")
            assert answer.status == 504
            assert b"response-timeout" in answer.body
            await late.server.connections[0].closed.wait()
            # Neither the client's connection nor the proxy is the worse for it.
            late.go_on.set()
            assert (await client.get("/api")).body == b"late"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/api/v1/pods?watch=1", id="watch"),
        pytest.param("/api/v1/namespaces/a/pods/b/log?follow=1", id="log"),
        pytest.param("/api/v1/namespaces/a/services/b/proxy/report", id="proxied service"),
    ],
)
async def test_what_the_api_server_exempts_is_exempt(
    tmp_path: Path, authority: Authority, target: str
) -> None:
    late = Late(authority)
    async with late.server:
        config = kubeconfig(late.server.url, authority)
        async with (
            proxy_in_loop(tmp_path, config, LIMIT) as app,
            client_of(app) as client,
            client_of(app) as other,
        ):
            answer = asyncio.create_task(client.get(target))
            for _ in range(2):
                assert (await other.get("/never")).status == 504
            late.go_on.set()
            assert (await answer).body == b"late"


async def test_an_upload_and_the_rest_of_an_answer_may_take_longer(
    tmp_path: Path, authority: Authority
) -> None:
    late = Late(authority, early=ok(b"late")[:-2])
    async with late.server:
        config = kubeconfig(late.server.url, authority)
        async with (
            proxy_in_loop(tmp_path, config, LIMIT) as app,
            client_of(app) as client,
            client_of(app) as other,
        ):
            await client.send(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
            assert (await other.get("/never")).status == 504
            await client.send(b"cd")
            await client.reader.readuntil(b"\r\n\r\n")
            assert (await other.get("/never")).status == 504
            late.go_on.set()
            assert await client.reader.readexactly(4) == b"late"


async def test_the_limits_can_be_switched_off(tmp_path: Path, authority: Authority) -> None:
    off = ("--connect-timeout=0", "--tls-timeout=0", "--response-timeout=0")
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        async with proxy_in_loop(tmp_path, config, *off) as app, client_of(app) as client:
            assert (await client.get("/api")).status == 200


@pytest.mark.parametrize(
    "flag",
    [
        "connect-timeout",
        "tls-timeout",
        "response-timeout",
        "head-timeout",
        "idle-timeout",
        "drain-timeout",
        "exec-timeout",
        "timeout",
    ],
)
async def test_a_limit_below_zero_is_no_limit(flag: str) -> None:
    ended = await run(*(["wait"] if flag == "timeout" else []), f"--{flag}=-1s")
    assert (ended.code, ended.out) == (2, "")
    assert f"--{flag}" in ended.error
    assert "must not be negative" in ended.error


def tcp(sock: socket.socket, name: str) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def alive(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


needs_linux = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="these options are Linux's"
)


@needs_linux
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_client_that_died_is_noticed_but_a_slow_one_is_left_alone(
    tmp_path: Path, authority: Authority, loop: str
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        flags = (f"--loop={loop}",)
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            await client.get("/api")
            assert app._http is not None
            [connection] = app._http.connections
            assert connection.transport is not None
            sock = connection.transport.get_extra_info("socket")
            assert alive(sock) == 1
            assert [tcp(sock, f"TCP_KEEP{n}") for n in ("IDLE", "INTVL", "CNT")] == [30, 15, 3]
            assert tcp(sock, "TCP_USER_TIMEOUT") == 0


@needs_linux
@pytest.mark.parametrize("configured", [False, True])
def test_who_hands_over_a_socket_may_have_its_own_idea_of_that(configured: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        if configured:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
        adopt(sock)
        with socket.create_connection(sock.getsockname()):
            accepted, _ = sock.accept()
            with accepted:
                assert alive(accepted) == 1
                assert tcp(accepted, "TCP_KEEPIDLE") == (77 if configured else 30)


@needs_linux
def test_accepted_sockets_inherit_what_is_set_on_the_listener() -> None:
    listener = listen_tcp("127.0.0.1", 0)
    listener.socket.setblocking(True)
    try:
        with socket.create_connection(listener.socket.getsockname()):
            accepted, _ = listener.socket.accept()
            with accepted:
                assert (alive(accepted), tcp(accepted, "TCP_KEEPIDLE")) == (1, 30)
    finally:
        listener.close()
