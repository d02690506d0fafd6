"""As the first process of a container: children that were left to us are waited for.

The kernel hands process 1 whatever its descendants started and did not wait for, such as the
helpers of an exec plugin; unless it waits for them, each stays in the process table for good.
Whom this program has started itself, somebody here waits for, and that is not touched.
"""

import contextlib
import os
from typing import Final

from .supervision import Supervisor

# Who waits for a child of ours does so at once: one that is still there at the next look is not.
_INTERVAL: Final = 1.0


def reap_zombies(supervisor: Supervisor) -> None:
    """Do so from now on, if this is process 1."""
    if os.getpid() == 1:
        supervisor.every("zombie reaper", _INTERVAL, _Reaper().look)


class _Reaper:
    """Remembers the child that had ended at the last look."""

    def __init__(self) -> None:
        self._suspect = 0

    def look(self) -> None:
        with contextlib.suppress(ChildProcessError):
            pid = _ended_child()
            while pid and pid == self._suspect:
                os.waitpid(pid, os.WNOHANG)
                pid = _ended_child()
            self._suspect = pid


def _ended_child() -> int:
    """One that has ended and that nobody has waited for; 0 if there is none. It stays."""
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended.si_pid if ended is not None else 0
