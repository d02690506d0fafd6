"""Notices that the machine was suspended: connections may be dead then, and nobody has said so."""

import time
from typing import Final

# CLOCK_BOOTTIME counts the time in suspend (clock_gettime(2)); not every system has it.
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
# Less is no reason for doubt: the clocks are read one after the other.
_LEAST: Final = 2.0


class SuspendClock:
    """Compares the clock that counts time in suspend with the one that does not."""

    def __init__(self) -> None:
        self._difference = _difference()

    def was_suspended(self) -> bool:
        """Whether the machine was suspended since the last call, or the beginning."""
        before, self._difference = self._difference, _difference()
        return self._difference - before >= _LEAST


def _difference() -> float:
    """The seconds that this machine has been suspended since its start."""
    return 0.0 if _BOOTTIME is None else time.clock_gettime(_BOOTTIME) - time.monotonic()
