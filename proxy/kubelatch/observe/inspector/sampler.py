"""Which exchanges are captured, where more come than can be."""

from typing import Final

# Exchanges a second that are captured; where more than so many come, fewer: what it takes is then
# taken from the others, and they tell nothing new.
RATE: Final = 200.0
_BUSY: Final = 1000
_BUSY_RATE: Final = 25.0
# Of these, kept for connections of which nothing has been captured within a second: one client in
# a loop would hide all others.
_RESERVE: Final = 20.0
# Seconds over which it is counted how many come, and between two looks at that.
_WINDOW: Final = 0.2
_STEP: Final = 0.05


class Sampler:
    """A token bucket.

    Args:
        now: a time on the clock of records.
    """

    __slots__ = ("_counted", "_lately", "_left", "_next", "_rate", "_refilled", "_second", "_seen")

    def __init__(self, now: float) -> None:
        self._left = self._rate = RATE
        self._refilled, self._next = now, now + _STEP
        # Exchanges since then.
        self._seen, self._counted = 0, now
        # Connections that were captured before this time, and less than a second ago.
        self._second = now + 1
        self._lately: set[int] = set()

    def ended(self, count: int) -> None:
        """Count exchanges, captured or not."""
        self._seen += count

    def takes(self, connection: object, now: float) -> bool:
        """Whether an exchange on this connection, which begins *now*, is captured."""
        if self._left < _RESERVE:
            if now >= self._next:
                self._refill(now)
            if self._left < 1 or (self._left < _RESERVE and id(connection) in self._lately):
                return False
        self._left -= 1
        self._lately.add(id(connection))
        return True

    def _refill(self, now: float) -> None:
        if now >= self._counted + _WINDOW:
            busy = self._seen > _BUSY * (now - self._counted)
            self._rate = _BUSY_RATE if busy else RATE
            self._seen, self._counted = 0, now
        if now >= self._second:
            self._lately.clear()
            self._second = now + 1
        self._left = min(RATE, self._left + (now - self._refilled) * self._rate)
        self._refilled, self._next = now, now + _STEP
