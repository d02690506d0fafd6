"""Who is at the other end of a local connection, as the kernel knows it.

On a unix socket the kernel says it directly (``SO_PEERCRED``, unix(7)). For TCP over loopback
Linux tells the owner of the client's socket when asked for that socket (sock_diag(7)). Nothing
here decides anything.
"""

import contextlib
import ipaddress
import os
import select
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from asyncio.trsock import TransportSocket
    from types import EllipsisType

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

# Linux says when the peer has sent its end; elsewhere only a reset shows.
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Peer:
    """Who is at the other end of one accepted connection.

    Args:
        transport: the connection's; None while there is none.
    """

    __slots__ = ("_address", "_transport", "_uid")

    def __init__(self, transport: "asyncio.BaseTransport | None" = None) -> None:
        self._transport = transport
        self._address: str | None = None
        self._uid: int | EllipsisType | None = ...

    @property
    def address(self) -> str:
        """Its IP address; empty on a unix socket."""
        if self._address is None:
            name = self._transport.get_extra_info("peername") if self._transport else None
            address = name[0] if isinstance(name, tuple) and name else ""
            # An IPv4 client of a socket for both families.
            self._address = address.removeprefix("::ffff:")
        return self._address

    @property
    def uid(self) -> int | None:
        """The user id of its process, where the kernel knows it; asked for once, while it waits
        for its first answer and so is sure to be there."""
        if self._uid is ...:
            sock = self._transport.get_extra_info("socket") if self._transport else None
            self._uid = uid_of(sock) if sock is not None else None
        return self._uid


def can_tell(*, unix_socket: bool) -> bool:
    """Whether this system can name the user behind a connection at all."""
    return hasattr(socket, "SO_PEERCRED") if unix_socket else sys.platform == "linux"


def has_left(sock: "socket.socket | TransportSocket", *, half: bool = True) -> bool:
    """Whether the other end has closed, though bytes of its may be unread.

    Args:
        sock: the connection.
        half: the end of its sending is enough; False: only a reset tells.
    """
    poll = select.poll()
    poll.register(sock.fileno(), _GONE if half else select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


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
