"""What a process and its children have used, as the kernel accounts for it. Linux only.

Nothing is asked of the processes themselves, so that all peers are measured in the same way.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CLOCK_OF_PROCESS: Final = 2
# TCP_ESTABLISHED in /proc/net/tcp.
_OPEN: Final = "01"


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its number, and all that descend from it."""

    pid: int

    def cpu(self) -> float:
        """Seconds of CPU time of all threads, ended ones included; exact to the nanosecond.

        Raises:
            OSError: the process has ended.
        """
        return sum(time.clock_gettime(_clock(pid)) for pid in self._family())

    def memory(self) -> int:
        """Bytes resident now."""
        return sum(int(_read(pid, "statm").split()[1]) * _PAGE for pid in self._family())

    def connections(self, port: int) -> int:
        """How many TCP connections over IPv4 lead to this port, whatever the address."""
        found = 0
        for pid in self._family():
            sockets = {_target(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
            for line in _read(pid, "net/tcp").splitlines()[1:]:
                fields = line.split()
                to_port = int(fields[2].rpartition(":")[2], 16) == port
                found += to_port and fields[3] == _OPEN and f"socket:[{fields[9]}]" in sockets
        return found

    def forget_peak(self) -> None:
        """Let :meth:`peak_memory` begin anew."""
        for pid in self._family():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Bytes resident at most, since :meth:`forget_peak`."""
        return sum(_peak(pid) for pid in self._family())

    def _family(self, pid: int = 0) -> Iterator[int]:
        pid = pid or self.pid
        yield pid
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from self._family(int(child))


def _clock(pid: int) -> int:
    """The number of a process's CPU clock: clock_getcpuclockid(3), which Python does not have."""
    return (~pid << 3) | _CLOCK_OF_PROCESS


def _peak(pid: int) -> int:
    for line in _read(pid, "status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    msg = f"process {pid} has no memory: it has ended"
    raise ProcessLookupError(msg)


def _target(link: Path) -> str:
    """Where it leads; empty if that has been closed meanwhile."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()
