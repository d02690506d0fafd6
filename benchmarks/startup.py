"""From the start of the command to its first answer, and commands that only print."""

import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from . import nginx
from .origin import Origin
from .peers import Kubelatch, Peer
from .processes import connect, free_port, running

_POLL: Final = 0.0005
_PATIENCE: Final = 20.0
_REQUEST: Final = f"GET {nginx.SMALL} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def first_answer(origin: Origin, peer: Peer) -> dict[str, float]:
    """Milliseconds to the first answer: with files cached by the kernel, and forgotten by it."""
    warm = _first_answer(origin, peer)
    for path in peer.files():
        _forget(path)
    return {"start.warm": warm, "start.cold": _first_answer(origin, peer)}


def own_commands(peer: Kubelatch) -> dict[str, float]:
    """Milliseconds of commands that only print, and of importing what no start can spare."""
    return {
        "start.help": _run(peer, "-m", "proxy", "--help"),
        "start.version": _run(peer, "-m", "proxy", "--version"),
        "start.import": _run(peer, "-c", "import aiohttp.web"),
        "start.python": _run(peer, "-c", ""),
    }


def _first_answer(origin: Origin, peer: Peer) -> float:
    port = free_port()
    command = peer.command(origin, port)
    begin = time.perf_counter()
    with running(command, origin.directory / f"{peer.name}.log", peer.directory):
        while time.perf_counter() < begin + _PATIENCE:
            try:
                with connect(port) as sock:
                    sock.sendall(_REQUEST)
                    answer = sock.recv(65536)
            except OSError:
                time.sleep(_POLL)
                continue
            if answer.startswith(b"HTTP/1.1 200"):
                return (time.perf_counter() - begin) * 1e3
            msg = f"the first answer of {peer.name} is {answer[:200]!r}"
            raise RuntimeError(msg)
    msg = f"{peer.name} does not answer"
    raise TimeoutError(msg)


def _run(peer: Kubelatch, *arguments: str) -> float:
    begin = time.perf_counter()
    subprocess.run(
        [peer.python, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=peer.directory
    )
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


def _files(path: Path) -> Iterable[str]:
    if path.is_file():
        yield str(path)
    for directory, _, names in os.walk(path):
        for name in names:
            yield os.path.join(directory, name)
