"""Bodies: a megabyte over and over, and one large one at a time, down and up."""

import time
from collections.abc import Callable
from typing import Final, Literal

from . import nginx, wrk
from .payloads import MEGABYTE
from .peers import Serving
from .plan import Plan
from .processes import connect
from .rounds import Figures, Step
from .upstream import Upstream

Way = Literal["down", "gzip", "up"]
"""Down as it is, down from an upstream that compresses to a client that does not ask, or up."""

_PIECE: Final = memoryview(bytes(MEGABYTE))


def megabytes(way: Way) -> Step:
    """The step that moves bodies of 1 MB, four at a time: MB/s, milliseconds of CPU for each."""

    def step(plan: Plan, upstream: Upstream, serving: Serving) -> Figures:
        answers = wrk.ask(
            serving,
            nginx.UPLOAD if way == "up" else nginx.list_target(1),
            upstream.directory,
            clients=4,
            seconds=plan.seconds,
            encoding="identity" if way == "down" else "",
            upload=MEGABYTE if way == "up" else 0,
        )
        return {
            f"bodies.1.{way}.rate": answers.count / answers.seconds,
            f"bodies.1.{way}.cpu": answers.cpu / answers.count * 1e3,
        }

    return step


def large(way: Way) -> Step:
    """The step that moves one large body: MB/s, milliseconds of CPU for each MB, MB of memory."""

    def step(plan: Plan, _upstream: Upstream, serving: Serving) -> Figures:
        process = serving.process
        process.forget_peak()
        memory, cpu, begin = process.memory(), process.cpu(), time.perf_counter()
        move(serving, way, plan.megabytes)
        seconds = time.perf_counter() - begin
        return {
            f"bodies.large.{way}.rate": plan.megabytes / seconds,
            f"bodies.large.{way}.cpu": (process.cpu() - cpu) / plan.megabytes * 1e3,
            f"bodies.large.{way}.memory": (process.peak_memory() - memory) / MEGABYTE,
        }

    return step


def move(serving: Serving, way: Way, size: int) -> None:
    """Move one body of *size* MB. Raises RuntimeError if not all of it arrives."""
    moves: dict[Way, Callable[[], None]] = {
        "down": lambda: _download(serving, size, "Accept-Encoding: identity\r\n"),
        "gzip": lambda: _download(serving, size, ""),
        "up": lambda: _upload(serving, size),
    }
    moves[way]()


def _download(serving: Serving, size: int, field: str) -> None:
    target = nginx.list_target(size)
    buffer = bytearray(MEGABYTE)
    with connect(serving.port) as sock:
        sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{field}Connection: close\r\n\r\n".encode()
        )
        received, head = 0, b""
        while count := sock.recv_into(buffer):
            received += count
            if len(head) < 12:
                head += buffer[:count][:12]
    # Framing may add a little.
    if not head.startswith(b"HTTP/1.1 200") or received < size * MEGABYTE:
        msg = f"{received} bytes came of {target}: {head[:12]!r}"
        raise RuntimeError(msg)


def _upload(serving: Serving, size: int) -> None:
    with connect(serving.port) as sock:
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
