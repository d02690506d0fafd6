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


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()
