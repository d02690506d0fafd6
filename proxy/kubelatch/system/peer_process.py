"""Which process is at the other end of a local connection, as ``/proc`` tells.

It is a claim and no proof: a process may pass its connection on, share it with its children, and
choose its own name. Nothing may be decided by it. Other users' processes are seen by root alone,
those of other containers by nobody.
"""

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .peer import client_inode

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

_PROC: Final = Path("/proc")


class LocalConnection(NamedTuple):
    """A local connection, in values that may be looked up by another thread.

    Attributes:
        inode: of our end; no other connection has it while this machine runs.
        peer: the address of the client's end; None on a unix socket.
        local: of ours.
        pid: the process at the other end of a unix socket; 0 for TCP.
    """

    inode: int
    peer: tuple[object, ...] | None
    local: tuple[object, ...]
    pid: int


class PeerProcess(NamedTuple):
    """A process: its id, and its name for itself (proc(5), comm)."""

    pid: int
    name: str


def connection_of(sock: "socket.socket | TransportSocket") -> LocalConnection | None:
    """What identifies an accepted connection; None if it is lost, or this is no Linux."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):
        inode = os.fstat(sock.fileno()).st_ino
        if sock.family == socket.AF_UNIX:
            option = struct.calcsize("3i")
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, option)
            return LocalConnection(inode, None, (), struct.unpack("3i", credentials)[0])
        return LocalConnection(inode, sock.getpeername(), sock.getsockname(), 0)
    return None


class Processes:
    """Looks processes up. Reads ``/proc``, so it may take long; not for the event loop."""

    def __init__(self) -> None:
        # Where connections were found before: a client often has several.
        self._recent: dict[int, None] = {}

    def find(self, connection: LocalConnection) -> PeerProcess | None:
        """The process at the other end; None if it cannot be seen, or is gone."""
        pid = connection.pid
        if connection.peer is not None:
            try:
                inode = client_inode(connection.peer, connection.local, connection.inode)
            except (OSError, TypeError):
                return None
            pid = self._owner(inode) if inode else 0
        if not pid:
            return None
        try:
            name = (_PROC / str(pid) / "comm").read_bytes()
        except OSError:
            return None
        self._recent.pop(pid, None)
        self._recent[pid] = None
        if len(self._recent) > 16:
            del self._recent[next(iter(self._recent))]
        return PeerProcess(pid, name.rstrip(b"\n").decode("utf-8", "surrogateescape"))

    def _owner(self, inode: int) -> int:
        wanted = f"socket:[{inode}]"
        for pid in reversed(self._recent):
            if _holds(pid, wanted):
                return pid
        try:
            names = os.listdir(_PROC)
        except OSError:
            return 0
        # Processes that began last are the likeliest.
        pids = sorted((int(name) for name in names if name.isdigit()), reverse=True)
        return next((pid for pid in pids if _holds(pid, wanted)), 0)


def _holds(pid: int, wanted: str) -> bool:
    """Whether a process has a descriptor that leads to *wanted*."""
    directory = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                if os.readlink(f"{directory}/{name}") == wanted:
                    return True
    return False
