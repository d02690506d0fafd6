"""Starting, stopping, hooks, and what must never be seen."""

import asyncio
import io
import json
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from kubelatch.demo import DemoServer, schemas
from kubelatch.demo.arrivals import Arrival, HookResponse

from . import content
from .conftest import Run
from .support import Http, client_context

WATCH = "/api/v1/pods?watch=1"


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, kubelatch.demo\n"
        "print([m for m in ('aiohttp', 'cryptography', 'yaml', 'ssl') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


async def test_the_cluster_it_starts_with_is_what_its_script_makes() -> None:
    assert json.loads(schemas.text("cluster.json.gz")) == await content.cluster()


def test_stopping_ends_watches_cleanly_and_leaves_no_task(run: Run) -> None:
    async def scenario() -> None:
        server = DemoServer()
        async with Http.open(await server.start()) as http, http.watch(WATCH) as events:
            await anext(events)
            await server.stop()
            async for _ in events:
                pass

    run(scenario())


def test_stopping_twice_or_before_starting_does_nothing(run: Run) -> None:
    async def scenario() -> None:
        server = DemoServer()
        await server.stop()
        await server.start()
        await server.stop()
        await server.stop()

    run(scenario())


def test_it_can_be_started_again_with_new_credentials(run: Run) -> None:
    async def scenario() -> None:
        server = DemoServer()
        first = await server.start()
        await server.stop()
        second = await server.start()
        async with Http.open(second) as http:
            assert (await http("GET", "/api")).status == 200
            stale = first.admin_token.reveal()
            assert (await http("GET", "/api", token=stale)).status == 401
        await server.stop()

    run(scenario())


def test_tls_speaks_http_1_1_and_refuses_strangers(run: Run) -> None:
    async def scenario() -> None:
        async with DemoServer() as access:
            port = int(access.server.rpartition(":")[2])
            context = client_context(access)
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())

    run(scenario())


async def test_no_key_is_written_to_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with DemoServer():
        assert list(tmp_path.iterdir()) == []


async def test_secrets_do_not_show() -> None:
    async with DemoServer() as access:
        shown = repr(access)
        for secret in (access.admin_key_pem, access.admin_token, access.viewer_token):
            assert secret.reveal() not in shown


async def test_kubeconfig_has_a_context_for_each_user() -> None:
    async with DemoServer() as access:
        config = access.kubeconfig()
    names = [context["name"] for context in config["contexts"]]
    assert names == ["demo", "demo-token", "demo-viewer", "demo-anonymous"]
    assert config["current-context"] == "demo"
    assert json.loads(json.dumps(config)) == config


async def test_a_hook_sees_the_bytes_and_the_connection(tmp_path: Path) -> None:
    seen: list[Arrival] = []
    bodies: list[bytes] = []

    async def record(arrival: Arrival) -> HookResponse | None:
        seen.append(arrival)
        bodies.append(await arrival.body())
        return None

    async with DemoServer(on_request=record) as access:
        async with Http.open(access, tmp_path / "client.pem") as http:
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews?x=%2f"
            for _ in range(2):
                answer = await http("POST", path, b"{}", headers={"X-Mixed-Case": "1"})
                assert answer.status == 201
        async with Http.open(access) as http:
            await http("GET", "/version")
    assert [(a.method, a.common_name, a.connection) for a in seen] == [
        ("POST", "admin", 1),
        ("POST", "admin", 1),
        ("GET", None, 2),
    ]
    assert seen[0].target.endswith(b"selfsubjectreviews?x=%2f")
    assert (b"X-Mixed-Case", b"1") in seen[0].headers
    assert bodies == [b"{}", b"{}", b""]


async def test_a_hook_answers_in_the_servers_place() -> None:
    async def teapot(_: Arrival) -> HookResponse | None:
        return HookResponse(status=418, headers=(("X-A", "1"), ("X-A", "2")), body=b"short")

    async with (
        DemoServer(on_request=teapot) as access,
        Http.open(access) as http,
        http.session.get("/version") as response,
    ):
        assert response.status == 418
        assert response.headers.getall("X-A") == ["1", "2"]
        assert await response.read() == b"short"


async def test_a_hook_can_abort_or_speak_past_http() -> None:
    async def misbehave(arrival: Arrival) -> HookResponse | None:
        if arrival.target == b"/raw":
            arrival.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")
            arrival.close()
        else:
            arrival.abort()
        return None

    async with DemoServer(on_request=misbehave) as access, Http.open(access) as http:
        with pytest.raises(aiohttp.ClientError):
            await http("GET", "/abort")
        with pytest.raises(aiohttp.ClientPayloadError):
            await http("GET", "/raw")


async def test_a_hook_reads_a_large_body_in_chunks() -> None:
    size = 0

    async def measure(arrival: Arrival) -> HookResponse | None:
        nonlocal size
        async for chunk in arrival.chunks():
            size += len(chunk)
        return HookResponse(status=200)

    async with DemoServer(on_request=measure) as access, Http.open(access) as http:
        upload = io.BytesIO(bytes(20_000_000))
        async with http.session.put("/upload", data=upload) as response:
            assert response.status == 200
    assert size == 20_000_000
