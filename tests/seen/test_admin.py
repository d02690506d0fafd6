"""The admin listener: who may ask, and what is answered."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubelatch.admin import is_of_this_machine
from kubelatch.app import App
from kubelatch.errors import ListenError, UsageError
from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop, proxy_process
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok


@asynccontextmanager
async def admin_of(app: App) -> AsyncIterator[Client]:
    async with await Client.connect(app.admin_name) as client:
        yield client


async def ask(app: App, target: str, *fields: str, method: str = "GET") -> Answer:
    async with admin_of(app) as client:
        return await client.get(target, *fields, method=method)


@asynccontextmanager
async def proxy(
    directory: Path, authority: Authority, *flags: str, **user: Any
) -> AsyncIterator[tuple[App, ScriptedUpstream]]:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user=user or {"token": "t"})
        chosen = ("--admin-address=127.0.0.1:0", *flags)
        async with proxy_in_loop(directory, config, *chosen) as app:
            yield app, upstream


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
async def test_a_proxy_that_serves_is_well(tmp_path: Path, authority: Authority, path: str) -> None:
    async with proxy(tmp_path, authority) as (app, upstream):
        answer = await ask(app, path)
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.values("cache-control") == ["no-store"]
    # A probe must not be a request to the API server: there are thousands of probes.
    assert upstream.requests == []


async def test_verbose_tells_each_condition(tmp_path: Path, authority: Authority) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        answer = await ask(app, "/readyz?verbose")
    assert answer.body.decode().splitlines() == [
        "[+]listening ok",
        "[+]credential ok",
        "[+]configuration ok",
        "[+]api-server ok",
        "readyz check passed",
    ]


async def test_the_admin_paths_are_not_in_the_apis_space(
    tmp_path: Path, authority: Authority
) -> None:
    async with proxy(tmp_path, authority) as (app, upstream), client_of(app) as client:
        for path in ("/livez", "/readyz", "/metrics", "/version"):
            assert (await client.get(path)).body == b"{}"
        assert (await ask(app, "/api/v1/pods")).status == 404
    assert len(upstream.requests) == 4


async def test_an_api_server_that_fails_is_told_and_does_not_count(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        if "/bad" not in request.line:
            await connection.send(ok())

    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, "--admin-address=127.0.0.1:0") as app:
            async with client_of(app) as client:
                assert (await client.get("/bad")).status == 502
            answer = await ask(app, "/readyz?verbose")
            assert answer.status == 200
            assert "[!]api-server failed: reset, 0s ago" in answer.body.decode().splitlines()
            async with client_of(app) as client:
                await client.get("/good")
            answer = await ask(app, "/readyz?verbose")
            assert "[+]api-server ok" in answer.body.decode().splitlines()


def plugin(path: Path, script: str) -> dict[str, Any]:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(path),
            "interactiveMode": "Never",
        }
    }


CREDENTIAL = (
    'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
    '"status":{"token":"abc"}}\''
)


async def test_without_a_credential_it_is_alive_and_not_ready(
    tmp_path: Path, authority: Authority
) -> None:
    user = plugin(tmp_path / "plugin", "exit 3")
    async with proxy(tmp_path, authority, **user) as (app, _):
        answer = await ask(app, "/readyz")
        assert answer.status == 503
        lines = answer.body.decode().splitlines()
        assert any(line.startswith("[-]credential failed: ") for line in lines)
        assert lines[-1] == "readyz check failed"
        assert (await ask(app, "/livez")).status == 200


async def test_a_credential_that_takes_long_is_not_ready_yet(
    tmp_path: Path, authority: Authority
) -> None:
    go = tmp_path / "go"
    user = plugin(tmp_path / "plugin", f"while [ ! -e {go} ]; do sleep 0.05; done\n{CREDENTIAL}")
    async with proxy(tmp_path, authority, **user) as (app, _):
        answer = await ask(app, "/readyz")
        assert answer.status == 503
        assert b"[-]credential failed: it is still being fetched" in answer.body
        go.touch()
        async with asyncio.timeout(10):
            # Each question waits for the plugin's end for a while.
            while (await ask(app, "/readyz")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_kubeconfig_that_became_bad_is_told_and_does_not_count(
    tmp_path: Path, authority: Authority
) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        (tmp_path / "kubeconfig").write_text("{")
        app.reload()
        answer = await ask(app, "/readyz?verbose")
    assert answer.status == 200
    assert b"[!]configuration failed: " in answer.body


async def test_a_draining_proxy_is_not_ready(tmp_path: Path, authority: Authority) -> None:
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await release.wait()
        await connection.send(ok())

    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with (
            proxy_in_loop(tmp_path, config, "--admin-address=127.0.0.1:0") as app,
            client_of(app) as client,
        ):
            slow = asyncio.create_task(client.get("/slow"))
            while not upstream.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            drain = asyncio.create_task(app.drain())
            await asyncio.sleep(0)
            answer = await ask(app, "/readyz")
            assert answer.status == 503
            assert b"[-]listening failed: draining" in answer.body
            assert (await ask(app, "/livez")).status == 200
            release.set()
            assert (await slow).status == 200
            await drain


async def test_version_is_our_own(tmp_path: Path, authority: Authority) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        told = json.loads((await ask(app, "/version")).body)
    assert told.keys() == {"version", "python", "aiohttp"}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param(("Origin: http://evil.example",), 403, id="another site"),
        pytest.param(("Origin: null",), 403, id="a sandboxed page"),
        pytest.param(("Origin: http://127.0.0.1:8002",), 403, id="its own name"),
        pytest.param(("Sec-Fetch-Site: cross-site",), 403, id="fetch from another site"),
        pytest.param(("Sec-Fetch-Site: same-site",), 403, id="another port of localhost"),
        pytest.param(("Sec-Fetch-Site: same-origin",), 403, id="a page whose name was rebound"),
        pytest.param(("Sec-Fetch-Site: none",), 200, id="typed into the address bar"),
        pytest.param((), 200, id="curl, kubelet, Prometheus"),
    ],
)
async def test_web_pages_are_refused(
    tmp_path: Path, authority: Authority, fields: tuple[str, ...], status: int
) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        assert (await ask(app, "/readyz", *fields)).status == status
        assert (await ask(app, "/quitquitquit", *fields, method="POST")).status == status
        assert app.quitting.is_set() is (status == 200)


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8002", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("127.9.9.9", 403),
     ("evil.example:8002", 403), ("10.0.0.1", 403), ("a b", 400)],
)  # fmt: skip
async def test_on_loopback_it_answers_to_names_of_loopback_only(
    tmp_path: Path, authority: Authority, host: str, status: int
) -> None:
    async with proxy(tmp_path, authority) as (app, _), admin_of(app) as client:
        await client.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert (await client.answer()).status == status


async def test_on_another_loopback_address_it_answers_to_that(
    tmp_path: Path, authority: Authority
) -> None:
    flag = "--admin-address=127.9.9.9:0"
    async with proxy(tmp_path, authority, flag) as (app, _), admin_of(app) as client:
        for host, status in (("127.9.9.9:8002", 200), ("127x9.9.9", 403)):
            await client.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert (await client.answer()).status == status


async def test_where_others_may_reach_it_any_name_will_do(
    tmp_path: Path, authority: Authority
) -> None:
    async with proxy(tmp_path, authority, "--admin-address=:0") as (app, _):
        port = app.admin_name.rpartition(":")[2]
        async with await Client.connect(f"127.0.0.1:{port}") as client:
            await client.send(b"GET /livez HTTP/1.1\r\nHost: 10.2.3.4:8002\r\n\r\n")
            assert (await client.answer()).status == 200


async def test_a_unix_socket_for_its_owner_alone(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "admin.sock"
    async with proxy(tmp_path, authority, f"--admin-address=unix:{path}") as (app, _):
        assert app.admin_name == str(path)
        assert path.stat().st_mode & 0o777 == 0o700
        assert (await ask(app, "/livez")).status == 200
    assert not path.exists()


@pytest.mark.parametrize("address", ["8002", "localhost", "127.0.0.1:http", "127.0.0.1:65536"])
async def test_an_address_that_is_none(tmp_path: Path, authority: Authority, address: str) -> None:
    with pytest.raises(UsageError, match="invalid --admin-address"):
        async with proxy(tmp_path, authority, f"--admin-address={address}"):
            pass


async def test_an_address_in_use(tmp_path: Path, authority: Authority) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        other = tmp_path / "other"
        other.mkdir()
        words = "address already in use.*another with --admin-address"
        with pytest.raises(ListenError, match=words):
            async with proxy(other, authority, f"--admin-address={app.admin_name}"):
                pass


async def test_off_by_default(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config) as app:
            assert app.admin_name == ""


async def test_quitquitquit_drains_and_ends_with_success(
    tmp_path: Path, authority: Authority
) -> None:
    """As a Job's main container calls it when its work is done."""
    path = tmp_path / "admin.sock"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = write(
            tmp_path / "config", kubeconfig(upstream.url, authority, user={"token": "t"})
        )
        flags = (f"--kubeconfig={config}", "--port=0", f"--admin-address={path}")
        async with proxy_process(*flags) as process:
            async with await Client.connect(str(path)) as client:
                assert (await client.get("/quitquitquit")).status == 405
                answer = await client.get("/quitquitquit", method="POST")
            assert (answer.status, answer.body) == (200, b"draining\n")
            assert await process.finish() == 0


@pytest.mark.parametrize(
    ("peer", "wanted"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("10.1.2.3", False), ("::ffff:10.1.2.3", False), ("fe80::1%eth0", False), ("", False)],
)  # fmt: skip
def test_who_may_end_the_proxy(peer: str, wanted: bool) -> None:
    assert is_of_this_machine(peer) is wanted


async def test_another_machine_cannot_end_the_proxy(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubelet's probe needs the admin address to be open to others."""
    monkeypatch.setattr(web.BaseRequest, "remote", "10.1.2.3")
    async with proxy(tmp_path, authority, "--admin-address=:0") as (app, _):
        assert (await ask(app, "/quitquitquit", method="POST")).status == 403
        assert (await ask(app, "/livez")).status == 200
        assert not app.quitting.is_set()


async def test_nothing_of_it_is_loaded_unless_asked_for(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = write(
            tmp_path / "config", kubeconfig(upstream.url, authority, user={"token": "t"})
        )
        async with proxy_process(
            f"--kubeconfig={config}", "--port=0", environ={"PYTHONPROFILEIMPORTTIME": "1"}
        ) as process:
            process.signal(signal.SIGTERM)
            await process.finish()
    loaded = {line.rpartition("|")[2].strip() for line in process.stderr.decode().splitlines()}
    assert "kubelatch.observation" in loaded
    assert (
        not {"prometheus_client", "kubelatch.metrics", "kubelatch.admin", "kubelatch.runner"}
        & loaded
    )
