"""Socket activation and notification, with systemd's own tools or sockets on the other side."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubelatch.demo import DemoServer
from kubelatch.observe.access_log import LogWriter
from kubelatch.observe.program_log import LogHandler
from kubelatch.system.supervision import Supervisor
from kubelatch.system.systemd import Notifier, journal_mark, take_sockets
from tests.support.client import Client
from tests.support.clock import ManualSupervisor
from tests.support.kubeconfig import write
from tests.support.leaks import checkout
from tests.support.proxies import proxy_process

from .conftest import ROOT

UNITS = ROOT / "systemd"


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": address}

    async def received(self, beginning: str) -> dict[str, str]:
        """The next message that begins so; others are passed over."""
        while True:
            data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
            if data.startswith(beginning.encode()):
                return dict(line.split("=", 1) for line in data.decode().split("\n"))

    def received_now(self) -> list[str]:
        """All messages that are there."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = f"@kubelatch-{os.getpid()}" if request.param == "abstract" else f"{tmp_path}/notify"
    manager = Manager(address)
    yield manager
    manager.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_it_tells_its_life_from_ready_to_stopping(manager: Manager, loop: str) -> None:
    async with proxy_process(
        "--demo", "--port=0", f"--loop={loop}", "--drain-timeout=7s", environ=manager.environ
    ) as process:
        ready = await manager.received("READY=1")
        assert re.fullmatch(
            rf"Serving on {process.address}: context demo, server https://127.0.0.1:\d+",
            ready["STATUS"],
        )

        before = time.monotonic_ns() // 1000
        process.signal(signal.SIGHUP)
        reloading = await manager.received("RELOADING=1")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        await manager.received("READY=1")

        process.signal(signal.SIGTERM)
        stopping = await manager.received("STOPPING=1")
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 7_000_000
        assert await process.finish() == 0


async def test_the_status_says_why_a_changed_configuration_is_not_used(
    manager: Manager, tmp_path: Path
) -> None:
    async with DemoServer() as access:
        path = write(tmp_path / "config", access.kubeconfig())
        async with proxy_process(
            f"--kubeconfig={path}", "--port=0", environ=manager.environ
        ) as process:
            await manager.received("READY=1")
            path.write_text("not: [a, kubeconfig")
            process.signal(signal.SIGHUP)
            await manager.received("RELOADING=1")
            ready = await manager.received("READY=1")
            assert "the changed configuration is not used" in ready["STATUS"]
            assert "\n" not in ready["STATUS"]


async def test_keep_alives_come_twice_as_often_as_the_manager_asks(manager: Manager) -> None:
    environ = manager.environ | {"WATCHDOG_USEC": "3000000"}
    supervisor = ManualSupervisor()
    Notifier.from_environment(environ).watch(lambda: "well", supervisor)
    [(_, seconds, keep_alive)] = supervisor.parts
    assert seconds == 1.5
    assert manager.received_now() == ["WATCHDOG=1\nSTATUS=well"]
    keep_alive()
    assert manager.received_now() == ["WATCHDOG=1"]


async def test_keep_alives_go_on_for_as_long_as_it_serves(manager: Manager) -> None:
    environ = manager.environ | {"WATCHDOG_USEC": "20000"}
    async with proxy_process("--demo", "--port=0", environ=environ):
        for _ in range(5):
            await manager.received("WATCHDOG=1")


async def test_a_hung_event_loop_gives_no_sign_of_life(manager: Manager) -> None:
    environ = manager.environ | {"WATCHDOG_USEC": "20000"}
    notifier = Notifier.from_environment(environ)
    supervisor = Supervisor()
    notifier.watch(lambda: "well", supervisor)
    await manager.received("WATCHDOG=1")
    time.sleep(0.2)  # noqa: ASYNC251 -- the event loop hangs
    assert manager.received_now() == []
    await manager.received("WATCHDOG=1")
    await supervisor.stop()


async def test_a_watchdog_meant_for_another_process_is_left_alone(manager: Manager) -> None:
    environ = manager.environ | {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    notifier = Notifier.from_environment(environ)
    notifier.watch(lambda: "well", Supervisor())
    assert manager.received_now() == []
    assert environ == {}


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/nonexistent/notify"])
async def test_without_a_manager_that_can_be_told_nothing_happens(address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "soon"})
    notifier.ready(lambda: "well")
    notifier.stopping("over", 1)
    notifier.watch(lambda: "well", Supervisor())


def stderr_of(*flags: str, journal: bool) -> str:
    """What the command says on standard error, with and without the journal at its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stat = os.fstat(theirs.fileno())
        stream = f"{stat.st_dev}:{stat.st_ino if journal else stat.st_ino + 1}"
        subprocess.run(
            [sys.executable, "-m", "kubelatch", *flags],
            cwd=ROOT, stdin=subprocess.DEVNULL, stderr=theirs.fileno(), check=False,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "JOURNAL_STREAM": stream,
                 **checkout()},
            timeout=30,
        )  # fmt: skip
        theirs.close()
        with ours.makefile() as stream_of_lines:
            return stream_of_lines.read()


def test_the_journal_can_tell_warnings_from_errors() -> None:
    # An address that cannot be: it warns, then ends.
    flags = ("--demo", "--profile=x", "--address=192.0.2.1")
    warning, error = stderr_of(*flags, journal=True).splitlines()
    assert warning.startswith("<4>WARNING: --profile has no effect")
    assert error.startswith("<3>error: listen tcp")
    assert stderr_of("--nosuch", journal=True).startswith("<3>error: unknown flag: --nosuch")


def test_the_journal_names_context_and_server() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stat = os.fstat(theirs.fileno())
        with subprocess.Popen(
            [sys.executable, "-m", "kubelatch", "--demo", "--port=0"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs.fileno(),
            env={"PATH": os.environ["PATH"], "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}",
                 **checkout()},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            address = process.stdout.readline().decode().split()[-1]
            process.terminate()
            assert process.wait(timeout=30) == 0
        theirs.close()
        with ours.makefile() as lines:
            [line] = lines.read().splitlines()
    assert re.fullmatch(
        rf"<6>INFO: Serving on {address}: context demo, server https://127.0.0.1:\d+", line
    )


def test_only_the_journal_is_told_of_priorities() -> None:
    """A file or a pipe that was put in its place has the variable in its environment too."""
    text = stderr_of("--demo", "--profile=x", "--address=192.0.2.1", journal=False)
    assert text.startswith("WARNING: --profile has no effect")
    assert "\nerror: listen tcp" in text


def test_every_line_of_a_record_has_its_priority() -> None:
    reading, writing = os.pipe()
    with open(reading) as lines, open(writing, "wb") as stream:
        sink = LogWriter(f"/proc/self/fd/{stream.fileno()}")
        handler = LogHandler(sink, tracebacks=True, mark=journal_mark)
        try:
            raise KeyError("gone")
        except KeyError as error:
            trace = (KeyError, error, error.__traceback__)
        for level in (logging.CRITICAL, logging.ERROR, logging.INFO, logging.DEBUG):
            handler.emit(logging.LogRecord("x", level, "", 0, "said", (), None))
        handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, "fault", (), trace))
        sink.close()
        stream.close()
        received = lines.read().splitlines()
    assert received[:4] == [
        "<3>CRITICAL: said",
        "<3>ERROR: said",
        "<6>INFO: said",
        "<7>DEBUG: said",
    ]
    assert len(received) > 6
    assert all(line.startswith("<3>") for line in received[4:])


@asynccontextmanager
async def activated(
    tmp_path: Path, *flags: str, environ: dict[str, str] | None = None
) -> AsyncIterator[tuple[str, str]]:
    """A proxy behind ``systemd-socket-activate``: its TCP and its unix address."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not installed")
    path = str(tmp_path / "api.sock")
    # The tool wants a port by number; nobody else takes it between these lines and its start.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    passed = {"PYTHONPATH": str(ROOT / "proxy"), "HOME": str(tmp_path), **(environ or {})}
    process = await asyncio.create_subprocess_exec(
        "systemd-socket-activate", f"--listen={address}", f"--listen={path}",
        "--fdname=web:local", *(f"--setenv={name}={value}" for name, value in passed.items()),
        sys.executable, "-m", "kubelatch", *flags,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # It says on what it listens, line by line, before the first client may come.
        for _ in range(2):
            await process.stderr.readline()
        async with await Client.connect(path) as client:
            answer = await client.get("/version")
            assert answer.status == 200
        lines = [(await process.stdout.readline()).decode().split()[-1] for _ in range(2)]
        assert lines == [address, path]
        yield address, path
    finally:
        process.terminate()
        _, stderr = await process.communicate()
    assert process.returncode == 0, stderr
    # The file belongs to the manager.
    assert Path(path).is_socket()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_it_serves_the_sockets_it_is_given(tmp_path: Path, loop: str) -> None:
    async with activated(tmp_path, "--demo", f"--loop={loop}") as addresses:
        for address in addresses:
            async with await Client.connect(address) as client:
                assert (await client.get("/api/v1/namespaces")).status == 200


async def test_an_abstract_socket_is_for_its_own_user(tmp_path: Path) -> None:
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not installed")
    name = f"@{tmp_path}"
    process = await asyncio.create_subprocess_exec(
        "systemd-socket-activate", f"--listen={name}", f"--setenv=PYTHONPATH={ROOT}/proxy",
        f"--setenv=HOME={tmp_path}", sys.executable, "-m", "kubelatch", "--demo",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        await process.stderr.readline()
        async with await Client.connect(name) as client:
            assert (await client.get("/version")).status == 200
        assert (await process.stdout.readline()).decode().split()[-1] == name
        if os.geteuid() == 0:
            nobody = await asyncio.create_subprocess_exec(
                "curl", "-s", "--abstract-unix-socket", name[1:], "http://localhost/version",
                user=65534, cwd="/", stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await nobody.communicate()
            assert b"a process of user id 65534 may not use this proxy" in out
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


_PLUGIN = """#!{python}
import json, os, sys
fds = {{}}
for fd in os.listdir("/proc/self/fd"):
    try:
        fds[fd] = os.readlink(f"/proc/self/fd/{{fd}}")
    except OSError:
        pass
with open({dump!r}, "w") as stream:
    json.dump({{"environ": dict(os.environ), "fds": fds}}, stream)
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                  "status": {{"token": {token!r}}}}}))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_exec_plugins_inherit_neither_sockets_nor_variables(
    tmp_path: Path, loop: str
) -> None:
    dump, plugin = tmp_path / "dump.json", tmp_path / "plugin"
    async with DemoServer() as access:
        plugin.write_text(
            _PLUGIN.format(python=sys.executable, dump=str(dump), token=access.admin_token.reveal())
        )
        plugin.chmod(0o700)
        config = access.kubeconfig()
        config["users"][0]["user"] = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(plugin),
                "interactiveMode": "Never",
            }
        }
        path = write(tmp_path / "config", config)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        async with (
            activated(tmp_path, f"--kubeconfig={path}", f"--loop={loop}", environ=environ) as (
                address,
                _,
            ),
            await Client.connect(address) as client,
        ):
            assert (await client.get("/api/v1/namespaces")).status == 200
    seen = json.loads(dump.read_text())
    assert "PATH" in seen["environ"]
    assert not [
        name for name in seen["environ"] if name.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))
    ]
    # Standard input, output, error, and the directory that is being listed.
    assert len(seen["fds"]) <= 3
    assert not [target for fd, target in seen["fds"].items() if int(fd) > 2]


def test_sockets_meant_for_another_process_are_not_touched() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
    assert take_sockets(environ) == ()
    assert environ == {}


_TAKE = """
import os, socket, sys
from kubelatch.errors import ListenError
from kubelatch.system.systemd import take_sockets
os.dup2(int(sys.argv[1]), 3)
environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
try:
    ((name, sock),) = take_sockets(environ)
    print(name, sock.getsockname()[0], os.get_inheritable(3), environ)
except ListenError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kind", "received"),
    [
        pytest.param("tcp", "unknown 127.0.0.1 False {}", id="a-listening-socket"),
        pytest.param("udp", "not a listening stream socket", id="a-datagram-socket"),
        pytest.param("unbound", "not a listening stream socket", id="a-socket-not-listening"),
        pytest.param("file", "is no socket", id="a-file"),
    ],
)
def test_what_is_passed_must_be_a_listening_stream_socket(kind: str, received: str) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as sock,
        open(os.devnull) as null,
    ):
        if kind == "tcp":
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        fd = null.fileno() if kind == "file" else sock.fileno()
        out = subprocess.run(
            [sys.executable, "-c", _TAKE, str(fd)],
            check=True, capture_output=True, text=True, pass_fds=[fd], cwd=ROOT,
        ).stdout  # fmt: skip
    assert received in out


@pytest.mark.parametrize("unit", ["kubelatch.service", "kubelatch@.service"])
def test_the_system_unit_is_well_confined(unit: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager",
         UNITS / "system" / unit],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


def test_the_units_of_the_machine_and_of_a_policy_differ_in_the_policy_alone() -> None:
    one, many = (
        {line for line in (UNITS / "system" / name).read_text().splitlines() if line[:1] != "#"}
        for name in ("kubelatch.service", "kubelatch@.service")
    )
    assert one - many == {
        "Description=Kubernetes API on localhost",
        "ExecStart=/opt/kubelatch/bin/kubelatch",
        "EnvironmentFile=-/etc/kubelatch/environment",
        "LoadCredential=kubeconfig:/etc/kubelatch/kubeconfig",
        "LogsDirectory=kubelatch",
    }
    assert len(many - one) == len(one - many)
    assert all("%i" in line for line in many - one)


def test_drop_ins_and_units_agree_with_systemd(tmp_path: Path) -> None:
    """What the machine test verifies too, for places without containers."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in (UNITS / "system").iterdir():
        text = unit.read_text().replace("/opt/kubelatch/bin/kubelatch", sys.executable)
        (tmp_path / unit.name).write_text(text)
    drop_ins = tmp_path / "kubelatch.service.d"
    drop_ins.mkdir()
    for drop_in in (UNITS / "drop-ins").iterdir():
        shutil.copy(drop_in, drop_ins)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.glob("kubelatch*.s*t*")),
         tmp_path / "kubelatch.service", tmp_path / "kubelatch@.service"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
