"""The exchanges that are kept, and those under way, in the order in which they changed.

Each change has a number, so that a client that reads events can go on where it stopped. A client
that is slower than they come misses what has left the ring meanwhile, and delays nobody.
"""

from collections.abc import Iterator

from .entries import KeptExchange


class Ring:
    """See the module.

    Args:
        entries: the most exchanges that are kept after their end.
        size: the most bytes that they may have.

    Attributes:
        changes: the number of the last change.
        cleared: the number of the change that last removed all; 0 if none did.
        size: the bytes that the kept ones have.
    """

    def __init__(self, entries: int, size: int) -> None:
        self._most = entries
        self._most_bytes = size
        # By the number of the change, oldest first.
        self._kept: dict[int, KeptExchange] = {}
        self._running: dict[int, KeptExchange] = {}
        # By id, the change that brought it.
        self._changes: dict[int, int] = {}
        self.changes = 0
        self.cleared = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, entry: KeptExchange) -> None:
        """Keep an exchange that has ended; the oldest make room."""
        self._forget(entry.number)
        self.changes += 1
        self._kept[self.changes] = entry
        self._changes[entry.number] = self.changes
        self.size += entry.size
        while len(self._kept) > self._most or self.size > self._most_bytes:
            self._forget(next(iter(self._kept.values())).number)

    def show(self, entry: KeptExchange) -> None:
        """Show an exchange under way, in place of what was shown of it before."""
        self._forget(entry.number)
        self.changes += 1
        self._running[self.changes] = entry
        self._changes[entry.number] = self.changes

    def clear(self) -> None:
        """Forget those that have ended."""
        for entry in list(self._kept.values()):
            self._forget(entry.number)
        self.changes += 1
        self.cleared = self.changes

    def find(self, number: int) -> KeptExchange | None:
        """The exchange with that id; None if it is not kept, or no more."""
        change = self._changes.get(number, 0)
        return self._kept.get(change) or self._running.get(change)

    def since(self, change: int) -> list[tuple[int, KeptExchange]]:
        """The exchanges that changed after a change, with the number of theirs, oldest first."""
        return sorted((*_since(self._kept, change), *_since(self._running, change)))

    def newest_first(self) -> list[KeptExchange]:
        """All, by id."""
        entries = (*self._kept.values(), *self._running.values())
        return sorted(entries, key=lambda entry: -entry.number)

    def _forget(self, number: int) -> None:
        change = self._changes.pop(number, 0)
        entry = self._kept.pop(change, None)
        if entry is not None:
            self.size -= entry.size
        self._running.pop(change, None)


def _since(entries: dict[int, KeptExchange], change: int) -> Iterator[tuple[int, KeptExchange]]:
    for number in reversed(entries):
        if number <= change:
            return
        yield number, entries[number]
