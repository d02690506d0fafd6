"""Starting and stopping what is measured, and waiting for it to listen."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PATIENCE: Final = 20.0
_POLL: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something to run, in the directory of its words.

    Attributes:
        command: the file and its arguments.
        words: what it prints is appended there.
        environment: variables besides ours.
    """

    command: Sequence[str]
    words: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the end of the block, where it is killed."""
        with (
            self.words.open("ab") as output,
            subprocess.Popen(
                self.command,
                stdout=output,
                stderr=output,
                cwd=self.words.parent,
                env={**os.environ, **self.environment},
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def listening(self, address: int | Path) -> Iterator[int]:
        """Run it, and begin the block when it accepts connections at *address*.

        Yields:
            The number of its process.

        Raises:
            RuntimeError: it does not; the message has its last words.
        """
        with self.running() as process:
            deadline = time.monotonic() + _PATIENCE
            while not _accepts(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    msg = f"{self.command[0]} does not listen: {self._last_words()}"
                    raise RuntimeError(msg)
                time.sleep(_POLL)
            yield process.pid

    def _last_words(self) -> str:
        lines = self.words.read_text().splitlines()
        return lines[-1] if lines else "it says nothing"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(address: int | Path) -> socket.socket:
    """A connection to a port on the loopback address, or to a unix socket. Raises OSError."""
    if isinstance(address, int):
        sock = socket.create_connection(("127.0.0.1", address), _PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(_PATIENCE)
        sock.connect(str(address))
    except OSError:
        sock.close()
        raise
    return sock


def _accepts(address: int | Path) -> bool:
    try:
        connect(address).close()
    except OSError:
        return False
    return True
