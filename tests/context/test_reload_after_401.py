"""A 401 makes the proxy look at the files: whoever has logged in again need not ask again."""

import asyncio
from pathlib import Path

import pytest

from kubelatch.context.reload import Reloader
from kubelatch.kubeconfig import TrackedFiles
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, ok

UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def only_new(connection: Connection) -> None:
    """Accept the new token alone."""
    while True:
        request = await connection.request()
        if request.values("authorization") != ["Bearer new"]:
            await connection.send(UNAUTHORIZED)
        elif request.values("upgrade"):
            await connection.send(SWITCH + b"hello")
            return
        else:
            await connection.send(ok(request.body or b"good"))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[TrackedFiles]:
    """Each look at the files."""
    found: list[TrackedFiles] = []
    changed = TrackedFiles.changed

    def look(files: TrackedFiles) -> bool:
        found.append(files)
        return changed(files)

    monkeypatch.setattr(TrackedFiles, "changed", look)
    return found


@pytest.fixture(autouse=True)
def _seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a 401 lets it look."""
    defaults = Reloader.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(Reloader.__init__, "__kwdefaults__", {**defaults, "interval": 1000.0})


@pytest.mark.parametrize("kind", ["token", "tokenFile"])
async def test_a_rotated_token_costs_no_request(
    tmp_path: Path, authority: Authority, kind: str
) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    def user(text: str) -> dict[str, str]:
        return {"token": text} if kind == "token" else {"tokenFile": str(token)}

    async with ScriptedUpstream(only_new, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user=user("old"))
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            assert (await client.get("/api")).status == 401
            token.write_text("new")
            write(tmp_path / "kubeconfig", kubeconfig(upstream.url, authority, user=user("new")))
            await client.send(
                b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
            )
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"body")


async def test_an_upgrade_before_its_101_is_asked_for_again(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(only_new, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "old"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            write(
                tmp_path / "kubeconfig", kubeconfig(upstream.url, authority, user={"token": "new"})
            )
            await client.send(
                b"GET /api/v1/watch/pods HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\n\r\n"
            )
            assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
            assert await client.reader.readexactly(5) == b"hello"


async def test_a_request_is_not_repeated_at_another_server(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        ScriptedUpstream(only_new, authority) as old,
        ScriptedUpstream(only_new, authority) as new,
    ):
        config = kubeconfig(old.url, authority, user={"token": "old"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            write(tmp_path / "kubeconfig", kubeconfig(new.url, authority, user={"token": "new"}))
            assert (await client.get("/api", method="DELETE")).status == 401
            assert new.requests == []
            assert (await client.get("/api")).status == 200


async def test_many_refused_requests_share_a_look(
    tmp_path: Path, authority: Authority, looks: list[TrackedFiles]
) -> None:
    arrived = asyncio.Barrier(20)

    async def together(connection: Connection) -> None:
        await connection.request()
        async with asyncio.timeout(10):
            await arrived.wait()
        await connection.send(UNAUTHORIZED)

    async with ScriptedUpstream(together, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "old"})
        async with proxy_in_loop(tmp_path, config) as app:
            clients = [await Client.connect(app.name) for _ in range(20)]
            answers = await asyncio.gather(*(client.get("/api") for client in clients))
            for client in clients:
                client.close()
    assert {answer.status for answer in answers} == {401}
    # Those that come while one is in flight share the next.
    assert 1 <= len(looks) <= 10


async def test_a_client_s_own_credential_is_its_own_business(
    tmp_path: Path, authority: Authority, looks: list[TrackedFiles]
) -> None:
    async with ScriptedUpstream(only_new, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "old"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            await client.send(
                b"GET /api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\n\r\n"
            )
            assert (await client.answer()).status == 401
        assert len(upstream.requests) == 1
    assert looks == []
