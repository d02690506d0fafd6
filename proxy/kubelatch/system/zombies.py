"""The zombie reaper, for the first process of a container.

The kernel makes process 1 the parent of orphans, such as the helpers of an exec plugin; unless it
waits for them, each stays in the process table as a zombie. Children that this program has started
itself are waited for where they were started.
"""

import contextlib
import os
from typing import Final

from .supervision import Supervisor

# Seconds. A child of this program is waited for at once, so one that is a zombie at two successive
# checks is an orphan.
_INTERVAL: Final = 1.0


def reap_zombies(supervisor: Supervisor) -> None:
    """Reap orphans from now on, if this is process 1."""
    if os.getpid() == 1:
        supervisor.every("zombie reaper", _INTERVAL, _Reaper().look)


class _Reaper:
    """Reaps children that were zombies at two successive checks."""

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
    """The pid of a zombie, which is left as it is; 0 if there is none."""
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended.si_pid if ended is not None else 0
