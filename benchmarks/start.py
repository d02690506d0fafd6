"""From the start of the command to its first answer, and commands that only print."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import nginx
from .accounting import Process
from .payloads import MEGABYTE
from .peers import Kubelatch, Peer, program
from .plan import Plan
from .processes import connect, free_port
from .rounds import Figures
from .upstream import Upstream

_POLL: Final = 0.0005
_PATIENCE: Final = 20.0
_REQUEST: Final = f"GET {nginx.SMALL} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def warm(_plan: Plan, upstream: Upstream, peer: Peer) -> Figures:
    """Milliseconds to the first answer, and megabytes after it; for kubelatch also what Python and
    all of aiohttp would take."""
    taken, memory = _first_answer(upstream, peer)
    figures = {"start.warm": taken, "start.memory": memory / MEGABYTE}
    if isinstance(peer, Kubelatch):
        figures["start.import"] = _run(peer, "-c", "import aiohttp.web")
        figures["start.python"] = _run(peer, "-c", "")
    return figures


def cold(_plan: Plan, upstream: Upstream, peer: Peer) -> Figures:
    """Milliseconds to the first answer when its files have to be read from the disk."""
    for path in peer.files():
        _forget(path)
    return {"start.cold": _first_answer(upstream, peer)[0]}


def commands(_plan: Plan, _upstream: Upstream, peer: Peer) -> Figures:
    """Milliseconds of commands that only print."""
    if not isinstance(peer, Kubelatch):
        return {}
    return {
        "start.help": _run(peer, "-m", "kubelatch", "--help"),
        "start.version": _run(peer, "-m", "kubelatch", "--version"),
        "start.completion": _run(peer, "-m", "kubelatch", "completion", "bash"),
    }


def _first_answer(upstream: Upstream, peer: Peer) -> tuple[float, int]:
    """Milliseconds to it, and the bytes that are resident then."""
    port = free_port()
    command = program(peer, upstream, port)
    begin = time.perf_counter()
    with command.running() as process:
        while process.poll() is None and time.perf_counter() < begin + _PATIENCE:
            try:
                with connect(port) as sock:
                    sock.sendall(_REQUEST)
                    answer = sock.recv(65536)
            except OSError:
                time.sleep(_POLL)
                continue
            if answer.startswith(b"HTTP/1.1 200"):
                taken = (time.perf_counter() - begin) * 1e3
                return taken, Process(process.pid).memory()
            msg = f"the first answer is {answer[:200]!r}"
            raise RuntimeError(msg)
    msg = "there was no first answer"
    raise RuntimeError(msg)


def _run(peer: Kubelatch, *arguments: str) -> float:
    begin = time.perf_counter()
    peer.run(*arguments)
    return (time.perf_counter() - begin) * 1e3


def _forget(path: Path) -> None:
    """Drop files from the kernel's page cache, as after a boot; what others have mapped stays."""
    for file in _files(path):
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError:
            continue
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _files(path: Path) -> Iterator[str]:
    if path.is_file():
        yield str(path)
    for directory, _, names in os.walk(path):
        for name in names:
            yield os.path.join(directory, name)
