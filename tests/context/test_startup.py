"""What a person is told of certificates, plugins and the server when the proxy starts."""

import datetime as dt
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from kubelatch.config import settings
from kubelatch.context.assembly import build_generation, load_configuration
from kubelatch.context.startup import startup_problems
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream

NOW = dt.datetime.now(tz=dt.UTC)
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


async def problems(tmp_path: Path, content: dict[str, Any]) -> list[str]:
    path = write(tmp_path / "config", content)
    chosen = settings.from_values(settings.parse([f"--kubeconfig={path}"], {}))
    environ = {"PATH": str(tmp_path)}
    config = load_configuration(chosen, environ)
    generation = build_generation(config, chosen, environ)
    try:
        return [problem async for problem in startup_problems(config, generation, environ)]
    finally:
        await generation.close()


async def nothing(connection: Connection) -> None:
    await connection.reader.read()


async def test_where_nothing_is_wrong_nothing_is_said_nor_sent(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(nothing, authority, require_certificate=True) as upstream:
        content = kubeconfig(upstream.url, authority, identity=authority.client())
        assert await problems(tmp_path, content) == []
        await eventually(lambda: len(upstream.connections) == 1)
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "expired at"), (3, "expires at"), (30, "")], ids=str
)
async def test_a_certificate_that_expires(
    tmp_path: Path, authority: Authority, days: int, words: str
) -> None:
    ends = NOW + dt.timedelta(days=days)
    async with ScriptedUpstream(nothing, authority) as upstream:
        content = kubeconfig(upstream.url, authority, identity=authority.client("me", ends))
        found = await problems(tmp_path, content)
    assert [f"the client certificate {words} " in each for each in found] == [True] * bool(words)


async def test_a_dead_server(tmp_path: Path, authority: Authority) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        content = kubeconfig(f"https://127.0.0.1:{port}", authority, user={"token": "t"})
        [problem] = await problems(tmp_path, content)
    assert problem.startswith(f"connection to 127.0.0.1:{port} refused. Is the API server running")


async def test_a_server_of_another_authority(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(nothing, Authority()) as upstream:
        [problem] = await problems(tmp_path, kubeconfig(upstream.url, authority))
    assert "certificate" in problem


async def test_a_missing_plugin_is_named_and_one_that_is_there_is_not_run(
    tmp_path: Path, authority: Authority
) -> None:
    ran = tmp_path / "ran"
    plugin = tmp_path / "login"
    plugin.write_text(f"#!/bin/sh\ntouch {ran}\n")
    plugin.chmod(0o700)
    async with ScriptedUpstream(nothing, authority) as upstream:
        found = [
            await problems(
                tmp_path,
                kubeconfig(upstream.url, authority, user={"exec": {**PLUGIN, "command": command}}),
            )
            for command in ("login", "logon")
        ]
    assert found == [[], ["the exec plugin logon is not on PATH: nothing can be authenticated"]]
    assert not ran.exists()


async def test_a_plugin_may_bring_the_certificate_that_the_server_wants(
    tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "login").touch(mode=0o700)
    user = {"exec": {**PLUGIN, "command": "login"}}
    upstream = ScriptedUpstream(nothing, authority, require_certificate=True)
    # With TLS 1.3 a handshake ends before the server has judged the client's certificate.
    assert upstream._context is not None
    upstream._context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with upstream:
        assert await problems(tmp_path, kubeconfig(upstream.url, authority, user=user)) == []
