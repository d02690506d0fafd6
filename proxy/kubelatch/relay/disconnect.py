"""Notices that a client has left although nothing is read from it, so that its end does not show.

The connection is then aborted, as its end would have ended it. Nothing is read here.
"""

import asyncio
from typing import Final

from ..system.peer import has_disconnected

# How often a client that is not read from is checked, in seconds.
_INTERVAL: Final = 0.5


class DisconnectMonitor:
    """Checks one client while its transport is paused."""

    __slots__ = ("_half", "_timer")

    def __init__(self) -> None:
        self._half = True
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.Transport, *, half: bool) -> None:
        """Check now and then, until *transport* is read from again. May be repeated.

        Args:
            transport: the client's.
            half: a client that sends no more has left; False: it may still wait for what it is
                sent, and only a reset tells.
        """
        self._half = half
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_INTERVAL, self._check, transport)

    def stop(self) -> None:
        """Check no more. May be repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, transport: asyncio.Transport) -> None:
        self._timer = None
        if transport.is_closing() or transport.is_reading():
            return
        if has_disconnected(transport.get_extra_info("socket"), half=self._half):
            transport.abort()
        else:
            self.start(transport, half=self._half)
