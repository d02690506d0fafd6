"""Tunnels: an upgraded connection, as exec and port-forward use it, filled in one direction."""

import socket
import time
from typing import Final, Literal

from . import nginx
from .payloads import MEGABYTE
from .peers import Serving
from .plan import Plan
from .processes import connect
from .rounds import Figures, Step
from .upstream import Upstream

Way = Literal["down", "up"]

_PIECE: Final = memoryview(bytes(256 * 1024))


def tunnel(way: Way) -> Step:
    """The step that fills a tunnel: MB/s, and milliseconds of CPU for each MB."""

    def step(plan: Plan, _upstream: Upstream, serving: Serving) -> Figures:
        cpu, begin = serving.process.cpu(), time.perf_counter()
        fill(serving, way, plan.tunnel)
        seconds = time.perf_counter() - begin
        return {
            f"tunnels.{way}.rate": plan.tunnel / seconds,
            f"tunnels.{way}.cpu": (serving.process.cpu() - cpu) / plan.tunnel * 1e3,
        }

    return step


def fill(serving: Serving, way: Way, size: int) -> None:
    """Open a tunnel and send *size* MB through it. Raises RuntimeError if they do not arrive."""
    with connect(serving.port) as sock:
        early = _upgrade(sock, f"{nginx.TUNNEL}?{way}={size * MEGABYTE}")
        if way == "down":
            _receive(sock, size * MEGABYTE - len(early))
            return
        for _ in range(size * MEGABYTE // len(_PIECE)):
            sock.sendall(_PIECE)
        # The other end says that it has them all.
        _receive(sock, len(b"done"))


def _upgrade(sock: socket.socket, target: str) -> bytes:
    """What came behind the answer's head."""
    sock.sendall(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head and (data := sock.recv(65536)):
        head += data
    head, end, early = head.partition(b"\r\n\r\n")
    if not end or not head.startswith(b"HTTP/1.1 101"):
        msg = f"no tunnel: {head[:200]!r}"
        raise RuntimeError(msg)
    return early


def _receive(sock: socket.socket, size: int) -> None:
    buffer = bytearray(MEGABYTE)
    while size > 0:
        count = sock.recv_into(buffer)
        if not count:
            msg = f"the tunnel ended {size} bytes early"
            raise RuntimeError(msg)
        size -= count
