"""systemd's protocols: sockets that it hands over, state that is reported to it, and how its
journal reads a line.

Rules from sd_listen_fds(3), sd_notify(3) and sd-daemon(3); no library is needed for any. The
first two take their variables out of the environment, so that no child process mistakes them for
its own, and nothing here fails because systemd is not there. It knows nothing of HTTP.
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
# What happens a few times in a process's life may wait this long for the manager.
_SEND_SECONDS: Final = 1.0
# Of syslog(3), which the journal shares.
_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7


def take_sockets(environ: MutableMapping[str, str]) -> tuple[tuple[str, socket.socket], ...]:
    """The listening sockets that were passed to this process, each with its name.

    The name is ``FileDescriptorName=`` of the socket unit, by default the unit's own. The
    sockets are closed in child processes.

    Args:
        environ: is left without the ``LISTEN_`` variables.

    Raises:
        ListenError: what was passed is no listening stream socket.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return ()
    fds = range(_FIRST_FD, _FIRST_FD + int(count))
    # None may reach a child, not even if a later one is refused.
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
    """Whether the journal reads what is written to *fd* (systemd.exec(5), ``JOURNAL_STREAM``)."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def journal_mark(level: int) -> str:
    """What before a line gives it the priority of this level of :mod:`logging`."""
    return f"<{next((mark for least, mark in _PRIORITIES if level >= least), _DEBUG)}>"


class Notifier:
    """Tells the service manager how we are; without one, it tells nobody.

    Args:
        address: of the datagram socket; ``@`` at its start stands for the abstract namespace.
        watchdog: seconds within which the manager wants a sign of life; 0 is never.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog
        self._status = ""

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """The notifier that the service manager asks for.

        Args:
            environ: is left without ``NOTIFY_SOCKET`` and the ``WATCHDOG_`` variables.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        ours = pid in {"", str(os.getpid())} and microseconds.isdecimal()
        if not address.startswith(("/", "@")):
            return cls()
        return cls(address, int(microseconds) / 1e6 if ours else 0.0)

    def ready(self, status: str) -> None:
        """It serves; also the end of a reload."""
        self._send("READY=1", status)

    def reloading(self) -> None:
        """The configuration is read again; :meth:`ready` follows."""
        # systemd 253 and later tell by this time which request to reload was meant.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str, within: float) -> None:
        """It is on its way out, which may take this many seconds.

        The manager waits for that long even if its unit says less.
        """
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within * 1e6)}", status)

    def watch(self, status: Callable[[], str], supervisor: Supervisor) -> None:
        """Send a watchdog keep-alive from the running event loop, twice as often as asked for.

        An event loop that hangs gives none, and the manager restarts the service.

        Args:
            status: is asked each time, and sent when it has changed.
            supervisor: sees to it that this goes on.
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
                # The manager may be stopped, and its queue be full.
                sock.settimeout(seconds)
                sock.sendto(state.encode("utf-8", "backslashreplace"), self._address)
        except OSError as exc:
            # The manager will notice by itself; stopping for it would make things worse.
            log.debug("the service manager was not told %r: %s", state, exc)
