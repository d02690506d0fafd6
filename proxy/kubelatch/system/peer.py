"""The user at the other end of a local connection, as reported by the kernel.

A unix socket has the peer's credentials (``SO_PEERCRED``, unix(7)). For TCP over loopback, Linux
reports the owner of the client's socket (sock_diag(7)), which counts only while both ends of this
connection exist. Nothing here decides who may connect.
"""

import contextlib
import functools
import os
import select
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

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
# struct inet_diag_msg: family, state, timer, retransmissions; the socket's id, of which ports and
# both addresses; expiry and queues; owner and inode.
_RESPONSE: Final = struct.Struct("=BBBB4s16s16s12x12xII")
# include/net/tcp_states.h
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT = 1, 4, 5, 8
# A client may half-close after its request. If its process has closed the socket, the inode is 0.
_CLIENT_STATES: Final = frozenset({_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2})
_OUR_STATES: Final = frozenset({_ESTABLISHED, _CLOSE_WAIT})

# include/net/flow.h. Local traffic uses it, and a socket may be bound to it (SO_BINDTODEVICE): a
# lookup without an interface would not find that one.
_LOOPBACK_INTERFACE: Final = 1
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_V6_LOOPBACK: Final = bytes(15) + b"\1"


class _Endpoint(NamedTuple):
    """One end of a TCP connection."""

    # Of 4 or 16 bytes.
    address: bytes
    port: int
    interface: int


class _Socket(NamedTuple):
    """A socket as the kernel reports it."""

    state: int
    uid: int
    inode: int


# Linux reports a half-close by the peer; elsewhere only a reset is reported.
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Peer:
    """The other end of an accepted connection.

    Args:
        transport: the connection's; None before there is one.
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
        """The user id of its process; None if the kernel does not know it. Looked up once, at the
        first request, since a client that waits for the response still has its socket."""
        if self._uid is ...:
            sock = self._transport.get_extra_info("socket") if self._transport else None
            self._uid = uid_of(sock) if sock is not None else None
        return self._uid


def can_identify_users(*, unix_socket: bool) -> bool:
    """Whether this system reports the user of a connection."""
    return hasattr(socket, "SO_PEERCRED") if unix_socket else sys.platform == "linux"


def has_disconnected(sock: "socket.socket | TransportSocket", *, half: bool = True) -> bool:
    """Whether the peer has disconnected, even if data of it is unread.

    Args:
        sock: the connection.
        half: whether a half-close counts; otherwise only a reset does.
    """
    poll = select.poll()
    poll.register(sock.fileno(), _GONE if half else select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def uid_of(sock: "socket.socket | TransportSocket") -> int | None:
    """The user id of the process at the other end of an accepted connection.

    None if it is unknown: the peer is on another machine or in another network namespace, has
    closed or reset the connection, or its user has no id in this process's user namespace.
    """
    uid = None
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_UNIX:
            uid = _unix_uid(sock)
        elif sys.platform == "linux":
            uid = _tcp_uid(sock)
    return None if uid is None or uid == _unmapped_uid() else uid


def _unix_uid(sock: "socket.socket | TransportSocket") -> int | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _tcp_uid(sock: "socket.socket | TransportSocket") -> int | None:
    """Look up the client's end, then ours.

    While our end exists, no other connection between the same addresses and ports can be
    established, so the first result was the client's. If the client has reset the connection,
    another process may have taken its port, but then our end is gone.
    """
    client = _client(sock.getpeername(), sock.getsockname(), os.fstat(sock.fileno()).st_ino)
    # A socket that its process has closed is reported without an inode, and as root's.
    return client.uid if client is not None and client.inode else None


def client_inode(peer: tuple[object, ...], local: tuple[object, ...], inode: int) -> int:
    """The inode of the client's socket; 0 if it is unknown, or its process has closed it.

    Args:
        peer: the client's address.
        local: ours.
        inode: of our socket.

    Raises:
        OSError: the kernel cannot be asked.
    """
    client = _client(peer, local, inode)
    return client.inode if client is not None else 0


def _client(peer: tuple[object, ...], local: tuple[object, ...], inode: int) -> _Socket | None:
    """The client's end of our connection with that inode."""
    there, here = _endpoint(peer), _endpoint(local)
    loopback = there.address[:1] == b"\x7f" or there.address == _V6_LOOPBACK
    if not loopback and there.address != here.address:
        return None  # another machine's user ids mean nothing here
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        client = _find_socket(kernel, there, here)
        if client is None or client.state not in _CLIENT_STATES:
            return None
        ours = _find_socket(kernel, here, there)
    # Socket inodes are unique on the machine: the match also proves that the lookup was in the
    # connection's network namespace.
    if ours is None or ours.state not in _OUR_STATES or ours.inode != inode:
        return None
    return client


def _find_socket(kernel: socket.socket, local: _Endpoint, remote: _Endpoint) -> _Socket | None:
    """The socket with address *local* that is connected to *remote*.

    Without one, the kernel returns a socket that listens on *local* (net/ipv4/inet_diag.c,
    ``inet_diag_find_one_icsk``), recognised by its addresses.
    """
    family = socket.AF_INET if len(local.address) == 4 else socket.AF_INET6
    request = (
        _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
        + _PORTS.pack(local.port, remote.port)
        + local.address.ljust(16, b"\0")
        + remote.address.ljust(16, b"\0")
        + _SOCKET_ID_REST.pack(local.interface, _NO_COOKIE, _NO_COOKIE)
    )
    size = _HEADER.size + len(request)
    kernel.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + request)
    # The kernel responds within send() (net/core/sock_diag.c, sock_diag_rcv).
    response, sender = kernel.recvfrom(4096, socket.MSG_DONTWAIT)
    if sender[0] != 0 or len(response) < _HEADER.size + _RESPONSE.size:
        return None
    if _HEADER.unpack_from(response)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # an error: there is no such socket
    family, state, _, _, ports, source, target, uid, inode = _RESPONSE.unpack_from(
        response, _HEADER.size
    )
    found = _from_kernel(family, source), _from_kernel(family, target)
    if ports != _PORTS.pack(local.port, remote.port) or found != (local.address, remote.address):
        return None
    return _Socket(state, uid, inode)


def _endpoint(name: tuple[object, ...]) -> _Endpoint:
    """An endpoint from an address of the ``socket`` module."""
    address, port, *rest = name
    # A link-local address has a scope.
    interface = (rest[1] if len(rest) == 2 else 0) or _LOOPBACK_INTERFACE
    if not isinstance(address, str) or not isinstance(port, int) or not isinstance(interface, int):
        raise TypeError(name)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address.partition("%")[0])
    return _Endpoint(_plain(packed), port, interface)


def _from_kernel(family: int, packed: bytes) -> bytes:
    return packed[:4] if family == socket.AF_INET else _plain(packed)


def _plain(packed: bytes) -> bytes:
    """The address, with IPv4-mapped IPv6 turned into IPv4."""
    return packed[12:] if packed.startswith(_V4_MAPPED) else packed


@functools.cache
def _unmapped_uid() -> int | None:
    """The id reported for users without an id in this process's user namespace
    (user_namespaces(7)); None where every user has one."""
    try:
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
        if ranges == [["0", "0", str(2**32 - 1)]]:
            return None
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    except (OSError, ValueError):
        return None


def own_uid() -> int:
    """The effective user id of this process."""
    return os.geteuid()
