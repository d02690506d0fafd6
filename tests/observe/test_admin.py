"""The admin listener: who may ask, and what is answered."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kubelatch.app import App
from kubelatch.errors import ListenError, UsageError
from kubelatch.observe.admin import is_loopback
from kubelatch.system import peer
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
        "[+]background-tasks ok",
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
        await app.reload()
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
        reported = json.loads((await ask(app, "/version")).body)
    assert reported.keys() == {"version", "compiled", "python", "aiohttp"}


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


@pytest.mark.parametrize(
    ("host", "status"),
    [("10.2.3.4:8002", 200), ("[fd00::2]:8002", 200), ("localhost", 200), ("scraped.lan", 200),
     ("evil.example:8002", 403), ("10.2.3.4.evil.example", 403), ("scraped.lan.evil.example", 403)],
)  # fmt: skip
async def test_where_others_may_reach_it_it_answers_to_addresses_and_accepted_names(
    tmp_path: Path, authority: Authority, host: str, status: int
) -> None:
    """A kubelet and a scraper of pods come by address; a page can only bring a name."""
    flags = ("--admin-address=:0", "--accept-hosts=^scraped.lan$", "--disable-filter")
    async with proxy(tmp_path, authority, *flags) as (app, _):
        port = app.admin_name.rpartition(":")[2]
        async with await Client.connect(f"127.0.0.1:{port}") as client:
            await client.send(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert (await client.answer()).status == status


async def test_a_unix_socket_for_its_owner_alone(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "admin.sock"
    async with proxy(tmp_path, authority, f"--admin-address=unix:{path}") as (app, _):
        assert app.admin_name == str(path)
        assert path.stat().st_mode & 0o777 == 0o700
        assert (await ask(app, "/livez")).status == 200
    assert not path.exists()


async def test_an_abstract_unix_socket(tmp_path: Path, authority: Authority) -> None:
    for form in ("@{}.1", "unix:@{}.2"):
        address = form.format(tmp_path)
        async with proxy(tmp_path, authority, f"--admin-address={address}") as (app, _):
            assert app.admin_name == address.removeprefix("unix:")
            assert (await ask(app, "/readyz?verbose")).status == 200
            # Whoever is in the network namespace can connect.
            with pytest.MonkeyPatch.context() as patch:
                someone(patch, os.geteuid() + 1)
                assert (await ask(app, "/quitquitquit", method="POST")).status == 403
            assert (await ask(app, "/quitquitquit", method="POST")).status == 200


@pytest.mark.parametrize(
    "address", ["unix:", "8002", "localhost", "127.0.0.1:http", "127.0.0.1:65536"]
)
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
    ("address", "wanted"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("10.1.2.3", False), ("::ffff:10.1.2.3", False), ("fe80::1%eth0", False), ("", False)],
)  # fmt: skip
def test_who_is_of_this_machine(address: str, wanted: bool) -> None:
    assert is_loopback(address) is wanted


def someone(monkeypatch: pytest.MonkeyPatch, uid: int | None, address: str = "") -> None:
    """Let all clients be this user's, and come from this address."""
    monkeypatch.setattr(peer, "uid_of", lambda _: uid)
    if address:
        monkeypatch.setattr(peer.Peer, "address", address)


@pytest.mark.parametrize("uid", [os.geteuid() + 1, None], ids=["another user", "nobody knows"])
async def test_who_is_not_the_proxys_user_cannot_end_it(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, uid: int | None
) -> None:
    someone(monkeypatch, uid)
    async with proxy(tmp_path, authority) as (app, _):
        answer = await ask(app, "/quitquitquit", method="POST")
        assert answer.status == 403
        assert b"--client-token-file" in answer.body
        assert (await ask(app, "/metrics")).status == 200
        assert not app.quitting.is_set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_users_process_cannot_end_the_proxy(
    tmp_path: Path, authority: Authority
) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        port = app.admin_name.rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            "curl", "-s", "-XPOST", "-w", "%{http_code}", f"http://127.0.0.1:{port}/quitquitquit",
            user=65534, cwd="/", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert out.endswith(b"403")
        assert not app.quitting.is_set()


TOKEN = "Authorization: Bearer s3cret"


@asynccontextmanager
async def with_token(
    directory: Path, authority: Authority, *flags: str
) -> AsyncIterator[tuple[App, Path]]:
    path = directory / "client-token"
    path.write_text("s3cret\n")
    async with proxy(directory, authority, f"--client-token-file={path}", *flags) as (app, _):
        yield app, path


@pytest.mark.parametrize("path", ["/metrics", "/version"])
async def test_a_client_token_is_wanted_here_too(
    tmp_path: Path, authority: Authority, path: str
) -> None:
    async with with_token(tmp_path, authority) as (app, _):
        answer = await ask(app, path)
        assert answer.status == 401
        assert answer.values("www-authenticate")
        assert (await ask(app, path, "Authorization: Bearer s3cre")).status == 401
        assert (await ask(app, path, TOKEN)).status == 200
        assert (await ask(app, path, method="HEAD")).status == 401


async def test_a_client_token_that_changes_is_followed_here_too(
    tmp_path: Path, authority: Authority
) -> None:
    async with with_token(tmp_path, authority) as (app, path):
        path.write_text("another")
        await app.reload()
        assert (await ask(app, "/metrics", TOKEN)).status == 401
        assert (await ask(app, "/metrics", "Authorization: Bearer another")).status == 200


async def test_the_client_token_ends_the_proxy_for_whoever_has_it(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the main container of a Job, which seldom runs as the proxy's user."""
    async with with_token(tmp_path, authority) as (app, _):
        assert (await ask(app, "/quitquitquit", method="POST")).status == 401
        assert not app.quitting.is_set()
        someone(monkeypatch, None)
        assert (await ask(app, "/quitquitquit", TOKEN, method="POST")).status == 200
        assert app.quitting.is_set()


async def test_the_users_who_may_come_are_the_main_ports(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy(tmp_path, authority, "--clients=4321") as (app, _):
        for path in ("/metrics", "/version"):
            assert (await ask(app, path)).status == 403
        assert (await ask(app, "/quitquitquit", method="POST")).status == 403
        someone(monkeypatch, 4321)
        assert (await ask(app, "/metrics")).status == 200
        # It may use the proxy, and still not end it.
        assert (await ask(app, "/quitquitquit", method="POST")).status == 403
        assert not app.quitting.is_set()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
async def test_a_kubelet_probes_without_a_token_and_from_elsewhere(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    someone(monkeypatch, None, "10.1.2.3")
    async with with_token(tmp_path, authority, "--clients=same-user") as (app, _):
        answer = await ask(app, path)
        assert (answer.status, answer.body) == (200, b"ok\n")
        answer = await ask(app, path, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("flags", "uid", "address", "reported"),
    [
        pytest.param((), os.geteuid(), "127.0.0.1", True, id="of this machine"),
        pytest.param((), None, "10.1.2.3", False, id="another machine"),
        pytest.param(("--clients=4321",), os.geteuid(), "127.0.0.1", False, id="another user"),
    ],
)
async def test_why_it_is_not_ready_is_for_those_who_may_use_it(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    uid: int | None,
    address: str,
    reported: bool,
) -> None:
    user = plugin(tmp_path / "plugin", "exit 3")
    someone(monkeypatch, uid, address)
    async with proxy(tmp_path, authority, *flags, **user) as (app, _):
        answer = await ask(app, "/readyz")
        assert answer.status == 503
        assert (b"[-]credential failed: reason withheld" in answer.body) is not reported
        assert (b"plugin" in answer.body) is reported


async def test_why_it_is_not_ready_is_told_to_who_brings_the_token(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone(monkeypatch, None, "10.1.2.3")
    async with with_token(tmp_path, authority) as (app, _):
        (tmp_path / "kubeconfig").write_text("{")
        await app.reload()
        withheld = b"[!]configuration failed: reason withheld"
        assert withheld in (await ask(app, "/readyz?verbose")).body
        assert withheld not in (await ask(app, "/readyz?verbose", TOKEN)).body


HALF_A_HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD], ids=["silent", "half a head"])
async def test_half_open_heads_leave_descriptors_to_the_main_port(
    tmp_path: Path, authority: Authority, sent: bytes
) -> None:
    path = tmp_path / "admin.sock"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = write(
            tmp_path / "config", kubeconfig(upstream.url, authority, user={"token": "t"})
        )
        flags = (f"--kubeconfig={config}", "--port=0", f"--admin-address={path}")
        command = ("prlimit", "--nofile=128:128", sys.executable, "-m", "kubelatch")
        async with proxy_process(*flags, command=command) as process:
            clients = [await Client.connect(str(path)) for _ in range(200)]
            try:
                for client in clients:
                    # Some have been dropped by now; of an end not taken Linux may say EINVAL.
                    with contextlib.suppress(OSError):
                        await client.send(sent)
                async with await Client.connect(process.address) as honest:
                    assert (await honest.get("/api")).status == 200
                async with await Client.connect(str(path)) as probe:
                    assert (await probe.get("/livez")).status == 200
                    descriptors = len(os.listdir(f"/proc/{process.process.pid}/fd"))
                    assert 64 <= descriptors < 110
            finally:
                for client in clients:
                    client.close()


async def test_a_head_has_to_come_in_time(tmp_path: Path, authority: Authority) -> None:
    async with (
        proxy(tmp_path, authority, "--head-timeout=50ms") as (app, _),
        admin_of(app) as client,
    ):
        await client.send(HALF_A_HEAD)
        answer = await client.answer()
        assert answer.status == 408
        assert b"--head-timeout" in answer.body


async def test_a_head_has_to_be_short(tmp_path: Path, authority: Authority) -> None:
    async with proxy(tmp_path, authority, "--max-header-bytes=2000") as (app, _):
        answer = await ask(app, "/livez", f"X: {'x' * 2_000}")
        assert answer.status == 431


async def test_a_silent_connection_is_closed(tmp_path: Path, authority: Authority) -> None:
    async with (
        proxy(tmp_path, authority, "--head-timeout=50ms") as (app, _),
        admin_of(app) as client,
    ):
        assert await client.to_end() == (b"", True)


async def test_clients_that_read_nothing_keep_no_probe_out(
    tmp_path: Path, authority: Authority
) -> None:
    """They ask without end, so that none of their connections is ever without a request."""
    asking = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    async with (
        proxy(tmp_path, authority, "--max-connections=2") as (app, _),
        contextlib.AsyncExitStack() as stack,
    ):
        greedy = [await stack.enter_async_context(admin_of(app)) for _ in range(2)]
        for client in greedy:
            client.writer.write(asking)
        await asyncio.gather(*(client.reader.readexactly(1) for client in greedy))
        assert (await ask(app, "/livez")).status == 200


async def test_room_is_made_by_a_client_without_a_request(
    tmp_path: Path, authority: Authority
) -> None:
    go = tmp_path / "go"
    user = plugin(tmp_path / "plugin", f"while [ ! -e {go} ]; do sleep 0.05; done\n{CREDENTIAL}")
    async with (
        proxy(tmp_path, authority, "--max-connections=2", **user) as (app, _),
        admin_of(app) as asking,
        admin_of(app) as idle,
    ):
        # It waits for the plugin.
        await asking.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with admin_of(app) as probe:
            assert (await probe.get("/livez")).status == 200
            assert await idle.to_end() == (b"", False)
        go.touch()
        assert (await asking.answer()).body


async def test_what_follows_an_upgrade_request_is_dropped(
    tmp_path: Path, authority: Authority
) -> None:
    async with proxy(tmp_path, authority) as (app, _), admin_of(app) as client:
        get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n"
        await client.send(f"{get}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n{get}\r\n".encode())
        received, clean = await client.to_end()
        assert received.count(b"HTTP/1.1 200 OK") == 1
        assert clean


async def test_a_target_that_names_another_host_is_refused(
    tmp_path: Path, authority: Authority
) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        assert (await ask(app, "http://evil.example/livez")).status == 400


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
async def test_a_load_balancer_names_no_host(
    tmp_path: Path, authority: Authority, address: str
) -> None:
    async with proxy(tmp_path, authority, f"--admin-address={address}") as (app, _):
        port = app.admin_name.rpartition(":")[2]
        async with await Client.connect(f"127.0.0.1:{port}") as client:
            await client.send(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert (await client.answer()).status == 200


async def test_what_is_served_where(tmp_path: Path, authority: Authority) -> None:
    async with proxy(tmp_path, authority) as (app, _):
        answer = await ask(app, "/quitquitquit")
        assert (answer.status, answer.values("allow")) == (405, ["POST"])
        answer = await ask(app, "/metrics", method="POST")
        assert (answer.status, answer.values("allow")) == (405, ["GET, HEAD"])
        assert (await ask(app, "/nothing")).status == 404
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
    assert "kubelatch.observe.observer" in loaded
    assert (
        not {
            "prometheus_client",
            "kubelatch.observe.metrics",
            "kubelatch.observe.admin",
            "kubelatch.cli.run",
        }
        & loaded
    )
