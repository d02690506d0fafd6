"""A head's header fields, read once: names in lower case, and where each name stands.

Peers send the same names with nearly every message, so what follows from names alone is kept for
the next message that has the same ones.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final

Pair = tuple[bytes, bytes]
Pairs = Sequence[Pair]
Selector = Callable[[Pairs], Pairs]

# Of names that are kept: bytes of one head, heads, and ways to filter one.
_MAX_BYTES: Final = 2048
_MAX_HEADS: Final = 256
_MAX_SELECTORS: Final = 8


class FieldNames:
    """The names of one head's fields.

    Args:
        names: as they came, in order.

    Attributes:
        given: the same.
        lower: the same in lower case.
        positions: where each of these stands.
    """

    __slots__ = ("_selectors", "given", "lower", "positions")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.given = names
        self.lower = tuple([name.lower() for name in names])
        self.positions: dict[bytes, list[int]] = {}
        for position, name in enumerate(self.lower):
            self.positions.setdefault(name, []).append(position)
        self._selectors: dict[frozenset[bytes], Selector] = {}

    def without(self, drop: frozenset[bytes]) -> Selector:
        """What selects, of fields with these names, those whose name is not in *drop*."""
        selector = self._selectors.get(drop)
        if selector is None:
            kept = [position for position, name in enumerate(self.lower) if name not in drop]
            # With less than two, itemgetter returns no tuple.
            selector = itemgetter(*kept) if len(kept) > 1 else partial(_at, kept)
            if len(self._selectors) < _MAX_SELECTORS:
                self._selectors[drop] = selector
        return selector


def _at(positions: list[int], pairs: Pairs) -> Pairs:
    return [pairs[position] for position in positions]


def field_names(pairs: Pairs, latest: FieldNames | None = None) -> FieldNames:
    """The names of *pairs*; those of an earlier head, if they are the same.

    Args:
        pairs: one head's fields.
        latest: the names of the head before on the same connection, which are the likeliest.
    """
    names = tuple(map(_name_of, pairs))
    if latest is not None and latest.given == names:
        return latest
    if sum(map(len, names)) > _MAX_BYTES:
        return FieldNames(names)
    return _cached(names)


_name_of = itemgetter(0)
_cached = lru_cache(_MAX_HEADS)(FieldNames)


class Fields:
    """One head's fields.

    Args:
        pairs: names and values as they came, in order.
        names: their names, where they have been read already.

    Attributes:
        pairs: the same.
        names: their names.
    """

    __slots__ = ("names", "pairs")

    def __init__(self, pairs: Pairs = (), names: FieldNames | None = None) -> None:
        self.pairs = pairs
        self.names = field_names(pairs) if names is None else names

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field *name* (lower case), or None."""
        positions = self.names.positions.get(name)
        return None if positions is None else self.pairs[positions[0]][1]

    def values(self, name: bytes) -> list[bytes]:
        """All values of the field *name* (lower case)."""
        return [self.pairs[position][1] for position in self.names.positions.get(name, ())]

    def without(self, drop: frozenset[bytes]) -> Pairs:
        """The fields whose name (lower case) is not in *drop*."""
        return self.names.without(drop)(self.pairs)
