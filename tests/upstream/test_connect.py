"""Through proxies: plain requests and tunnels alike, with TLS to the API server inside."""

import asyncio
import base64
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.forward_proxy import forward_proxy
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok, server_context

KINDS = ["http", "https", "socks5"]


async def switching(connection: Connection) -> None:
    request = await connection.head()
    if not request.values("upgrade"):
        await connection.send(ok(b"plain"))
        return
    await connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
    )
    while data := await connection.reader.read(65536):
        await connection.send(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("login", ["", "me:p%40ss@"], ids=["open", "with a password"])
async def test_requests_and_tunnels_take_the_same_way(
    tmp_path: Path, authority: Authority, kind: str, login: str
) -> None:
    context = server_context(authority) if kind == "https" else None
    async with (
        ScriptedUpstream(switching, authority, require_certificate=True) as upstream,
        forward_proxy(kind, context) as through,
    ):
        url = f"{kind}://{login}127.0.0.1:{through.port}"
        config = kubeconfig(
            upstream.url, authority, identity=authority.client(), cluster={"proxy-url": url}
        )
        async with proxy_in_loop(tmp_path, config) as app:
            async with client_of(app) as client:
                assert (await client.get("/api")).body == b"plain"
            async with client_of(app) as client:
                upgrade = ("Connection: Upgrade", "Upgrade: SPDY/3.1")
                assert (await client.get("/api", *upgrade, method="POST")).status == 101
                await client.send(b"x" * 500_000)
                assert len(await client.reader.readexactly(500_000)) == 500_000
    assert through.asked == [f"127.0.0.1:{upstream.port}"] * 2
    if login:
        basic = "Basic " + base64.b64encode(b"me:p@ss").decode()
        assert set(through.credentials) == {"me:p@ss" if kind == "socks5" else basic}
    else:
        assert through.credentials == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        pytest.param(b"HTTP/1.1 403 No\r\n\r\n", "status 403", id="refused"),
        pytest.param(b"HTTP/1.1 407 No\r\n\r\n", "credentials", id="wants a login"),
        pytest.param(b"SSH-2.0-x\r\n", "with valid HTTP", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200", "closed the connection", id="cut"),
    ],
)
async def test_a_proxy_that_will_not_is_named(
    tmp_path: Path, authority: Authority, refusal: bytes, words: str
) -> None:
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        forward_proxy(refusal=refusal) as through,
    ):
        url = f"http://me:s3cret@127.0.0.1:{through.port}"
        config = kubeconfig(upstream.url, authority, cluster={"proxy-url": url})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            answer = await client.get("/api")
    assert answer.status == 502
    assert words in answer.body.decode()
    assert f"127.0.0.1:{through.port}" in answer.body.decode()
    assert b"s3cret" not in answer.body
    assert upstream.requests == []


@pytest.mark.parametrize(
    "granted",
    [
        pytest.param(b"HTTP/1.0 200 OK\n\n", id="lines that end with LF"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 9\r\n\r\n", id="a length"),
    ],
)
async def test_a_proxy_of_few_lines_is_understood(
    tmp_path: Path, authority: Authority, granted: bytes
) -> None:
    async with (
        ScriptedUpstream(answering(ok(b"plain")), authority) as upstream,
        forward_proxy() as through,
    ):
        through.granted = granted
        url = f"http://127.0.0.1:{through.port}"
        config = kubeconfig(upstream.url, authority, cluster={"proxy-url": url})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            answer = await client.get("/api")
    assert (answer.status, answer.body) == (200, b"plain")


async def test_a_socks_proxy_that_refuses_says_why(tmp_path: Path, authority: Authority) -> None:
    refused = b"\5\2\0\1\0\0\0\0\0\0"
    async with forward_proxy("socks5", refusal=refused) as through:
        url = f"socks5://me:s3cret@127.0.0.1:{through.port}"
        config = kubeconfig("https://api.test:6443", authority, cluster={"proxy-url": url})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            answer = await client.get("/api")
    assert answer.status == 502
    assert b"not connect to api.test:6443 (Connection not allowed by ruleset)" in answer.body
    assert b"s3cret" not in answer.body


async def test_a_proxy_that_is_not_there_is_named(tmp_path: Path, authority: Authority) -> None:
    config = kubeconfig("https://127.0.0.1:6443", authority)
    async with (
        proxy_in_loop(tmp_path, config, "--proxy-url=http://127.0.0.1:1") as app,
        client_of(app) as client,
    ):
        answer = await client.get("/api")
    assert answer.status == 502
    assert b"127.0.0.1:1 refused" in answer.body


async def test_a_client_that_leaves_while_a_proxy_stalls_leaves_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    reached = asyncio.Event()
    left = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        assert await reader.read() == b""
        left.set()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        config = kubeconfig("https://127.0.0.1:6443", authority)
        flag = f"--proxy-url=http://127.0.0.1:{port}"
        async with proxy_in_loop(tmp_path, config, flag) as app:
            async with client_of(app) as client:
                await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await reached.wait()
            async with asyncio.timeout(1):
                await left.wait()
