"""Bodies: a megabyte over and over, and one large one at a time, down and up."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from . import nginx, wrk
from .origin import Origin
from .payloads import MEGABYTE
from .peers import Running
from .processes import connect

_PIECE: Final = memoryview(bytes(MEGABYTE))


def megabytes(origin: Origin, peer: Running, seconds: float) -> dict[str, float]:
    """Bodies of 1 MB, four at a time: MB/s, and milliseconds of CPU for each."""
    ask = partial(wrk.ask, peer, directory=origin.directory, clients=4, seconds=seconds)
    found = {}
    for name, answers in (
        ("down", ask(nginx.list_target(1), encoding="identity")),
        ("gzip", ask(nginx.list_target(1))),
        ("up", ask(nginx.UPLOAD, upload=MEGABYTE)),
    ):
        found[f"body.1.{name}.rate"] = answers.count / answers.seconds
        found[f"body.1.{name}.cpu"] = answers.cpu / answers.count * 1e3
    return found


def large(peer: Running, size: int) -> dict[str, float]:
    """One body at a time: MB/s, milliseconds of CPU for each MB, MB of memory on top.

    Args:
        peer: who relays it.
        size: of the body, in MB.
    """
    target = nginx.list_target(size)
    return {
        **_measured("down", size, peer, lambda: _download(peer, target, size, "identity")),
        **_measured("gzip", size, peer, lambda: _download(peer, target, size)),
        **_measured("up", size, peer, lambda: _upload(peer, size)),
    }


def _measured(
    name: str, size: int, peer: Running, transfer: Callable[[], None]
) -> dict[str, float]:
    process = peer.process
    process.forget_peak()
    memory, cpu, begin = process.memory(), process.cpu(), time.perf_counter()
    transfer()
    seconds = time.perf_counter() - begin
    return {
        f"body.large.{name}.rate": size / seconds,
        f"body.large.{name}.cpu": (process.cpu() - cpu) / size * 1e3,
        f"body.large.{name}.memory": (process.peak_memory() - memory) / MEGABYTE,
    }


def _download(peer: Running, target: str, size: int, encoding: str = "") -> None:
    choice = f"Accept-Encoding: {encoding}\r\n" if encoding else ""
    buffer = bytearray(MEGABYTE)
    with connect(peer.port) as sock:
        sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{choice}Connection: close\r\n\r\n".encode()
        )
        received, head = 0, b""
        while count := sock.recv_into(buffer):
            received += count
            if len(head) < 12:
                head += buffer[:12]
    # Framing may add a little.
    if not head.startswith(b"HTTP/1.1 200") or received < size * MEGABYTE:
        msg = f"{received} bytes came of {target}: {head[:12]!r}"
        raise RuntimeError(msg)


def _upload(peer: Running, size: int) -> None:
    with connect(peer.port) as sock:
        sock.sendall(
            f"POST {nginx.UPLOAD} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {size * MEGABYTE}\r\nConnection: close\r\n\r\n".encode()
        )
        for _ in range(size):
            sock.sendall(_PIECE)
        answer = b""
        while data := sock.recv(4096):
            answer += data
    if b'{"received":%d}' % (size * MEGABYTE) not in answer:
        msg = f"the upload was answered {answer[:200]!r}"
        raise RuntimeError(msg)
