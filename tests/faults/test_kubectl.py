"""What a person at kubectl reads of a fault, with the real kubectl."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kubelatch.app import App
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import ScriptedUpstream

from .clients import exec_user
from .responses import silent

KUBECTL = Path(sys.executable).with_name("kubectl")
RAW = "get --raw /api/v1/namespaces/a/pods"
pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed")


async def kubectl(app: App, home: Path, command: str) -> tuple[int, str]:
    """Exit code and last line on standard error; soon, since nothing is tried ten times."""
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        f"--server=http://{app.name}",
        *command.split(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
    )
    async with asyncio.timeout(20):
        _, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stderr.decode().strip().splitlines()[-1]


@pytest.mark.parametrize("command", ["get pods", "delete pod x", "get --raw /api", RAW])
async def test_an_api_server_that_is_not_there(
    tmp_path: Path, authority: Authority, command: str
) -> None:
    config = kubeconfig("https://127.0.0.1:1", authority, user={"token": "t"})
    async with proxy_in_loop(tmp_path, config) as app:
        code, said = await kubectl(app, tmp_path, command)
    assert code == 1
    assert said.startswith("Error from server (")
    assert "connection to 127.0.0.1:1 refused. Is the API server running" in said


@pytest.mark.parametrize("command", ["get pods", RAW])
async def test_a_plugin_that_fails(tmp_path: Path, authority: Authority, command: str) -> None:
    """At once: with Retry-After, kubectl took 50 seconds, and had words of its own for a 503."""
    plugin = tmp_path / "plugin"
    plugin.write_text("#!/bin/sh\necho log in first >&2; exit 3\n")
    plugin.chmod(0o755)
    config = kubeconfig("https://127.0.0.1:1", authority, user=exec_user(plugin))
    async with proxy_in_loop(tmp_path, config) as app:
        code, said = await kubectl(app, tmp_path, command)
    assert code == 1
    assert "failed with exit code 3. Its standard error is in the proxy's log." in said
    assert "log in first" not in said


async def test_an_api_server_that_does_not_respond(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(silent, authority) as upstream:
        config: dict[str, Any] = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, "--response-timeout=100ms") as app:
            code, said = await kubectl(app, tmp_path, "get pods")
    assert code == 1
    assert "the API server has not begun to respond within 0.1 s" in said


async def test_a_request_that_the_proxy_refuses(tmp_path: Path, authority: Authority) -> None:
    config = kubeconfig("https://127.0.0.1:1", authority, user={"token": "t"})
    async with proxy_in_loop(tmp_path, config, "--reject-paths=^/api") as app:
        code, said = await kubectl(app, tmp_path, "get pods")
    assert code == 1
    assert "matches the pattern '^/api' of --reject-paths" in said
