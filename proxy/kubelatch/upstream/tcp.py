"""How TCP is to notice that the API server, or the network before it, has died.

Nothing tells a dead peer from a silent one but time. A peer that says nothing is probed; one that
acknowledges nothing of what was sent is given up sooner than the quarter of an hour that Linux
would go on. It knows nothing of HTTP, and what a system does not have is left out.
"""

import asyncio
import contextlib
import socket
from typing import Final

# Between probes, and how many of them may stay without an answer.
_KEEPALIVE_SECONDS: Final = 30.0
_KEEPALIVE_PROBES: Final = 3
# A peer that acknowledges nothing for this long is gone: as HTTP/2 pings tell kubectl
# (30 s of silence, then 15 s for the answer).
_USER_TIMEOUT_MS: Final = 45_000


def configure(sock: socket.socket, keepalive: float | None) -> None:
    """Set the options of a connected socket.

    Args:
        sock: TCP.
        keepalive: for a tunnel: seconds of silence before the peer is probed; negative: never.
            None is for plain exchanges.
    """
    options = [(socket.IPPROTO_TCP, "TCP_NODELAY", 1)]
    if keepalive is None or keepalive >= 0:
        seconds = max(1, round(_KEEPALIVE_SECONDS if keepalive is None else keepalive))
        options += [
            (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
            (socket.IPPROTO_TCP, "TCP_KEEPIDLE", seconds),
            (socket.IPPROTO_TCP, "TCP_KEEPINTVL", seconds),
            (socket.IPPROTO_TCP, "TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ]
    for level, name, value in options:
        _set(sock, level, name, value)
    if keepalive is None:
        _set_user_timeout(sock, _USER_TIMEOUT_MS)


def allow_stalls(transport: asyncio.BaseTransport, allowed: bool) -> None:
    """Say whether the peer may leave what is sent unread for long.

    Linux counts a peer that is alive and does not read for so long as gone too, since 5.11
    (``tcp_probe_timer``). A tunnel is always allowed that: a remote command reads its input when
    it likes; and so is an upload.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        _set_user_timeout(sock, 0 if allowed else _USER_TIMEOUT_MS)


def _set_user_timeout(sock: socket.socket, milliseconds: int) -> None:
    _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", milliseconds)


def _set(sock: socket.socket, level: int, name: str, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(level, getattr(socket, name), value)
