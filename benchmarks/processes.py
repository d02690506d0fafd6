"""Starting and stopping what is measured, and waiting for it to listen."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PATIENCE: Final = 20.0
_POLL: Final = 0.001


@contextlib.contextmanager
def running(
    command: list[str], log: Path, directory: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in *directory*, its output appended to *log*; it is killed at the end."""
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdout=output, stderr=output, cwd=directory) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(address: int | Path) -> socket.socket:
    """A connection to a port on the loopback address, or to a unix socket. Raises OSError."""
    if isinstance(address, int):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target: object = ("127.0.0.1", address)
    else:
        sock = socket.socket(socket.AF_UNIX)
        target = str(address)
    try:
        sock.settimeout(_PATIENCE)
        sock.connect(target)  # type: ignore[arg-type]
    except OSError:
        sock.close()
        raise
    return sock


def wait_for_socket(address: int | Path) -> None:
    """Return when somebody accepts connections at *address*.

    Raises:
        TimeoutError: nobody does.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            connect(address).close()
        except OSError:
            time.sleep(_POLL)
        else:
            return
    msg = f"nothing listens at {address} after {_PATIENCE:g} s"
    raise TimeoutError(msg)
