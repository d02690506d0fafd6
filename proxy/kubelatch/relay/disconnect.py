"""Notices that a client has left although nothing is read from it, so that its end does not show.

It cuts the connection then, as its end would have done. It reads nothing itself.
"""

import asyncio
from typing import Final

from ..system.peer import has_left

# How often a client that is not read from is looked at, in seconds.
_EVERY: Final = 0.5


class Lookout:
    """See the module."""

    __slots__ = ("_half", "_timer")

    def __init__(self) -> None:
        self._half = True
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport, *, half: bool = True) -> None:
        """Look now and then, until *transport* is read from again. May be repeated.

        Args:
            transport: of the client.
            half: who sends no more has left; False: it may still wait for what it is sent.
        """
        self._half = half
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_EVERY, self._look, transport)

    def stop(self) -> None:
        """Look no more. May be repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.Transport) -> None:
        self._timer = None
        if transport.is_closing() or transport.is_reading():
            return
        if has_left(transport.get_extra_info("socket"), half=self._half):
            transport.abort()
        else:
            self.begin(transport, half=self._half)
