"""Who is at the other end of a local connection: the user id, as the kernel knows it.

On a unix socket the kernel says it directly (``SO_PEERCRED``, unix(7)). For TCP over loopback
Linux tells the owner of the client's socket when asked for that socket (sock_diag(7)). Nothing
here decides anything.
"""

import contextlib
import ipaddress
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_ALL_STATES: Final = 0xFFFFFFFF
_NO_COOKIE: Final = 0xFFFFFFFF
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
_SOCKET_ID_REST: Final = struct.Struct("=III")
# Behind the message header: four bytes, the socket's id (48 bytes), three counters, the uid.
_UID_OFFSET: Final = _HEADER.size + 4 + 48 + 12


def can_tell(*, unix_socket: bool) -> bool:
    """Whether this system can name the user behind a connection at all."""
    return hasattr(socket, "SO_PEERCRED") if unix_socket else sys.platform == "linux"


def uid_of(sock: "socket.socket | TransportSocket") -> int | None:
    """The user id of the process at the other end of an accepted connection.

    None if it cannot be known: the peer is on another machine, or already gone.
    """
    if sock.family == socket.AF_UNIX:
        return _unix_uid(sock)
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError, ValueError):
        return _tcp_uid(sock.getpeername(), sock.getsockname())
    return None


def _unix_uid(sock: "socket.socket | TransportSocket") -> int | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _tcp_uid(peer: tuple[object, ...], ours: tuple[object, ...]) -> int | None:
    there, here = _address(peer[0]), _address(ours[0])
    if not there.is_loopback and there != here:
        return None  # another machine's user ids mean nothing here
    family = socket.AF_INET if there.version == 4 else socket.AF_INET6
    request = (
        _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
        # From the client's point of view: its own end first.
        + _PORTS.pack(peer[1], ours[1])
        + there.packed.ljust(16, b"\0")
        + here.packed.ljust(16, b"\0")
        + _SOCKET_ID_REST.pack(0, _NO_COOKIE, _NO_COOKIE)
    )
    size = _HEADER.size + len(request)
    header = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + request)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # an error: no such socket any more
    uid, inode = struct.unpack_from("=II", answer, _UID_OFFSET)
    # A socket that its process has closed already is shown without an inode, and as root's.
    return int(uid) if inode else None


def _address(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(str(text).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def own_uid() -> int:
    """The user that this process acts as."""
    return os.geteuid()
