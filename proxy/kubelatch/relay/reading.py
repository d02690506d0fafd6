"""Reading from a client, which is paused for one reason or several.

While it is paused the client's end does not show: whether it has left is then checked now and
then, and its connection aborted, as its end would have ended it. Nothing is read here.
"""

import asyncio
from typing import Final

from ..system.peer import has_disconnected

# How often a client that is not read from is checked, in seconds.
_INTERVAL: Final = 0.5

# Why a transport is not read from; one bit each.
BODY_FULL: Final = 1
PENDING_FULL: Final = 2
TUNNEL_STALLED: Final = 4


class Reading:
    """Pauses and resumes the transport of one client.

    Attributes:
        transport: the client's; None before there is one.
        paused: the reasons for which it is paused, one bit each.
        half_closes: a client that sends no more may still wait for what it is sent, and only a
            reset shows that it has left.
    """

    __slots__ = ("_timer", "half_closes", "paused", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused = 0
        self.half_closes = False
        self._timer: asyncio.TimerHandle | None = None

    def pause(self, reason: int) -> None:
        """Read no more, until :meth:`resume` with the same *reason*."""
        self.paused |= reason
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
            if self._timer is None:
                self._check_later(transport)

    def resume(self, reason: int) -> None:
        """Read again, if no other reason is left. May be repeated."""
        if not self.paused & reason:
            return
        self.paused &= ~reason
        transport = self.transport
        if not self.paused and transport is not None and not transport.is_closing():
            transport.resume_reading()

    def stop(self) -> None:
        """Do nothing more: the connection is lost."""
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_later(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_INTERVAL, self._check, transport)

    def _check(self, transport: asyncio.Transport) -> None:
        self._timer = None
        if transport.is_closing() or transport.is_reading():
            return
        if has_disconnected(transport.get_extra_info("socket"), half=not self.half_closes):
            transport.abort()
        else:
            self._check_later(transport)
