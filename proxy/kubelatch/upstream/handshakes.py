"""Not all at once: handshakes that begin together end together, and late.

A thousand watches that are opened at a time would all hold the memory of a handshake, and none
could resume the session of another. In turns the first are ready early and the others resume.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

# A processor does about as many in the time of one round trip to a distant API server.
_AT_ONCE: Final = 64
# Seconds. A server that does not answer holds nobody up for longer.
_LONGEST: Final = 0.25


class Turns:
    """See the module.

    Args:
        at_once: how many may have their turn together.
        longest: seconds after which who has a turn no longer counts.
    """

    def __init__(self, *, at_once: int = _AT_ONCE, longest: float = _LONGEST) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._longest = longest

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, first come, first served, and have it until the end of the block."""
        await self._free.acquire()
        counts = True

        def over() -> None:
            nonlocal counts
            if counts:
                counts = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._longest, over)
        try:
            yield
        finally:
            timer.cancel()
            over()
