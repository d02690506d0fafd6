"""A deadline that moves with each request, on one timer."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls back once it has passed. Moving it to later costs no timer.

    Args:
        on_passed: is called; the deadline is cleared by then.
    """

    __slots__ = ("_at", "_loop", "_on_passed", "_timer")

    def __init__(self, on_passed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_passed = on_passed
        # On the event loop's clock; None: there is none now.
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Let it pass in so many seconds from now; 0 clears it."""
        if seconds <= 0:
            self._at = None
            return
        self._at = at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer)

    def clear(self) -> None:
        """Let it not pass, until it is set again."""
        self._at = None

    def stop(self) -> None:
        """End the timer, too."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        at = self._at
        if at is None:
            return
        if self._loop.time() < at:
            self._timer = self._loop.call_at(at, self._on_timer)
        else:
            self._at = None
            self._on_passed()
