"""TCP options to detect that the API server, or the network, has died.

A silent peer is probed (keep-alive). A peer that does not acknowledge data is given up after 45
seconds, where Linux would retransmit for a quarter of an hour. Options that a system does not have
are skipped.
"""

import asyncio
import contextlib
import socket
from typing import Final

# The time between probes, and how many may remain unanswered.
_KEEPALIVE_SECONDS: Final = 30.0
_KEEPALIVE_PROBES: Final = 3
# As long as kubectl's HTTP/2 pings take to detect it: 30 s of silence, then 15 s for the response.
_USER_TIMEOUT_MS: Final = 45_000


def configure(sock: socket.socket, keepalive: float | None) -> None:
    """Set the options of a connected TCP socket.

    Args:
        sock: the socket.
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
    """Set whether the peer may leave data unread without being given up.

    Since 5.11 (``tcp_probe_timer``) Linux also gives up a peer that is alive and does not read for
    that long. Tunnels and uploads allow it: a remote command reads its input when it likes.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        _set_user_timeout(sock, 0 if allowed else _USER_TIMEOUT_MS)


def _set_user_timeout(sock: socket.socket, milliseconds: int) -> None:
    _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", milliseconds)


def _set(sock: socket.socket, level: int, name: str, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(level, getattr(socket, name), value)
