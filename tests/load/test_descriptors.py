"""No file descriptors left: who comes waits, who is here gets an answer, and then it goes on."""

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.process.running import run
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import ProxyProcess, proxy_process
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .process import cpu_seconds, descriptors, limits

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


@pytest.fixture
async def config(tmp_path: Path, authority: Authority) -> AsyncIterator[str]:
    """The flag that names a kubeconfig of an API server."""
    async with ScriptedUpstream(answering(ok()), authority) as server:
        path = tmp_path / "config"
        yield f"--kubeconfig={write(path, kubeconfig(server.url, authority, user={'token': 't'}))}"


async def script(connection: Connection) -> None:
    """Watches, and short answers whose connection cannot be used again."""
    request = await connection.request()
    if "watch" in request.line:
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await connection.reader.read()
    else:
        await connection.send(ok(b"{}", "Connection: close"))


@asynccontextmanager
async def running(
    directory: Path, authority: Authority, *flags: str, host: str = "127.0.0.1"
) -> AsyncIterator[ProxyProcess]:
    """The command, once it has answered a request."""
    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url.replace("127.0.0.1", host), authority, user={"token": "t"})
        path = write(directory / "kubeconfig", config)
        flags = ("--allow-core-dumps", *flags)  # who is no root may count its descriptors
        async with proxy_process(f"--kubeconfig={path}", "--port=0", *flags) as proxy:
            assert await status(proxy) == 200
            yield proxy


async def status(proxy: ProxyProcess) -> int:
    async with await Client.connect(proxy.address) as client:
        return (await client.get("/api")).status


def leave_free(proxy: ProxyProcess, count: int) -> None:
    """Let the process open so many descriptors more, and no further."""
    pid = proxy.process.pid
    most = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1
    hard = limits(pid)[1]
    # Numbers below the highest that are free count as well.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most + count, hard))


@LOOPS
async def test_who_comes_waits_until_somebody_leaves(
    loop: str, tmp_path: Path, authority: Authority
) -> None:
    async with running(tmp_path, authority, f"--loop={loop}") as proxy:
        pid = proxy.process.pid
        leave_free(proxy, 6)
        clients = [await Client.connect(proxy.address) for _ in range(40)]
        await eventually(lambda: descriptors(pid) == limits(pid)[0])
        before = cpu_seconds(pid)
        await asyncio.sleep(1)
        assert cpu_seconds(pid) - before < 0.3
        answered = await clients[0].get("/api")
        assert answered.status == 503
        assert answered.values("retry-after") == ["1"]
        # Kept connections would hold what the next attempt needs.
        assert answered.values("connection") == ["close"]
        assert json.loads(answered.body)["details"]["causes"][0]["reason"] == "no-descriptors"
        for client in clients[:-1]:
            client.close()
        assert (await clients[-1].get("/api")).status == 200
        clients[-1].close()
        proxy.process.terminate()
        assert await proxy.finish() == 0
    said = proxy.stderr.decode().splitlines()
    assert [line for line in said if "New clients have to wait" in line] == said[:1]
    assert "Too many open files" in said[0]
    assert "ulimit" in said[0]
    assert all("no-descriptors" in line for line in said[1:]), said


@LOOPS
async def test_a_name_that_cannot_be_looked_up_for_want_of_descriptors_is_not_blamed_on_dns(
    loop: str, tmp_path: Path, authority: Authority
) -> None:
    async with (
        running(tmp_path, authority, f"--loop={loop}", host="localhost") as proxy,
        await Client.connect(proxy.address) as client,
    ):
        pid = proxy.process.pid
        assert (await client.get("/api")).status == 200
        soft, hard = limits(pid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, hard))
        answer = await client.get("/api")
        assert answer.status == 503
        assert b"no-descriptors" in answer.body
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert await status(proxy) == 200


LOW = 100
LIMITED = ("/bin/sh", "-c", f'ulimit -Sn {LOW}; exec "$@"', "sh", sys.executable, "-m", "kubelatch")


async def test_it_may_open_as_many_descriptors_as_it_is_allowed_at_most(config: str) -> None:
    async with proxy_process(config, "--port=0", command=LIMITED) as proxy:
        soft, hard = limits(proxy.process.pid)
        assert soft == hard > LOW


async def test_an_exec_plugin_keeps_the_limit_that_we_were_given(
    tmp_path: Path, authority: Authority
) -> None:
    # The limit comes just after the start.
    plugin = f"""
        while [ "$(ulimit -Sn)" != {LOW} ]; do :; done
        echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
               "status": {{"token": "limited"}}}}'
    """
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh",
            "args": ["-c", plugin],
            "interactiveMode": "Never",
        }
    }
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        path = write(tmp_path / "kubeconfig", kubeconfig(upstream.url, authority, user=user))
        flags = (f"--kubeconfig={path}", "--port=0", "--exec-timeout=20s")
        async with proxy_process(*flags, command=LIMITED) as proxy:
            assert await status(proxy) == 200
        assert upstream.requests[0].values("authorization") == ["Bearer limited"]


async def test_a_command_keeps_the_limit_that_we_were_given(config: str) -> None:
    command = ("sh", "-c", "ulimit -Sn")
    ended = await run("run", config, "--", *command, command=LIMITED)
    assert (ended.code, ended.out) == (0, f"{LOW}\n")
