"""Limits how many TLS handshakes run at a time.

A thousand watches that are opened together would all hold the memory of a handshake at the same
time, all finish late, and none could resume the session of another. With a limit the first are
ready early, and the others resume their session.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

# A processor completes about as many within one round trip to a distant API server.
_LIMIT: Final = 64
# A server that does not respond delays other handshakes for no longer than this.
_MAX_SECONDS: Final = 0.25


class HandshakeLimiter:
    """A semaphore whose slots are freed after a time, even if the handshake is still running.

    Args:
        limit: how many handshakes may run at a time.
        max_seconds: after this time a handshake no longer counts.
    """

    def __init__(self, *, limit: int = _LIMIT, max_seconds: float = _MAX_SECONDS) -> None:
        self._free = asyncio.Semaphore(limit)
        self._max_seconds = max_seconds

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, first come, first served, and hold it until the end of the block."""
        await self._free.acquire()
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._max_seconds, release)
        try:
            yield
        finally:
            timer.cancel()
            release()
