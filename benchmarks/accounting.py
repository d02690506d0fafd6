"""What a process has used, as the kernel accounts for it (proc(5)). Linux only.

Nothing is asked of the process itself, so that all peers are measured in the same way.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its number."""

    pid: int

    def cpu(self) -> float:
        """Seconds of CPU time of all its threads, in the kernel and outside."""
        # The name, in parentheses, may hold spaces.
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Bytes resident now."""
        return int(self._read("statm").split()[1]) * _PAGE

    def forget_peak(self) -> None:
        """Let :meth:`peak_memory` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Bytes resident at most, since :meth:`forget_peak`."""
        for line in self._read("status").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        msg = f"process {self.pid} has no memory: it has ended"
        raise ProcessLookupError(msg)

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()
