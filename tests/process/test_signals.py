"""Signals, closed pipes, and being the first process of a container."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream, ok

from .running import COMMAND, ROOT

both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


class Slow:
    """An API server that answers in two parts, the second when it is told to."""

    def __init__(self, tmp_path: Path, authority: Authority) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.server = ScriptedUpstream(self._script, authority)
        self._path = tmp_path / "slow"
        self._authority = authority

    @property
    def config(self) -> str:
        config = kubeconfig(self.server.url, self._authority, user={"token": "t"})
        return f"--kubeconfig={write(self._path, config)}"

    async def _script(self, connection: Connection) -> None:
        while True:
            await connection.request()
            whole = ok(b"first, second")
            await connection.send(whole[:-6])
            self.begun.set()
            await self.go_on.wait()
            await connection.send(whole[-6:])


async def refuses(address: str) -> None:
    """Wait until nobody listens there any more."""
    while True:
        try:
            (await Client.connect(address)).close()
        except OSError:
            return
        await asyncio.sleep(0)


@both_signals
async def test_a_signal_ends_it_with_success(config: str, number: signal.Signals) -> None:
    async with proxy_process(config, "--port=0") as proxy:
        proxy.signal(number)
        assert await proxy.finish() == 0
    assert proxy.stdout == b""
    assert b"Traceback" not in proxy.stderr


@both_signals
async def test_what_is_in_flight_finishes(
    tmp_path: Path, authority: Authority, number: signal.Signals
) -> None:
    slow = Slow(tmp_path, authority)
    async with (
        slow.server,
        proxy_process(slow.config, "--port=0") as proxy,
        await Client.connect(proxy.address) as client,
    ):
        asking = asyncio.ensure_future(client.get("/api"))
        await slow.begun.wait()
        proxy.signal(number)
        await refuses(proxy.address)
        slow.go_on.set()
        answer = await asking
        assert (answer.status, answer.body, answer.whole) == (200, b"first, second", True)
        assert await client.reader.read() == b""
        assert await proxy.finish() == 0


async def test_idle_connections_do_not_delay_the_end(config: str) -> None:
    async with (
        proxy_process(config, "--port=0") as proxy,
        await Client.connect(proxy.address) as client,
    ):
        await client.get("/api")
        proxy.signal(signal.SIGTERM)
        assert await client.reader.read() == b""
        assert await proxy.finish() == 0


@both_signals
async def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, authority: Authority, number: signal.Signals
) -> None:
    slow = Slow(tmp_path, authority)
    async with (
        slow.server,
        proxy_process(slow.config, "--port=0") as proxy,
        await Client.connect(proxy.address) as client,
    ):
        asking = asyncio.ensure_future(client.get("/api"))
        await slow.begun.wait()
        proxy.signal(number)
        await refuses(proxy.address)
        proxy.signal(number)
        assert await proxy.finish() == 0
        assert not (await asking).whole


async def test_a_second_signal_leaves_no_socket_file(tmp_path: Path, authority: Authority) -> None:
    slow, path = Slow(tmp_path, authority), tmp_path / "s"
    async with (
        slow.server,
        proxy_process(slow.config, f"-u{path}") as proxy,
        await Client.connect(str(path)) as client,
    ):
        asking = asyncio.ensure_future(client.get("/api"))
        await slow.begun.wait()
        proxy.signal(signal.SIGTERM)
        await refuses(str(path))
        proxy.signal(signal.SIGTERM)
        assert await proxy.finish() == 0
        await asking
    assert not path.exists()


@pytest.mark.timeout(20)
async def test_the_drain_has_an_end(tmp_path: Path, authority: Authority) -> None:
    slow = Slow(tmp_path, authority)
    async with (
        slow.server,
        proxy_process(slow.config, "--port=0", "--drain-timeout=10ms") as proxy,
        await Client.connect(proxy.address) as client,
    ):
        asking = asyncio.ensure_future(client.get("/api"))
        await slow.begun.wait()
        proxy.signal(signal.SIGTERM)
        assert await proxy.finish() == 0
        assert not (await asking).whole


async def test_hangup_does_not_end_it(config: str) -> None:
    async with proxy_process(config, "--port=0") as proxy:
        proxy.signal(signal.SIGHUP)
        async with await Client.connect(proxy.address) as client:
            assert (await client.get("/api")).status == 200


async def test_it_serves_on_when_nobody_reads_its_output(config: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as nobody:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, config, f"-u{tmp_path / 's'}", stdout=nobody, stderr=nobody, cwd=ROOT
        )
    await _serves(process, tmp_path / "s")
    process.terminate()
    assert await process.wait() == 0


async def _serves(process: asyncio.subprocess.Process, path: Path) -> None:
    """Wait until it listens; then it answers, whatever it has to say meanwhile."""
    client: Client | None = None
    while client is None:
        assert process.returncode is None
        with contextlib.suppress(OSError):
            client = await Client.connect(str(path))
        await asyncio.sleep(0.01)
    async with client:
        assert (await client.get("/api")).status == 200
        assert (await client.get("/api/v1/pods/a/exec")).status == 403


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
async def test_closed_descriptors_are_harmless(config: str, tmp_path: Path, closed: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'exec "$0" "$@" {closed}', *COMMAND, config, f"-u{tmp_path / 's'}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        await _serves(process, tmp_path / "s")
    finally:
        process.terminate()
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


@contextlib.contextmanager
def first_process(config: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """The command as process 1 of its own namespace, its number outside, and its address."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare here")
    alone = [unshare, "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespaces here")
    process = subprocess.Popen(
        [*alone, *COMMAND, f"--kubeconfig={config}", "--port=0"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    with process, process.stdout:
        line = process.stdout.readline().decode()
        assert line.startswith("Starting to serve on ")
        [number] = children(process.pid)
        try:
            yield process, number, line.split()[-1]
        finally:
            os.kill(number, signal.SIGTERM)


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_as_the_first_process_of_a_container_a_signal_ends_it_with_success(tmp_path: Path) -> None:
    config = write(tmp_path / "c", kubeconfig("https://127.0.0.1:1", user={"token": "t"}))
    with first_process(config) as (process, _, _):
        pass
    assert process.returncode == 0


async def test_as_the_first_process_it_waits_for_what_plugins_leave_behind(
    tmp_path: Path, authority: Authority, upstream: ScriptedUpstream
) -> None:
    """A helper that ends when the plugin, which has not waited for it, is gone."""
    version = "client.authentication.k8s.io/v1"
    credential = f'{{"apiVersion":"{version}","kind":"ExecCredential","status":{{"token":"t"}}}}'
    script = f"sleep 0.1 >&- 2>&- & echo '{credential}'"
    plugin = {
        "apiVersion": version,
        "command": "/bin/sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    }
    config = write(tmp_path / "c", kubeconfig(upstream.url, authority, user={"exec": plugin}))
    with first_process(config) as (_, number, address):
        async with await Client.connect(address) as client:
            assert (await client.get("/api")).status == 200
        await eventually(lambda: not children(number), 10)
