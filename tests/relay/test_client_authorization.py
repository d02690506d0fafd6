"""A client's own credential beside our client certificate.

Kubernetes takes a client certificate for who it is that asks, and never looks at the token: what
brings its own goes out on a connection without our certificate.
"""

import asyncio
import contextlib
import json
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok, server_context
from tests.upstream.tls_peer import TlsPeer

MINE = "Authorization: Bearer mine"
WEBSOCKET = "Connection: Upgrade", "Upgrade: websocket"
IN_PROTOCOL = (
    "Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.bWluZQ"
)
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


def seen(upstream: ScriptedUpstream) -> list[tuple[str, list[str]]]:
    """The certificate's name and the Authorization of each request, by connection."""
    return [
        (connection.client_name, request.values("authorization"))
        for connection in upstream.connections
        for request in connection.requests
    ]


async def switching(connection: Connection) -> None:
    await connection.head()
    await connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    await connection.reader.read()


async def test_it_goes_on_a_connection_without_our_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            for fields in [(), (MINE,), (), (MINE,), ("Authorization: Basic eDp5",), (MINE,), ()]:
                assert (await client.get("/api", *fields)).status == 200
        assert seen(upstream) == [
            *[("admin", [])] * 3,
            ("", ["Bearer mine"]),
            ("", ["Bearer mine"]),
            ("", ["Basic eDp5"]),
            ("", ["Bearer mine"]),
        ]
        assert len(upstream.connections) == 2, "each is kept for the next of its kind"


@pytest.mark.parametrize(
    ("field", "name"), [(MINE, ""), (IN_PROTOCOL, ""), ("Authorization:", "admin"), ("", "admin")]
)
async def test_an_upgrade_too(authority: Authority, tmp_path: Path, field: str, name: str) -> None:
    async with ScriptedUpstream(switching, authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            answer = await client.get("/api", *WEBSOCKET, *filter(None, [field]))
            assert answer.status == 101
        assert [connection.client_name for connection in upstream.connections] == [name]


async def test_a_token_in_a_websockets_protocol_is_not_joined_by_ours(
    authority: Authority, tmp_path: Path
) -> None:
    async with ScriptedUpstream(switching, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "ours"})
        async with proxy_in_loop(tmp_path, config) as app:
            async with client_of(app) as client:
                assert (await client.get("/api", *WEBSOCKET, IN_PROTOCOL)).status == 101
            async with client_of(app) as client:
                assert (await client.get("/api", *WEBSOCKET)).status == 101
        assert seen(upstream) == [("", []), ("", ["Bearer ours"])]


@pytest.mark.parametrize("fields", [(), WEBSOCKET], ids=["plain", "upgrade"])
async def test_a_401_to_it_says_nothing_of_our_credential(
    authority: Authority, tmp_path: Path, fields: tuple[str, ...]
) -> None:
    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            await connection.send(UNAUTHORIZED if request.values("authorization") else ok())

    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
        async with proxy_in_loop(tmp_path, config) as app:
            async with client_of(app) as client:
                assert (await client.get("/api")).status == 200
            async with client_of(app) as client:
                assert (await client.get("/api", MINE, *fields)).status == 401
            async with client_of(app) as client:
                assert (await client.get("/api")).status == 200
        assert seen(upstream) == [("admin", []), ("admin", []), ("", ["Bearer mine"])]
        assert len(upstream.connections) == 2


@pytest.mark.parametrize(("flag", "status"), [("replace", 200), ("refuse", 403)])
async def test_client_auth_decides_before(
    authority: Authority, tmp_path: Path, flag: str, status: int
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
        flags = [f"--client-auth={flag}"]
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            assert (await client.get("/api", MINE)).status == status
        assert seen(upstream) == ([("admin", [])] if status == 200 else [])


async def test_configured_impersonation_holds_for_it(authority: Authority, tmp_path: Path) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
        async with proxy_in_loop(tmp_path, config, "--as=viewer") as app, client_of(app) as client:
            assert (await client.get("/api", MINE)).status == 200
        assert seen(upstream) == [("", ["Bearer mine"])]
        assert upstream.requests[0].values("impersonate-user") == ["viewer"]


async def test_without_a_certificate_of_ours_all_share_connections(
    authority: Authority, tmp_path: Path
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "ours"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            for fields in [(), (MINE,), ()]:
                assert (await client.get("/api", *fields)).status == 200
        assert len(upstream.connections) == 1
        assert [authorization for _, [authorization] in seen(upstream)] == [
            "Bearer ours",
            "Bearer mine",
            "Bearer ours",
        ]


async def test_it_needs_no_credential_of_ours(authority: Authority, tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/false",
        "interactiveMode": "Never",
    }
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"exec": plugin})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            assert (await client.get("/api", MINE)).status == 200
            assert (await client.get("/api")).status == 503


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_wants_a_certificate_of_everyone_is_explained(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = server_context(authority, require_certificate=True)
    context.maximum_version = version

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio's own server would close without its alert.
        peer = TlsPeer(context, reader, writer)
        with contextlib.suppress(ssl.SSLError):
            await peer.handshake()
        await peer.send(peer.unsent())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = kubeconfig(url, authority, identity=authority.client("admin"))
    async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
        answer = await client.get("/api", MINE)
    server.close()
    assert answer.status == 502
    message = json.loads(answer.body)["message"]
    assert "requires a client certificate" in message
    assert "--client-auth=replace" in message


async def test_the_log_says_whose_credential_it_was(authority: Authority, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client("admin"))
        flags = f"--log-requests={log}", "--log-format=json"
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            await client.get("/api", MINE)
            await client.get("/api")
            await eventually(lambda: log.exists() and log.read_text().count("\n") == 2)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["credential"] for line in lines] == ["client", "client-certificate"]
