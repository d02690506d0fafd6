"""As the first process of a container: children that were left to us are waited for.

The kernel hands process 1 whatever its descendants started and did not wait for, such as the
helpers of an exec plugin; unless it waits for them, each stays in the process table for good.
Whom this program has started itself, somebody here waits for, and that is not touched.
"""

import asyncio
import contextlib
import os
from typing import Final

# Who waits for a child of ours does so at once: one that is still there at the next look is not.
_LOOK: Final = 1.0


def reap_orphans() -> None:
    """Do so for as long as the running event loop runs, if this is process 1."""
    if os.getpid() == 1:
        _look(0)


def _look(suspect: int) -> None:
    with contextlib.suppress(ChildProcessError):
        pid = _ended_child()
        while pid and pid == suspect:
            os.waitpid(pid, os.WNOHANG)
            pid = _ended_child()
        suspect = pid
    asyncio.get_running_loop().call_later(_LOOK, _look, suspect)


def _ended_child() -> int:
    """One that has ended and that nobody has waited for; 0 if there is none. It stays."""
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended.si_pid if ended is not None else 0
