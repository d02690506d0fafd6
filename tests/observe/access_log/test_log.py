"""Every field of the request log, held against what the API server and the client saw."""

import asyncio
import base64
import hashlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_process
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .support import Log, logging_proxy

TOKEN = "s3cr3t-t0ken"


def config_of(upstream: ScriptedUpstream, authority: Authority, **user: Any) -> dict[str, Any]:
    return kubeconfig(upstream.url, authority, user=user or {"token": TOKEN})


async def test_a_plain_request(tmp_path: Path, authority: Authority) -> None:
    before = time.time()
    answer = ok(b"x" * 3000, "Audit-Id: 0e3a")
    async with ScriptedUpstream(answering(answer), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/api/v1/namespaces/shop/pods?limit=5", "User-Agent: mine/1")
            await client.get("/apis/apps/v1/namespaces/shop/deployments/web/scale")
    first, second = log.objects
    assert {key: first[key] for key in first if not key.endswith("_ms")} == {
        "time": first["time"],
        "event": "end",
        "client": "127.0.0.1",
        "uid": os.getuid(),
        "method": "GET",
        "target": "/api/v1/namespaces/shop/pods?limit=5",
        "verb": "list",
        "group": "",
        "version": "v1",
        "resource": "pods",
        "namespace": "shop",
        "user_agent": "mine/1",
        "status": 200,
        "received_bytes": 0,
        "sent_bytes": 3000,
        "reused": False,
        "credential": "token",
        "audit_id": "0e3a",
    }
    assert before - 1 < datetime.fromisoformat(first["time"]).timestamp() < time.time() + 1
    assert first["connect_ms"] > 0
    assert 0 < first["upstream_ms"] <= first["first_byte_ms"] <= first["duration_ms"]
    assert second["reused"] is True
    assert "connect_ms" not in second
    assert "user_agent" not in second
    wanted = {"group": "apps", "resource": "deployments", "subresource": "scale", "name": "web"}
    assert {key: second[key] for key in wanted} == wanted


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_times_are_finer_than_milliseconds(
    tmp_path: Path, authority: Authority, loop: str
) -> None:
    """uvloop's clock has whole milliseconds, and most of a proxy's work takes less."""
    log = Log(tmp_path / "log")
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = write(tmp_path / "config", config_of(upstream, authority))
        flags = ("--port=0", f"--loop={loop}", f"--log-requests={log.path}", "--log-format=json")
        async with (
            proxy_process(f"--kubeconfig={config}", *flags) as process,
            await Client.connect(process.address) as client,
        ):
            for _ in range(20):
                await client.get("/version")
    for key in ("duration_ms", "first_byte_ms", "upstream_ms"):
        assert any(logged[key] % 1 for logged in log.objects)
    for logged in log.objects:
        assert 0 < logged["upstream_ms"] <= logged["first_byte_ms"] <= logged["duration_ms"]


async def test_bodies_are_counted_both_ways(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok(b"y" * 10)), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.send(
                b"POST /api/v1/namespaces/a/configmaps HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"
            )
            await client.send(b"3\r\nefg\r\n0\r\n\r\n")
            await client.answer()
    [request] = upstream.requests
    [logged] = log.objects
    assert logged["verb"] == "create"
    assert logged["received_bytes"] == len(request.body) == 7
    assert logged["sent_bytes"] == 10


async def test_the_time_of_the_api_server_is_told_apart(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(0.2)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.2)
        await connection.send(b"{}")

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/version")
    [logged] = log.objects
    assert 190 < logged["upstream_ms"] < logged["duration_ms"] - 190


async def test_waiting_for_a_credential_is_told_apart(tmp_path: Path, authority: Authority) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\nsleep 0.3\n"
        'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"abc"}}\'\n'
    )
    plugin.chmod(0o755)
    exec_user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority, **exec_user)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/version")
            await client.get("/version")
    first, second = log.objects
    assert first["credential"] == "exec"
    assert first["credential_wait_ms"] > 290
    assert first["upstream_ms"] < first["duration_ms"] - 290
    assert "credential_wait_ms" not in second


async def test_a_watch_is_told_when_it_begins_and_when_it_ends(
    tmp_path: Path, authority: Authority
) -> None:
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await go_on.wait()
        await connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config, "-v2") as (app, log), client_of(app) as client:
            task = asyncio.create_task(client.get("/api/v1/pods?watch=true", "User-Agent: w"))
            await log.until(1)
            assert not task.done()
            go_on.set()
            answer = await task
    begun, ended = log.objects
    assert (begun["event"], begun["verb"], begun["user_agent"]) == ("begin", "watch", "w")
    assert "status" not in begun
    assert (ended["event"], ended["verb"], ended["sent_bytes"]) == ("end", "watch", 11)
    assert ended["sent_bytes"] == len(answer.body)
    assert datetime.fromisoformat(begun["time"]) <= datetime.fromisoformat(ended["time"])


async def test_beginnings_are_not_told_below_their_level(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config, "-v1") as (app, log), client_of(app) as client:
            await client.get("/api/v1/pods?watch=true")
    assert [logged["event"] for logged in log.objects] == ["end"]


async def test_ordinary_requests_have_no_beginning(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config, "-v2") as (app, log), client_of(app) as client:
            await client.get("/api/v1/pods?watch=false")
            await client.get("/api/v1/namespaces/a/pods/b/log")
    assert [logged["event"] for logged in log.objects] == ["end", "end"]


async def test_a_client_that_leaves_its_watch(tmp_path: Path, authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await connection.reader.read()

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log):
            async with client_of(app) as client:
                await client.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await client.reader.readuntil(b"first\r\n")
            await log.until(1)
    [logged] = log.objects
    assert (logged["status"], logged["cause"], logged["sent_bytes"]) == (200, "client-gone", 5)


async def test_a_refusal_names_its_rule_and_nothing_upstream(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            answer = await client.get("/api/v1/namespaces/a/pods/b/exec?command=sh")
            await client.get("/version", "Origin: http://evil.example")
        assert upstream.requests == []
    refused, foreign = log.objects
    assert refused["rule"] == "reject-paths"
    assert (refused["status"], refused["sent_bytes"]) == (403, len(answer.body))
    assert (refused["resource"], refused["subresource"]) == ("pods", "exec")
    assert not {"first_byte_ms", "upstream_ms", "reused", "credential", "cause"} & refused.keys()
    assert foreign["rule"] == "origin"


async def test_a_refusal_of_head_has_no_body_to_count(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/api/v1/namespaces/a/pods/b/exec", method="HEAD")
    [logged] = log.objects
    assert (logged["status"], logged["rule"], logged["sent_bytes"]) == (403, "reject-paths", 0)


async def test_a_request_that_cannot_be_read(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.send(b"GET / HTTP/1.1\r\nbad field\r\n\r\n")
            answer = await client.answer()
    [logged] = log.objects
    assert (logged["status"], logged["cause"], logged["method"]) == (400, "bad-request", "")
    assert logged["sent_bytes"] == len(answer.body)
    assert logged["uid"] == os.getuid()


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        pytest.param(b"", {"status": 502, "cause": "reset"}, id="no answer"),
        pytest.param(b"SSH-2.0\r\n\r\n", {"status": 502, "cause": "bad-answer"}, id="not HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            {"status": 200, "cause": "truncated", "sent_bytes": 3},
            id="cut short",
        ),
    ],
)
async def test_faults_have_their_cause(
    tmp_path: Path, authority: Authority, sent: bytes, wanted: dict[str, Any]
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(sent)

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/version")
    [logged] = log.objects
    assert {key: logged[key] for key in wanted} == wanted


async def test_no_api_server(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
    async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
        await client.get("/version")
    [logged] = log.objects
    assert (logged["status"], logged["cause"], logged["credential"]) == (502, "refused", "token")
    assert "first_byte_ms" not in logged


async def test_a_retry_on_a_connection_that_died_idle(tmp_path: Path, authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok())
        if connection.number == 0:
            await connection.request()
            connection.abort()
        else:
            await connection.reader.read()

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/version")
            await client.get("/api")
    assert [len(connection.requests) for connection in upstream.connections] == [2, 1]
    first, second = log.objects
    assert "retries" not in first
    assert (second["retries"], second["status"], second["reused"]) == (1, 200, False)


async def test_a_credential_that_was_renewed(tmp_path: Path, authority: Authority) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            if request.values("authorization") == ["Bearer new"]:
                await asyncio.sleep(0.2)
                await connection.send(ok())
            else:
                token.write_text("new")
                await connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority, tokenFile=str(token))
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get("/version")
    [logged] = log.objects
    assert (logged["status"], logged["retries"], logged["credential"]) == (200, 1, "token-file")
    # The times are those of the response that the client got, not of the 401 before it.
    assert logged["first_byte_ms"] > 190
    assert logged["upstream_ms"] > 190


def _accepts(key: str) -> str:
    """RFC 6455 section 4.2.2."""
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    return base64.b64encode(digest).decode()


async def test_a_tunnel_is_told_when_it_begins_and_when_it_ends(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.head()
        [key] = request.values("sec-websocket-key")
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Audit-Id: 77aa\r\nSec-WebSocket-Accept: %b\r\n\r\nhello" % _accepts(key).encode()
        )
        await connection.reader.readexactly(3)
        await connection.send(b"bye")

    key = base64.b64encode(b"0123456789abcdef").decode()
    secret = "base64url.bearer.authorization.k8s.io.c2VjcmV0"
    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config, "-v2") as (app, log):
            client = await Client.connect(app.name)
            await client.send(
                "GET /api/v1/namespaces/a/pods/b/portforward?ports=80 HTTP/1.1\r\n"
                "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                f"Sec-WebSocket-Protocol: v4.channel.k8s.io, {secret}\r\n\r\n".encode()
            )
            await client.reader.readuntil(b"hello")
            assert len(await log.until(1)) == 1
            await client.send(b"abc")
            assert await client.to_end() == (b"bye", True)
            client.close()
            await log.until(2)
    begun, ended = log.objects
    assert (begun["protocol"], begun["subresource"]) == ("websocket", "portforward")
    assert (ended["status"], ended["protocol"], ended["event"]) == (101, "websocket", "end")
    assert (ended["received_bytes"], ended["sent_bytes"]) == (3, 8)
    assert ended["audit_id"] == "77aa"
    assert ended["connect_ms"] > 0
    assert ended["credential"] == "client"
    assert ended["reused"] is False
    assert "credential_wait_ms" not in ended
    assert "c2VjcmV0" not in log.path.read_text()


async def test_an_upgrade_that_the_api_server_refuses(tmp_path: Path, authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nAudit-Id: 88bb\r\n\r\nno\n\n\n"
        )

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get(
                "/api/v1/namespaces/a/pods/b/portforward",
                "Connection: Upgrade",
                "Upgrade: SPDY/3.1",
                method="POST",
            )
    [logged] = log.objects
    wanted = {
        "status": 403, "protocol": "SPDY/3.1", "sent_bytes": 5, "audit_id": "88bb",
        "verb": "create",
    }  # fmt: skip
    assert {key: logged.get(key) for key in wanted} == wanted
    assert "rule" not in logged


async def test_a_client_on_a_unix_socket(tmp_path: Path, authority: Authority) -> None:
    from kubelatch.app import App
    from kubelatch.config import settings

    path = tmp_path / "s"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        log_path = tmp_path / "log"
        config = write(tmp_path / "kubeconfig", config_of(upstream, authority))
        values = settings.parse(
            [
                f"--kubeconfig={config}",
                f"--unix-socket={path}",
                f"--log-requests={log_path}",
                "--log-format=json",
            ],
            {},
        )
        app = App(settings.from_values(values), {})
        try:
            await app.start()
            async with await Client.connect(str(path)) as client:
                await client.get("/version")
        finally:
            await app.stop()
    [logged] = Log(log_path).objects
    assert (logged["client"], logged["uid"]) == ("", os.getuid())


async def test_secrets_of_a_query_are_masked_and_reach_the_api_server(
    tmp_path: Path, authority: Authority
) -> None:
    target = "/api/v1/namespaces/a/services/b/proxy/login?token=hunter2&user=me"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            await client.get(target)
    assert upstream.requests[0].line == f"GET {target} HTTP/1.1"
    [logged] = log.objects
    assert logged["target"] == target.replace("hunter2", "***")


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        pytest.param("^/(livez|readyz)", ["/version", "/livez?fail", "/api/v1/x/exec"], id="one"),
        pytest.param("^/livez$,^/readyz$", ["/version", "/livez?fail", "/api/v1/x/exec"],
                     id="two"),
        pytest.param("", ["/livez", "/version", "/readyz?verbose", "/livez?fail", "/api/v1/x/exec"],
                     id="none"),
    ],
)  # fmt: skip
async def test_health_checks_are_skipped_unless_they_fail(
    tmp_path: Path, authority: Authority, pattern: str, wanted: list[str]
) -> None:
    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            failed = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
            await connection.send(failed if "fail" in request.line else ok())

    flags = (f"--log-skip-paths={pattern}", "--reject-paths=exec")
    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config, *flags) as (app, log), client_of(app) as client:
            for path in ("/livez", "/version", "/readyz?verbose", "/livez?fail", "/api/v1/x/exec"):
                await client.get(path)
    assert [logged["target"] for logged in log.objects] == wanted


async def test_text_and_combined_can_be_chosen(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        for name, wanted in (("text", " 200 "), ("combined", '"GET /version HTTP/1.1" 200 2 ')):
            directory = tmp_path / name
            directory.mkdir()
            flags = (f"--log-format={name}", "-v2")
            async with (
                logging_proxy(directory, config, *flags) as (app, log),
                client_of(app) as client,
            ):
                await client.get("/version")
            [line] = log.lines
            assert wanted in line
            assert "\x1b" not in line


async def test_a_burst_loses_no_line_and_keeps_order(tmp_path: Path, authority: Authority) -> None:
    now = datetime.now(UTC)
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log), client_of(app) as client:
            for number in range(450):
                await client.get(f"/version?n={number}")
    assert [logged["target"] for logged in log.objects] == [f"/version?n={n}" for n in range(450)]
    times = [datetime.fromisoformat(logged["time"]) for logged in log.objects]
    assert now.timestamp() - 1 < times[0].timestamp()


async def test_what_is_cut_at_the_end_is_told_too(tmp_path: Path, authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.reader.read()

    async with ScriptedUpstream(script, authority) as upstream:
        config = config_of(upstream, authority)
        async with logging_proxy(tmp_path, config) as (app, log):
            client = await Client.connect(app.name)
            await client.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while not upstream.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        client.close()
    [logged] = log.objects
    assert logged["verb"] == "watch"


async def test_the_log_is_for_its_owner_alone(tmp_path: Path, authority: Authority) -> None:
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        logging_proxy(tmp_path, config_of(upstream, authority)) as (_, log),
    ):
        pass
    assert log.path.stat().st_mode & 0o777 == 0o600
