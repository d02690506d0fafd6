"""Exec, attach, port-forward and cp of the real kubectl, over WebSocket and over SPDY."""

import asyncio
import hashlib
import os
import pty
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubelatch.demo import DemoServer
from kubelatch.demo.arrivals import Arrival, HookResponse

from . import commands  # noqa: F401 - fills the table of commands
from .conftest import Run
from .support import SPDY, Kubectl

BULK = 64 * 1024 * 1024


# Each loop and each protocol, but not each with each: neither knows of the other.
PAIRED = pytest.mark.parametrize(
    ("run", "protocol"), [("asyncio", "websocket"), ("uvloop", "spdy/3.1")], indirect=True
)


@pytest.fixture
def protocol(request: pytest.FixtureRequest) -> str:
    """What kubectl is made to upgrade to."""
    return str(request.param)


@asynccontextmanager
async def connected(protocol: str, home: Path) -> AsyncIterator[Kubectl]:
    """kubectl and a demo; at the end, nothing but the one protocol was used to upgrade."""
    upgrades: set[str] = set()

    async def record(arrival: Arrival) -> HookResponse | None:
        upgrades.update(value.lower() for value in arrival.header("Upgrade"))
        return None

    async with DemoServer(on_request=record, log_interval=0.05, start_delay=0.01) as access:
        yield Kubectl(access, home, SPDY if protocol == "spdy/3.1" else {})
    assert upgrades == {protocol}


@PAIRED
def test_exec_carries_output_errors_and_exit_code(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(protocol, tmp_path) as kubectl:
            script = "echo out; echo wrong >&2; exit 7"
            result = await kubectl("exec", "deploy/hello", "--", "sh", "-c", script)
            assert (result.code, result.out) == (7, "out\n")
            assert result.err.splitlines()[0] == "wrong"

    run(scenario())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("yes | head -c 6 | wc -c", "6\n", id="pipeline"),
        pytest.param("X=1; echo \"$X\" '$X'; false; echo $?", "1 $X\n1\n", id="variables"),
        pytest.param("echo a >/tmp/f; echo b >>/tmp/f; cat </tmp/f", "a\nb\n", id="redirections"),
        pytest.param("cd /etc && ls; test -d /no || pwd", "hostname\nos-release\n/etc\n",
                     id="lists"),
        pytest.param("nosuch 2>&1; ls /no 2>&1", "sh: nosuch: not found\n"
                     "ls: /no: No such file or directory\n", id="errors"),
        pytest.param("for i in 1 $(echo 2); do echo $i; done", "1\n2\n", id="for"),
        pytest.param('i=0; while [ $i -lt 2 ]; do i=$((i+1)); echo "$i"; done', "1\n2\n",
                     id="while"),
        pytest.param("exit 3 | echo still here", "still here\n", id="exit in a pipeline"),
    ],
)  # fmt: skip
async def test_the_shell_knows_enough(kubectl: Kubectl, text: str, expected: str) -> None:
    result = await kubectl("exec", "deploy/hello", "--", "sh", "-c", text)
    assert result.out == expected


@PAIRED
def test_the_end_of_stdin_reaches_the_command(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(protocol, tmp_path) as kubectl:
            out = await kubectl.ok("exec", "-i", "deploy/hello", "--", "cat", stdin=b"hi\n")
            assert out == "hi\n"

    run(scenario())


@PAIRED
def test_bulk_input_arrives_whole(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        data = os.urandom(BULK // 4) * 4
        async with connected(protocol, tmp_path) as kubectl:
            out = await kubectl.ok("exec", "-i", "deploy/hello", "--", "sha256sum", stdin=data)
            assert out.split()[0] == hashlib.sha256(data).hexdigest()

    run(scenario())


@PAIRED
def test_bulk_output_arrives_whole(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(protocol, tmp_path) as kubectl:
            command = ("exec", "deploy/hello", "--", "head", "-c", str(BULK), "/dev/zero")
            assert len(await kubectl.ok(*command)) == BULK

    run(scenario())


@PAIRED
def test_a_command_that_is_not_there_is_an_error(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(protocol, tmp_path) as kubectl:
            result = await kubectl("exec", "deploy/hello", "--", "nosuch")
            assert result.code == 1
            assert 'exec: "nosuch": executable file not found' in result.err

    run(scenario())


@PAIRED
def test_a_shell_reads_its_script_from_stdin(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(protocol, tmp_path) as kubectl:
            result = await kubectl(
                "exec", "-i", "deploy/hello", "--", "sh", stdin=b"echo a\nexit 4"
            )
            assert (result.code, result.out) == (4, "a\n")

    run(scenario())


@PAIRED
def test_a_terminal_echoes_edits_and_interrupts(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            connected(protocol, tmp_path) as kubectl,
            on_terminal(kubectl, "exec", "-it", "deploy/hello", "--", "sh") as (process, terminal),
        ):
            await terminal.expect(b"/ # ")
            terminal.type(b"echo hex\x7fllo\r")
            await terminal.expect(b"echo hex\b \bllo\r\nhello\r\n/ # ")
            terminal.type(b"sleep 1000\r")
            await terminal.expect(b"sleep 1000\r\n")
            terminal.type(b"\x03")
            await terminal.expect(b"^C\r\n/ # ")
            terminal.type(b"\x04")
            assert await process.wait() == 130

    run(scenario())


class Terminal:
    """The keyboard and screen of a program."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    async def expect(self, text: bytes) -> None:
        """Wait until ``text`` is on the screen, and forget all up to it."""
        while text not in self._seen:
            self._changed.clear()
            await self._changed.wait()
        self._seen = self._seen.partition(text)[2]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        try:
            self._seen += os.read(self._descriptor, 4096)
        except OSError:  # how Linux says that the program has closed its side
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._changed.set()


@asynccontextmanager
async def on_terminal(
    kubectl: Kubectl, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Terminal]]:
    """kubectl on a pseudo-terminal."""
    master, slave = pty.openpty()
    terminal = Terminal(master)
    try:
        async with kubectl.started(*arguments, stream=slave) as process:
            os.close(slave)
            yield process, terminal
    finally:
        terminal.close()


@PAIRED
def test_attach_shows_what_the_container_writes(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            connected(protocol, tmp_path) as kubectl,
            kubectl.started("attach", "deploy/hello") as attached,
        ):
            assert attached.stdout is not None
            for _ in range(3):
                assert (await attached.stdout.readline()).startswith(b"hello: ")

    run(scenario())


@PAIRED
def test_copy_there_and_back_keeps_every_byte(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        (source / "below").mkdir(parents=True)
        (source / "large").write_bytes(os.urandom(3_000_000))
        (source / "below" / "small").write_text("small")
        async with connected(protocol, tmp_path) as kubectl:
            pod = (await kubectl.ok("get", "pods", "-o", "name")).strip().removeprefix("pod/")
            await kubectl.ok("cp", str(source), f"{pod}:/tmp/there")
            await kubectl.ok("cp", f"{pod}:/tmp/there", str(target))
        assert (target / "large").read_bytes() == (source / "large").read_bytes()
        assert (target / "below" / "small").read_text() == "small"

    run(scenario())


async def test_kubectl_run_ends_when_its_command_does(kubectl: Kubectl) -> None:
    run = ("run", "one", "--rm", "-i", "--restart=Never", "--image=i", "--quiet", "--")
    ended = await kubectl(*run, "sh", "-c", "echo hi; cat; exit 3", stdin=b"typed\n")
    assert (ended.code, ended.out) == (3, "hi\ntyped\n")


async def test_a_command_that_ends_is_done_or_started_again(kubectl: Kubectl) -> None:
    await kubectl.ok("run", "done", "--restart=Never", "--image=i", "--", "echo", "a")
    await kubectl.ok("run", "loop", "--image=i", "--", "sh", "-c", "echo b; exit 2")
    phase = "--for=jsonpath={.status.phase}=Succeeded"
    await kubectl.ok("wait", phase, "pod/done", "--timeout=10s")
    assert await kubectl.ok("logs", "done") == "a\n"
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff"
    await kubectl.ok("wait", f"--for={reason}", "pod/loop", "--timeout=10s")
    assert "Completed" in await kubectl.ok("get", "pod", "done")
    assert "CrashLoopBackOff" in await kubectl.ok("get", "pod", "loop")


async def test_the_log_of_a_command_can_be_followed_to_its_end(kubectl: Kubectl) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.05; done"
    await kubectl.ok("run", "count", "--restart=Never", "--image=i", "--", "sh", "-c", script)
    await kubectl.ok("wait", "--for=condition=ContainersReady=False", "pod/count")
    assert await kubectl.ok("logs", "-f", "count") == "1\n2\n3\n"


async def forwarded_port(process: asyncio.subprocess.Process) -> int:
    """The local port that ``kubectl port-forward`` chose."""
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    assert found is not None, line
    return int(found.group(1))


@PAIRED
def test_port_forward_reaches_the_page_time_and_again(
    run: Run, protocol: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with (
            connected(protocol, tmp_path) as kubectl,
            kubectl.started("port-forward", "-n", "shop", "svc/web", ":80") as forward,
        ):
            port = await forwarded_port(forward)
            for path in ("/one", "/two"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode())
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
                assert f"GET {path}".encode() in answer
                writer.close()
                await writer.wait_closed()

    run(scenario())


@PAIRED
def test_port_forward_echoes_in_bulk_on_many_connections(
    run: Run, protocol: str, tmp_path: Path
) -> None:
    data = os.urandom(1_000_000)

    async def echo(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        echoed = asyncio.create_task(reader.readexactly(len(data)))
        writer.write(data)
        await writer.drain()
        assert await echoed == data
        writer.close()
        await writer.wait_closed()

    async def scenario() -> None:
        async with (
            connected(protocol, tmp_path) as kubectl,
            kubectl.started("port-forward", "deploy/hello", ":7") as forward,
        ):
            port = await forwarded_port(forward)
            await asyncio.gather(*(echo(port) for _ in range(4)))

    run(scenario())


@PAIRED
def test_a_port_that_nobody_listens_on_refuses(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            connected(protocol, tmp_path) as kubectl,
            kubectl.started("port-forward", "deploy/hello", ":9") as forward,
        ):
            port = await forwarded_port(forward)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            assert forward.stderr is not None
            assert b"connection refused" in await forward.stderr.readline()

    run(scenario())


@PAIRED
def test_stopping_ends_open_streams_at_once(run: Run, protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        server = DemoServer()
        environment = SPDY if protocol == "spdy/3.1" else {}
        kubectl = Kubectl(await server.start(), tmp_path, environment)
        async with (
            kubectl.started("exec", "deploy/hello", "--", "yes") as endless,
            kubectl.started("port-forward", "deploy/hello", ":7") as forward,
        ):
            assert endless.stdout is not None
            assert await endless.stdout.readline() == b"y\n"
            await forwarded_port(forward)
            await server.stop()
            await asyncio.gather(endless.communicate(), forward.communicate())

    run(scenario())
