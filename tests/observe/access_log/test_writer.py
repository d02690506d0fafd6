"""The log's file: what may happen to it, and what must not happen to traffic."""

import asyncio
import os
import resource
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kubelatch.errors import UsageError
from kubelatch.observe.access_log import STDERR, LogWriter
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process
from tests.support.upstream import ScriptedUpstream, answering, ok


class Reports:
    """What a sink reported; each can be waited for."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, text: str) -> None:
        with self._changed:
            self.reports.append(text)
            self._changed.notify_all()

    def until(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.reports) >= count, 10)
            return self.reports


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    sink = LogWriter(str(path))
    for number in range(1000):
        sink.write(b"%d\n" % number)
    sink.close()
    assert path.read_text() == "before\n" + "".join(f"{n}\n" for n in range(1000))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path / "no" / "log", id="no directory"),
        pytest.param(lambda path: path, id="a directory"),
    ],
)
def test_a_file_that_cannot_be_opened_is_said_at_start(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(UsageError, match=r"open .*: "):
        LogWriter(str(make(tmp_path)))


def test_a_full_disk_loses_lines_and_is_said_once() -> None:
    reports = Reports()
    sink = LogWriter("/dev/full", reports)
    sink.write(b"one\ntwo\n")
    assert reports.until(1) == ["the log /dev/full loses lines: no space left on device"]
    sink.write(b"three\n")
    sink.close()
    assert sink.lost == 3
    assert len(reports.reports) == 1


def test_a_disk_with_room_again_is_said_and_written_to(tmp_path: Path) -> None:
    reports = Reports()
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    sink = LogWriter(str(path), reports)
    sink.write(b"lost\n")
    reports.until(1)
    path.unlink()
    sink.reopen()
    sink.write(b"kept\n")
    sink.close()
    assert reports.reports[1] == f"the log {path} is written again; 1 lines were lost"
    assert path.read_text() == "kept\n"


def test_a_line_that_was_cut_does_not_run_into_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reports = Reports()
    sink = LogWriter(str(path), reports)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        sink.write(b"x" * 1500 + b"\n")
        assert reports.until(1) == [f"the log {path} loses lines: file too large"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    sink.write(b"next\n")
    sink.close()
    assert path.read_bytes() == b"x" * 1000 + b"\nnext\n"
    assert sink.lost == 1
    assert reports.until(2)[1] == f"the log {path} is written again; 1 lines were lost"


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path: Path) -> None:
    """Opening it for writing alone would wait for ever, at start and deaf to all signals."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = LogWriter(str(path))
    sink.write(b"first\n")
    with path.open("rb", buffering=0) as reader:
        assert reader.read(100) == b"first\n"
    # Nor is a reader's end the end.
    sink.write(b"second\n")
    with path.open("rb", buffering=0) as reader:
        assert reader.read(100) == b"second\n"
    sink.close()
    assert sink.lost == 0


def test_what_nobody_takes_before_the_end_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelatch.observe.access_log.writer._CLOSE_TIMEOUT", 0.1)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with path.open("r+b", buffering=0) as reader:
        reports = Reports()
        sink = LogWriter(str(path), reports)
        sink.write(b"x" * 1024 * 1024 + b"\n")  # more than a pipe holds
        reader.read(1)  # the thread has it
        sink.write(b"one\ntwo\n")
        sink.close()
        assert sink.lost == 2
        assert reports.until(1) == [f"the log {path} loses lines: nobody took the last in time"]
        left = 1024 * 1024
        while left:
            left -= len(reader.read(min(left, 65536)))


def test_a_reader_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    reports = Reports()
    sink = LogWriter(str(path), reports)
    line = b"x" * 1023 + b"\n"
    for _ in range(20 * 1024):  # 20 MiB: far more than may wait
        sink.write(line)
    assert reports.until(1) == [
        f"the log {path} loses lines: nobody takes its lines as fast as they come"
    ]
    assert 3 * 1024 < sink.lost < 20 * 1024
    lost = sink.lost
    with os.fdopen(reader, "rb") as lines:
        os.set_blocking(lines.fileno(), True)
        for _ in range(20 * 1024 - lost):
            assert lines.readline() == line
    sink.close()
    assert sink.lost == lost


def test_a_non_blocking_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    sink = LogWriter(f"/proc/self/fd/{writer}")
    os.close(writer)
    os.set_blocking(sink._fd, False)
    data = b"".join(b"%06d\n" % number for number in range(50_000))
    sink.write(data)
    os.set_blocking(reader, True)
    got = b""
    while len(got) < len(data):
        got += os.read(reader, 65536)
    sink.close()
    os.close(reader)
    assert got == data
    assert sink.lost == 0


def test_reopening_puts_what_came_before_into_the_old_file(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    sink = LogWriter(str(path))
    sink.write(b"old\n")
    path.rename(old)
    sink.reopen()
    sink.write(b"new\n")
    sink.close()
    assert (old.read_text(), path.read_text()) == ("old\n", "new\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened_anew_is_gone_on_with(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    reports = Reports()
    sink = LogWriter(str(directory / "log"), reports)
    directory.rename(tmp_path / "e")
    sink.reopen()
    [report] = reports.until(1)
    assert "goes on in the old file" in report
    sink.write(b"kept\n")
    sink.close()
    assert (tmp_path / "e" / "log").read_text() == "kept\n"


def test_standard_error_is_never_reopened_or_closed(capfd: pytest.CaptureFixture[str]) -> None:
    sink = LogWriter(STDERR)
    sink.reopen()
    sink.write(b"said\n")
    sink.close()
    sink.close()
    os.fstat(2)
    assert capfd.readouterr().err == "said\n"


@pytest.fixture
def config(tmp_path: Path, authority: Authority) -> Callable[[ScriptedUpstream], str]:
    def flag(upstream: ScriptedUpstream) -> str:
        content = kubeconfig(upstream.url, authority, user={"token": "t"})
        return f"--kubeconfig={write(tmp_path / 'config', content)}"

    return flag


async def test_a_signal_reopens_the_file_for_logrotate(
    tmp_path: Path, authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", f"--log-requests={path}")
        async with proxy_process(*flags) as proxy, await Client.connect(proxy.address) as client:
            await client.get("/version?before")
            path.rename(old)
            proxy.signal(signal.SIGUSR1)
            async with asyncio.timeout(10):
                while not path.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await client.get("/version?after")
    assert "?before" in old.read_text()
    assert "?after" not in old.read_text()
    assert "?after" in path.read_text()


async def test_a_full_disk_does_not_stop_traffic_and_is_said_once(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", "--log-requests=/dev/full")
        async with proxy_process(*flags) as proxy, await Client.connect(proxy.address) as client:
            for _ in range(300):
                assert (await client.get("/version")).status == 200
    assert proxy.stderr.count(b"/dev/full loses lines: no space left on device") == 1


async def test_a_pipe_that_nobody_reads_yet_stops_neither_start_nor_traffic(
    tmp_path: Path, authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", f"--log-requests={path}")
        async with proxy_process(*flags) as proxy:
            async with await Client.connect(proxy.address) as client:
                for _ in range(300):  # more than the pipe holds
                    assert (await client.get("/version?" + "x" * 1000)).status == 200
            with path.open("rb") as reader:
                for _ in range(300):
                    assert b"/version?" in await asyncio.to_thread(reader.readline)
            proxy.signal(signal.SIGTERM)
            assert await proxy.finish() == 0


async def test_nobody_reading_standard_error_does_not_stop_traffic(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    """A pipe holds 64 KiB: without a thread of its own the log would block the event loop."""
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", "--log-requests=-")
        async with proxy_process(*flags) as proxy, await Client.connect(proxy.address) as client:
            target = "/version?" + "x" * 1000
            for _ in range(300):
                assert (await client.get(target)).status == 200


async def test_a_closed_standard_error_does_not_stop_traffic(
    authority: Authority, config: Callable[[ScriptedUpstream], str], tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        address = tmp_path / "socket"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kubelatch"),
            *(config(upstream), f"--unix-socket={address}", "--log-requests=-"),
            stdout=asyncio.subprocess.PIPE,
            stderr=writer,
            cwd=Path(__file__).parents[3],
        )
        os.close(writer)
        os.close(reader)
        assert process.stdout is not None
        await process.stdout.readline()
        async with await Client.connect(str(address)) as client:
            for _ in range(300):
                assert (await client.get("/version")).status == 200
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
async def test_no_line_is_lost_at_exit(
    tmp_path: Path,
    authority: Authority,
    config: Callable[[ScriptedUpstream], str],
    number: signal.Signals,
) -> None:
    path = tmp_path / "log"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", f"--log-requests={path}")
        async with proxy_process(*flags) as proxy, await Client.connect(proxy.address) as client:
            for count in range(30):
                await client.get(f"/version?n={count}")
            proxy.signal(number)
            assert await proxy.finish() == 0
    assert len(path.read_text().splitlines()) == 30


async def test_no_line_is_lost_when_a_second_signal_ends_it_at_once(
    tmp_path: Path, authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    path = tmp_path / "log"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", f"--log-requests={path}", "--log-format=json")
        async with proxy_process(*flags) as proxy, await Client.connect(proxy.address) as client:
            for count in range(30):
                await client.get(f"/version?n={count}")
            proxy.signal(signal.SIGTERM)
            proxy.signal(signal.SIGTERM)
            assert await proxy.finish() == 0
    assert len(path.read_text().splitlines()) == 30


async def test_a_plugin_that_floods_a_standard_error_nobody_reads_stops_no_request(
    tmp_path: Path, authority: Authority
) -> None:
    plugin = tmp_path / "plugin"
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":'
    plugin.write_text(
        f"#!/bin/sh\nyes a line of a plugin that says a lot | head -c 1000000 >&2\n"
        f'echo \'{answer}{{"token":"t"}}}}\'\n'
    )
    plugin.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    async with ScriptedUpstream(answering(ok(b"hello")), authority) as upstream:
        path = write(tmp_path / "config", kubeconfig(upstream.url, authority, user=user))
        async with (
            proxy_process(f"--kubeconfig={path}", "--port=0") as proxy,
            await Client.connect(proxy.address) as client,
        ):
            assert (await client.get("/version")).body == b"hello"
    assert proxy.stderr.startswith(b"WARNING: plugin: a line of a plugin")
