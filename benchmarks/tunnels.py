"""Tunnels: an upgraded connection, filled in one direction after the other."""

import time

from . import nginx
from .payloads import MEGABYTE
from .peers import Running
from .processes import connect

_PIECE = memoryview(bytes(256 * 1024))


def tunnel(peer: Running, size: int) -> dict[str, float]:
    """MB/s and milliseconds of CPU for each MB, both ways.

    Args:
        peer: who relays it.
        size: MB in each direction.
    """
    found = {}
    for name in ("down", "up"):
        cpu, begin = peer.process.cpu(), time.perf_counter()
        _fill(peer, name, size * MEGABYTE)
        found[f"tunnel.{name}.rate"] = size / (time.perf_counter() - begin)
        found[f"tunnel.{name}.cpu"] = (peer.process.cpu() - cpu) / size * 1e3
    return found


def _fill(peer: Running, direction: str, size: int) -> None:
    with connect(peer.port) as sock:
        sock.sendall(
            f"GET {nginx.TUNNEL}?{direction}={size} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                msg = f"no tunnel: {head[:200]!r}"
                raise RuntimeError(msg)
            head += data
        head, _, early = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            msg = f"no tunnel: {head[:200]!r}"
            raise RuntimeError(msg)
        expected = size - len(early)
        if direction == "up":
            for _ in range(size // len(_PIECE)):
                sock.sendall(_PIECE)
            expected = len(b"done")
        buffer = bytearray(MEGABYTE)
        while expected > 0:
            count = sock.recv_into(buffer)
            if not count:
                msg = "the tunnel ended early"
                raise RuntimeError(msg)
            expected -= count
