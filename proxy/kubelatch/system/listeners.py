"""Listening sockets, TCP or unix.

Error messages are kubectl's, since scripts match ``address already in use``. A unix socket is bound
under umask 0077, and gets its mode and group before it listens. A stale socket is replaced, one
with a listener never (kubectl proxy takes it over silently). A path that begins with ``@`` is a
name in Linux's abstract namespace (unix(7)), as in Go; it has no file and no mode.
"""

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..config.addresses import join_host_port
from ..errors import ListenError

# asyncio asks for 100; a burst of 1,000 clients would then wait seconds for SYN retries.
BACKLOG: Final = 4096
# A client that disappears without closing its connection is detected after 75 s. No
# TCP_USER_TIMEOUT: with it, Linux also ends connections of clients that do not read for so long.
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Listener:
    """A bound and listening socket.

    Attributes:
        socket: the socket.
        name: its address in the start line.
        path: of a unix socket whose file is removed when it is closed; else empty.
        inode: of that file, so that no other socket at the path is removed.
    """

    socket: socket.socket
    name: str
    path: str = ""
    inode: int = 0

    @property
    def unix(self) -> bool:
        """Whether it is a unix socket."""
        return self.socket.family == socket.AF_UNIX

    @property
    def abstract(self) -> bool:
        """Whether it is an abstract unix socket: every process of its network namespace can
        connect."""
        return self.unix and isinstance(self.socket.getsockname(), bytes)

    @property
    def local(self) -> bool:
        """Whether only processes of this machine can connect."""
        if self.unix:
            return True
        host = self.socket.getsockname()[0].partition("%")[0]
        return ipaddress.ip_address(host).is_loopback

    def remove(self) -> None:
        """Remove a unix socket's file, if it is still this socket's. May be repeated."""
        if self.path:
            with contextlib.suppress(OSError):
                if os.stat(self.path).st_ino == self.inode:
                    os.unlink(self.path)

    def close(self) -> None:
        """Close it, and remove a unix socket's file."""
        self.remove()
        self.socket.close()


def listen_tcp(address: str, port: int, *, flag: str = "") -> Listener:
    """Listen on a TCP port.

    An empty address or ``0.0.0.0`` listens on all addresses of both families, as in Go; an IPv6
    address may stand with or without brackets.

    Args:
        address: an address of this machine.
        port: 0 lets the system choose.
        flag: the flag that set the address, for hints; empty for ``--address`` and ``--port``.

    Raises:
        ListenError: with kubectl's message.
    """
    host = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if host in {"", "0.0.0.0"}:  # noqa: S104 -- asked for by the user
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
    where = join_host_port(host, port)
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        msg = f"listen tcp: lookup {host}: {exc.strerror}"
        hint = f"give {flag or '--address'} an IP address of this machine"
        raise ListenError(msg, hint=hint) from exc
    family, kind, protocol, _, target = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        sock.bind(target)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        msg = f"listen tcp {where}: bind: {_reason(exc)}"
        raise ListenError(msg, hint=_hint(exc, port, flag)) from exc
    sock.setblocking(False)
    _keep_alive(sock)
    bound = sock.getsockname()
    return Listener(sock, join_host_port(bound[0], bound[1]))


def unix_path(address: str) -> str:
    """The path or abstract name in ``unix:/path``, ``/path`` or ``@name``; empty for any other
    address."""
    path = address.removeprefix("unix:")
    return path if path != address or path.startswith(("/", "./", "@")) else ""


def unix_address(path: str) -> str | bytes:
    """The socket address of a path or abstract name."""
    return b"\0" + os.fsencode(path[1:]) if path.startswith("@") else path


def listen_unix(path: str, *, mode: int = 0o700, gid: int | None = None) -> Listener:
    """Listen on a unix socket, by default one that only this user can connect to.

    Args:
        path: of the socket, or its abstract name; the other arguments do not apply to the latter.
        mode: of its file; connecting requires write permission.
        gid: the group of its file; None for this process's.

    Raises:
        ListenError: another process listens there, or the path is taken or cannot be used.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    abstract, bound = path.startswith("@"), False
    try:
        if not abstract:
            _remove_stale(path)
        before = os.umask(0o077 | ~mode & 0o777)
        try:
            sock.bind(unix_address(path))
            bound = True
        finally:
            os.umask(before)
        if not abstract and (gid is not None or mode & 0o077):
            _open_to(path, mode, gid)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        if bound and not abstract:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise _no_unix_socket(path, exc, bound=bound) from exc
    sock.setblocking(False)
    return Listener(sock, path) if abstract else Listener(sock, path, path, os.stat(path).st_ino)


def _open_to(path: str, mode: int, gid: int | None) -> None:
    """Set group and mode of a socket that does not listen yet.

    The group first, so that the mode never applies to another one. Both through a descriptor where
    the system has ``O_PATH`` (open(2)): in a directory that others can write to, the path may have
    become a link to another file.
    """
    if not hasattr(os, "O_PATH"):
        if gid is not None:
            os.chown(path, -1, gid, follow_symlinks=False)
        os.chmod(path, mode)
        return
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        if gid is not None:
            os.chown(f"/proc/self/fd/{fd}", -1, gid)
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _no_unix_socket(path: str, exc: OSError, *, bound: bool) -> ListenError:
    # For a path over the kernel's limit of 107 bytes, Python raises OSError without an errno.
    reason = "invalid argument" if exc.errno is None else _reason(exc)
    if bound and exc.errno == errno.EPERM:
        return ListenError(
            f"listen unix {path}: change group: {reason}",
            hint="a socket can be given to a group that the proxy's user belongs to: another "
            "--unix-socket-group, or a member of this one",
        )
    in_use = "another process listens there, or it is no socket: choose another path, or remove it"
    if path.startswith("@"):
        in_use = "another process listens there: choose another name"
    hints = {
        errno.EADDRINUSE: in_use,
        errno.ENOENT: "make its directory first",
        None: "a socket's path or name may have at most 107 bytes",
    }
    return ListenError(f"listen unix {path}: bind: {reason}", hint=hints.get(exc.errno, ""))


def closed_to_others(path: str) -> str:
    """Why users whom a unix socket's mode seems to admit cannot connect; empty if they can.

    Linux requires write permission for the socket, and search permission for each directory above
    it (unix(7), path_resolution(7)). Access control lists are not considered.
    """
    socket_file = os.stat(path)
    for shift, who in ((3, "its group"), (0, "others")):
        allowed = socket_file.st_mode >> shift & 7
        if not allowed:
            continue
        if not allowed & 2:
            return f"{who} may not write to it, which connecting takes"
        for directory in Path(path).resolve().parents:
            found = directory.stat()
            same_group = shift and found.st_gid == socket_file.st_gid
            if not found.st_mode >> (3 if same_group else 0) & 1:
                return f"the directory {directory} lets {who} not through"
    return ""


def adopt(sock: socket.socket) -> Listener:
    """A listener for a socket made by another process, which may use it again: its file stays."""
    bound = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            _keep_alive(sock)
        return Listener(sock, join_host_port(bound[0], bound[1]))
    # An abstract name is returned as bytes that begin with a zero byte.
    return Listener(sock, bound if isinstance(bound, str) else os.fsdecode(b"@" + bound[1:]))


def ip_addresses(sockets: Sequence[socket.socket]) -> tuple[str, ...]:
    """The addresses to which TCP sockets are bound, without zones."""
    tcp = [sock for sock in sockets if sock.family in {socket.AF_INET, socket.AF_INET6}]
    return tuple(str(sock.getsockname()[0]).partition("%")[0] for sock in tcp)


def _remove_stale(path: str) -> None:
    """Remove a socket without a listener. Anything else stays, and makes bind fail."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            # Would-block is a live listener with a full backlog; no permission is not ours.
            return


def _keep_alive(sock: socket.socket) -> None:
    """Enable TCP keep-alive; accepted connections inherit it."""
    for level, name, value in _KEEPALIVE:
        # Not every system has all of these options.
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(level, getattr(socket, name), value)


def _reason(exc: OSError) -> str:
    """The error's text in lower case, as in Go."""
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    return text[:1].lower() + text[1:]


def _hint(exc: OSError, port: int, flag: str) -> str:
    if exc.errno == errno.EADDRINUSE:
        other = flag or "--port (0: any)"
        return f"another process has port {port}: stop it, or choose another with {other}"
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"give {flag or '--address'} an address of this machine"
    if exc.errno == errno.EACCES:
        return f"ports below 1024 need privileges: choose a higher one with {flag or '--port'}"
    return ""
