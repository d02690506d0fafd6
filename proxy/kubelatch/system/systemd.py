"""systemd's protocols: socket activation, state notification, priorities in the journal.

Rules from sd_listen_fds(3), sd_notify(3) and sd-daemon(3). The variables of the first two are
removed from the environment, so that no child process uses them. Without systemd, nothing here
fails.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

from ..errors import ListenError
from .supervision import Supervisor

log = logging.getLogger(__name__)

_FIRST_FD: Final = 3
# Seconds that a notification may block, other than those of the watchdog.
_SEND_SECONDS: Final = 1.0
# Priorities of syslog(3), which the journal uses.
_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7


def take_sockets(environ: MutableMapping[str, str]) -> tuple[tuple[str, socket.socket], ...]:
    """The listening sockets that were passed to this process, each with its name.

    The name is ``FileDescriptorName=`` of the socket unit, by default the unit's own. Child
    processes do not inherit the sockets.

    Args:
        environ: the ``LISTEN_`` variables are removed.

    Raises:
        ListenError: a descriptor is no listening stream socket.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return ()
    fds = range(_FIRST_FD, _FIRST_FD + int(count))
    # All of them, before the first is checked: no child may inherit one.
    for fd in fds:
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, False)
    names += [""] * (len(fds) - len(names))
    return tuple((name or "unknown", _adopt(fd)) for name, fd in zip(names, fds, strict=False))


def _adopt(fd: int) -> socket.socket:
    hint = "a socket unit needs ListenStream= and Accept=no"
    try:
        sock = socket.socket(fileno=fd)
    except OSError as exc:
        msg = f"file descriptor {fd} from the service manager is no socket"
        raise ListenError(msg, hint=hint) from exc
    families = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}
    if (
        sock.family not in families
        or sock.type != socket.SOCK_STREAM
        or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        msg = f"file descriptor {fd} from the service manager is not a listening stream socket"
        raise ListenError(msg, hint=hint)
    sock.setblocking(False)
    return sock


def leads_to_journal(environ: Mapping[str, str], fd: int = 2) -> bool:
    """Whether *fd* is connected to the journal (systemd.exec(5), ``JOURNAL_STREAM``)."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def journal_mark(level: int) -> str:
    """The prefix that gives a line the priority of a level of :mod:`logging`."""
    return f"<{next((mark for least, mark in _PRIORITIES if level >= least), _DEBUG)}>"


class Notifier:
    """Reports state to the service manager, if there is one.

    Args:
        address: of the datagram socket; with ``@`` at its start, in the abstract namespace.
        watchdog: seconds within which the manager expects a keep-alive; 0 for never.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog
        self._status = ""

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """The notifier that the environment describes.

        Args:
            environ: ``NOTIFY_SOCKET`` and the ``WATCHDOG_`` variables are removed.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        ours = pid in {"", str(os.getpid())} and microseconds.isdecimal()
        if not address.startswith(("/", "@")):
            return cls()
        return cls(address, int(microseconds) / 1e6 if ours else 0.0)

    def ready(self, status: Callable[[], str]) -> None:
        """Report that the proxy serves, or has finished a reload.

        Args:
            status: called if there is a service manager.
        """
        if self._address:
            self._send("READY=1", status())

    def reloading(self) -> None:
        """Report the begin of a reload; :meth:`ready` reports its end."""
        # systemd 253 and later match the time to their request (systemd.service(5), notify-reload).
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str, within: float) -> None:
        """Report that the proxy stops, which may take *within* seconds.

        The manager waits for so long even if its unit sets a shorter time-out.
        """
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within * 1e6)}", status)

    def watch(self, status: Callable[[], str], supervisor: Supervisor) -> None:
        """Send watchdog keep-alives from the running event loop, at twice the required rate.

        An event loop that hangs sends none, and the manager restarts the service.

        Args:
            status: called each time; sent if it has changed.
            supervisor: runs the keep-alives.
        """

        def keep_alive() -> None:
            self._send("WATCHDOG=1", status(), seconds=0.0)

        if self._address and self._watchdog:
            keep_alive()
            supervisor.every("watchdog", self._watchdog / 2, keep_alive)

    def _send(self, state: str, status: str = "", *, seconds: float = _SEND_SECONDS) -> None:
        if not self._address:
            return
        if status and status != self._status:
            self._status = status
            state = f"{state}\nSTATUS={' '.join(status.splitlines())}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                # The manager may be stopped, with a full queue.
                sock.settimeout(seconds)
                sock.sendto(state.encode("utf-8", "backslashreplace"), self._address)
        except OSError as exc:
            # Not fatal: a manager that is gone or stopped is no reason to stop serving.
            log.debug("the service manager was not told %r: %s", state, exc)
