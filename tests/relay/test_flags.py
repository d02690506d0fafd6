"""Flags of ours, from the command line's words to what the two sides see."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from kubelatch.credentials.static import StaticSource
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok


async def never(connection: Connection) -> None:
    await connection.request()
    await connection.reader.read()


async def stalling(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await connection.reader.read()


async def test_a_request_over_its_time_is_told_so(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(never, authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        async with (
            proxy_in_loop(tmp_path, config, "--request-timeout=50ms") as app,
            client_of(app) as client,
        ):
            answer = await client.get("/api")
            assert answer.status == 504
            assert b"request-timeout" in answer.body
            await upstream.connections[0].closed.wait()


async def test_an_answer_over_its_time_is_cut(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(stalling, authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        async with (
            proxy_in_loop(tmp_path, config, "--request-timeout=50ms") as app,
            client_of(app) as client,
        ):
            await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received, clean = await client.to_end()
    assert received.endswith(b"half") or not received
    assert not clean


async def test_a_watch_has_all_the_time(tmp_path: Path, authority: Authority) -> None:
    over = asyncio.Event()

    async def watch(connection: Connection) -> None:
        request = await connection.request()
        if "watch" not in request.line:
            await connection.reader.read()
        await over.wait()
        await connection.send(ok(b"event"))

    async with ScriptedUpstream(watch, authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        async with (
            proxy_in_loop(tmp_path, config, "--request-timeout=50ms") as app,
            client_of(app) as watcher,
            client_of(app) as other,
        ):
            answer = asyncio.create_task(watcher.get("/api/v1/pods?watch=1"))
            # The other's limit passes while the watch waits.
            assert (await other.get("/api/v1/pods")).status == 504
            over.set()
            assert (await answer).body == b"event"


@pytest.mark.parametrize(
    ("clients", "status"),
    [
        pytest.param("any", 200, id="any"),
        pytest.param("same-user", 200, id="same user"),
        pytest.param(str(os.geteuid()), 200, id="named"),
        pytest.param("4242,4243", 403, id="others"),
    ],
)
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
async def test_only_the_users_named_get_through(
    tmp_path: Path, authority: Authority, clients: str, status: int, unix: bool
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        flags = [f"--clients={clients}"]
        if unix:
            flags += [f"--unix-socket={tmp_path / 's'}", "--port=8001"]
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            answer = await client.get("/api")
    assert answer.status == status
    assert len(upstream.requests) == (status == 200)


async def test_the_client_token_is_asked_for_and_goes_no_further(
    tmp_path: Path, authority: Authority
) -> None:
    secret = tmp_path / "client-token"
    secret.write_text("s3cret\n")
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "upstreams"})
        flag = f"--client-token-file={secret}"
        async with proxy_in_loop(tmp_path, config, flag) as app, client_of(app) as client:
            refused = await client.get("/api")
            assert refused.status == 401
            assert refused.values("www-authenticate")[0].startswith("Basic ")
            answer = await client.get("/api", "Authorization: Bearer s3cret")
            assert answer.status == 200
    [request] = upstream.requests
    assert request.values("authorization") == ["Bearer upstreams"]
    assert b"s3cret" not in request.head


@pytest.mark.parametrize(
    ("flags", "warned"),
    [
        pytest.param((), False, id="loopback"),
        pytest.param(("--address=0.0.0.0",), True, id="all addresses"),
        pytest.param(("--address=0.0.0.0", "--clients=same-user"), False, id="own user only"),
    ],
)
async def test_a_port_that_is_open_to_others_is_warned_of(
    tmp_path: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    flags: tuple[str, ...],
    warned: bool,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with proxy_in_loop(tmp_path, kubeconfig("https://127.0.0.1:1", authority), *flags):
            pass
    assert ("is open to other machines" in caplog.text) is warned


async def test_a_fault_of_ours_is_answered_and_logged(
    tmp_path: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: StaticSource) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(StaticSource, "cached", broken)
    async with (
        proxy_in_loop(tmp_path, kubeconfig("https://127.0.0.1:1", authority)) as app,
        client_of(app) as client,
    ):
        answer = await client.get("/api")
        again = await client.get("/api")
    assert answer.status == again.status == 500
    assert b"internal error" in answer.body
    assert b"a secret detail" not in answer.body
    assert "a secret detail" in caplog.text


async def test_a_page_that_was_let_in_gets_one_word_on_who_may_read(
    tmp_path: Path, authority: Authority
) -> None:
    upstreams = ok(b"{}", "Access-Control-Allow-Origin: *", "Vary: Accept", "X-Kept: 1")
    async with ScriptedUpstream(answering(upstreams), authority) as upstream:
        config = kubeconfig(upstream.url, authority)
        flag = "--accept-origins=http://localhost:3000"
        async with proxy_in_loop(tmp_path, config, flag) as app, client_of(app) as client:
            answer = await client.get("/api", "Origin: http://localhost:3000")
    assert answer.values("access-control-allow-origin") == ["http://localhost:3000"]
    assert sorted(answer.values("vary")) == ["Accept", "Origin"]
    assert answer.values("x-kept") == ["1"]


async def test_the_user_is_asked_for_once_a_connection(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("kubelatch.system.peer.uid_of", asked.append)
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        proxy_in_loop(tmp_path, kubeconfig(upstream.url, authority)) as app,
        client_of(app) as client,
    ):
        for _ in range(3):
            await client.get("/api")
    assert len(asked) == 1
