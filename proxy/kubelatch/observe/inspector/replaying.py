"""Requests that are being replayed, until the exchange that each becomes is known."""

from ...http1.fields import Pairs
from ...relay.record import Record


class Replaying:
    """A request that is being replayed.

    Args:
        original: the id of the exchange that it repeats.

    Attributes:
        number: the id of the new exchange, once it has begun.
        headers: its header fields, where it did not become one at once.
    """

    def __init__(self, original: int) -> None:
        self.original = original
        self.number: int | None = None
        self.headers: Pairs | None = None


class Replays:
    """Those that are under way.

    Attributes:
        current: the request that the handler is given now, if it is a replay.
    """

    def __init__(self) -> None:
        self.current: Replaying | None = None
        self._later: list[Replaying] = []

    def wait_for(self, replaying: Replaying, headers: Pairs) -> None:
        """It was refused or is held: it will be found by its header fields."""
        replaying.headers = headers
        self._later.append(replaying)

    def take(self, record: Record) -> Replaying | None:
        """The replay that a record is of, if it did not become an exchange at once."""
        found = next((each for each in self._later if each.headers is record.headers), None)
        if found is not None:
            self._later.remove(found)
        return found
