"""A file that hangs holds up neither traffic nor the end, and reloading goes on after it."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelatch.context import reload
from kubelatch.errors import ConfigError
from kubelatch.kubeconfig import DiskFiles, FileSignature
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.leaks import strict
from tests.support.proxies import client_of, proxy_in_loop, proxy_process
from tests.support.upstream import ScriptedUpstream, answering, ok

from .waiting import messages, until


class Hanging:
    """A file system below *root* that can be made to hang, as NFS does without its server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self.waiting = 0
        signature = DiskFiles.signature

        def slow(files: DiskFiles, path: str) -> FileSignature:
            # Other proxies of this process read other files.
            if not path.startswith(str(root)):
                return signature(files, path)
            files.reading = path
            self.waiting += 1
            self._answers.wait()
            self.waiting -= 1
            return signature(files, path)

        monkeypatch.setattr(DiskFiles, "signature", slow)

    def hang(self) -> None:
        self._answers.clear()

    def answer(self) -> None:
        self._answers.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hanging]:
    hanging = Hanging(monkeypatch, tmp_path)
    yield hanging
    hanging.answer()


async def test_traffic_goes_on_while_a_file_hangs(
    tmp_path: Path,
    authority: Authority,
    disk: Hanging,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "kubelatch.context.reload")
    monkeypatch.setattr(reload, "SLOW", 0.1)
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "one"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            disk.hang()
            await until(lambda: "takes longer than" in app.status)
            assert str(tmp_path / "kubeconfig") in app.status
            assert (await client.get("/api")).status == 200
            # One call waits, however long that takes.
            await asyncio.wait_for(app.reload(), 5)
            assert disk.waiting == 1
            write(tmp_path / "kubeconfig", kubeconfig(upstream.url, authority, user={"token": "2"}))
            disk.answer()
            await until(lambda: app.reloads >= 1 and "is not used" not in app.status)
    lines = messages(caplog)
    assert sum("takes longer than" in line and str(tmp_path) in line for line in lines) == 1
    assert "configuration reloaded: the token" in lines


async def test_a_file_that_hangs_stops_no_stop(
    tmp_path: Path, authority: Authority, disk: Hanging
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "one"})
        async with proxy_in_loop(tmp_path, config):
            disk.hang()
            await until(lambda: disk.waiting == 1)
    assert disk.waiting == 1


async def test_a_start_that_hangs_is_an_error(
    tmp_path: Path, disk: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "START_LIMIT", 0.1)
    disk.hang()
    with pytest.raises(ConfigError, match=r"kubeconfig takes longer than 0\.1 s"):
        async with proxy_in_loop(tmp_path, kubeconfig("https://127.0.0.1:1")):
            pass


HANGS = """
import asyncio, os, time
from kubelatch import kubeconfig
from kubelatch.system import systemd
from kubelatch.cli.main import main

def hang(files, path):
    # Not print: a thread that holds the lock of stdout aborts a Python that ends.
    os.write(1, b"hangs\\n")
    time.sleep(1000)

announce = systemd.Notifier.ready
def ready(self, status):
    kubeconfig.DiskFiles.signature = hang
    # As a static file does, or a look-up of a name.
    asyncio.get_running_loop().run_in_executor(None, hang, None, "")
    announce(self, status)

systemd.Notifier.ready = ready
main()
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_process_with_a_file_that_hangs_ends_when_it_is_told_to(
    tmp_path: Path, loop: str
) -> None:
    path = write(tmp_path / "kubeconfig", kubeconfig("https://127.0.0.1:1"))
    command = (sys.executable, "-c", HANGS)
    flags = (f"--kubeconfig={path}", "--port=0", f"--loop={loop}")
    async with proxy_process(*flags, command=command) as proxy:
        assert proxy.process.stdout is not None
        for _ in range(2):
            assert await proxy.process.stdout.readline() == b"hangs\n"
        proxy.signal(signal.SIGTERM)
        assert await asyncio.wait_for(proxy.finish(), 10) == 0


async def test_a_kubeconfig_that_became_a_pipe_is_reported_and_not_waited_for(
    tmp_path: Path, authority: Authority
) -> None:
    path = tmp_path / "kubeconfig"
    async with ScriptedUpstream(answering(ok(b"good")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "one"})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            path.unlink()
            os.mkfifo(path)
            await until(lambda: "it is a pipe" in app.status)
            assert (await client.get("/api")).body == b"good"
            path.unlink()
            write(path, config)
            await until(lambda: "is not used" not in app.status)
            assert (await client.get("/api")).body == b"good"


async def test_a_token_file_that_became_a_pipe_leaves_the_token(
    tmp_path: Path, authority: Authority
) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"tokenFile": str(token)})
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            token.unlink()
            os.mkfifo(token)
            generation = app._reloader and app._reloader.current()
            assert generation
            await until(lambda: "it is a pipe" in generation.credentials.describe().last_error)
            assert (await client.get("/api")).status == 200
    assert upstream.requests[-1].values("authorization") == ["Bearer one"]


async def test_a_kubeconfig_from_a_pipe_serves_for_good(
    tmp_path: Path, authority: Authority
) -> None:
    """As in kubelatch --kubeconfig=<(command); the rules beside it are followed."""
    rules = tmp_path / "rules.yaml"
    role = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: x}}\n"
        "rules: [{{apiGroups: [''], resources: [{}], verbs: [list]}}]\n"
    )
    rules.write_text(role.format("pods"))
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "one"})
        content = write(tmp_path / "content", config).read_bytes()
        reader, writer = os.pipe()
        os.write(writer, content)
        os.close(writer)
        flags = (f"--kubeconfig=/dev/fd/{reader}", f"--allow-rules={rules}")
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            assert (await client.get("/api/v1/pods")).status == 200
            rules.write_text(role.format("nodes"))
            await until(lambda: app.reloads == 1)
            assert (await client.get("/api/v1/nodes")).status == 200
        os.close(reader)


async def test_a_start_that_waits_for_a_pipe_can_be_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kubelatch", f"--kubeconfig={tmp_path / 'pipe'}", "--port=0",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent",
             **strict()},
    )  # fmt: skip
    # The pipe has a reader as soon as it is waited for.
    descriptor = await asyncio.to_thread(os.open, tmp_path / "pipe", os.O_WRONLY)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0
    os.close(descriptor)
