"""Servers and proxies that the conformance tests share for a whole session."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest

from kubelatch.demo import DemoAccess, DemoServer
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.kubectl import SHORT_LIVED

from .loop_thread import LoopThread
from .pairs import KUBECTL, KUBELATCH, Hosted, Pair, Running
from .upstream import RecordingUpstream
from .wire import TIMEOUT

Latch: TypeAlias = Callable[..., Running]
TOKEN = "the-token-of-kubeconfig"


class Pairs(Protocol):
    """Both proxies with these flags; started once, kept for the session.

    Args:
        flags: beside ``--kubeconfig`` and ``--port=0``.
        path: of the server's URL.
        config: another kubeconfig than that of the recording API server.
        process: kubelatch is to be a process of its own.
    """

    def __call__(
        self,
        *flags: str,
        path: str = "",
        config: Mapping[str, Any] | None = None,
        process: bool = False,
    ) -> Pair: ...


@pytest.fixture(scope="session")
def upstream(authority: Authority) -> Iterator[RecordingUpstream]:
    """The API server that both proxies stand before."""
    server = RecordingUpstream(authority)
    yield server
    server.close()


@pytest.fixture(scope="session")
def thread() -> Iterator[LoopThread]:
    """A loop for servers that tests share."""
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def pairs(
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
    upstream: RecordingUpstream,
    thread: LoopThread,
) -> Iterator[Pairs]:
    """Starts pairs on demand."""
    directory: Path = tmp_path_factory.mktemp("pairs")
    started: dict[str, Pair] = {}

    def start(flags: tuple[str, ...], config: Mapping[str, Any], process: bool) -> Pair:
        home = directory / str(len(started))
        home.mkdir()
        flags = (f"--kubeconfig={write(home / 'config', dict(config))}", "--port=0", *flags)
        kubectl = Running((KUBECTL, "proxy"), flags, home / "kubectl")
        kubelatch = (
            Running(KUBELATCH, flags, home / "kubelatch")
            if process
            else Hosted(thread, flags, home / "kubelatch")
        )
        return Pair(kubectl, kubelatch, upstream)

    def pair(
        *flags: str,
        path: str = "",
        config: Mapping[str, Any] | None = None,
        process: bool = False,
    ) -> Pair:
        if config is None:
            config = kubeconfig(upstream.url + path, authority, user={"token": TOKEN})
        key = json.dumps([flags, config, process])
        if key not in started:
            started[key] = start(flags, config, process)
        return started[key]

    yield pair
    for both in started.values():
        both.kubectl.stop()
        both.kubelatch.stop()


@pytest.fixture(scope="session")
def plain(pairs: Pairs) -> Pair:
    """Both proxies without flags, each a process."""
    return pairs(process=True)


@dataclass(frozen=True)
class Result:
    """How a kubectl ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """The real kubectl, against a proxy at *address*."""

    home: Path
    address: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    def at(self, address: str) -> "Kubectl":
        """The same against another proxy."""
        return replace(self, address=address)

    def with_environment(self, **variables: str) -> "Kubectl":
        """The same with more variables."""
        return replace(self, environment=tuple(variables.items()))

    def __call__(self, command: str, *more: str, stdin: bytes = b"") -> Result:
        """Run to the end; *command* is split at spaces."""
        with self.started(command, *more) as process:
            out, err = process.communicate(stdin, timeout=TIMEOUT)
        return Result(process.returncode, out.decode(), err.decode())

    @contextmanager
    def started(self, command: str, *more: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run beside the test, until it is left."""
        with subprocess.Popen(
            [KUBECTL, f"--server=http://{self.address}", *command.split(" "), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                **SHORT_LIVED,
                **dict(self.environment),
            },
            cwd=self.home,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """The real kubectl, with a home of its own."""
    return Kubectl(tmp_path_factory.mktemp("kubectl"))


@pytest.fixture(scope="session")
def demo(thread: LoopThread) -> Iterator[DemoAccess]:
    """A demo API server whose pods start and talk at once."""
    server = DemoServer(log_interval=0.1, start_delay=0.05)
    yield thread.run(server.start())
    thread.run(server.stop())


@pytest.fixture(scope="session")
def latch(tmp_path_factory: pytest.TempPathFactory, demo: DemoAccess) -> Iterator[Latch]:
    """Starts kubelatch before the demo, with more flags."""
    home = tmp_path_factory.mktemp("latch")
    config = write(home / "config", demo.kubeconfig())
    started: list[Running] = []

    def start(*flags: str) -> Running:
        flags = (f"--kubeconfig={config}", "--port=0", *flags)
        started.append(Running(KUBELATCH, flags, home / str(len(started))))
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()


@pytest.fixture(scope="session")
def latched(kubectl: Kubectl, latch: Latch) -> Kubectl:
    """kubectl through kubelatch as it comes."""
    return kubectl.at(latch().address)


@pytest.fixture(scope="session")
def open_kubectl(kubectl: Kubectl, latch: Latch) -> Kubectl:
    """kubectl through kubelatch that lets exec and attach pass."""
    return kubectl.at(latch("--reject-paths=").address)
