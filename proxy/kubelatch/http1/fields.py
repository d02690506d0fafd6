"""A head's header fields, read once: names in lower case, and where each name stands.

Peers send the same names with nearly every message, so what follows from names alone is kept for
the next message that has the same ones.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

Pair = tuple[bytes, bytes]
Pairs = Sequence[Pair]

# Of names that are kept: bytes of one head, heads, and ways to filter one.
_MAX_BYTES: Final = 2048
_MAX_HEADS: Final = 256
_MAX_FILTERS: Final = 8


class FieldNames:
    """The names of one head's fields.

    Args:
        names: as they came, in order.

    Attributes:
        lower: the same in lower case.
        first: where each of these stands first.
    """

    __slots__ = ("_kept", "first", "lower")

    def __init__(self, names: Sequence[bytes]) -> None:
        self.lower: tuple[bytes, ...] = tuple([name.lower() for name in names])
        self.first: dict[bytes, int] = {}
        for position, name in enumerate(self.lower):
            self.first.setdefault(name, position)
        self._kept: dict[frozenset[bytes], tuple[int, ...]] = {}

    def without(self, drop: frozenset[bytes]) -> tuple[int, ...]:
        """The positions of all names, lower case, that are not in *drop*."""
        kept = self._kept.get(drop)
        if kept is None:
            kept = tuple([i for i, name in enumerate(self.lower) if name not in drop])
            if len(self._kept) < _MAX_FILTERS:
                self._kept[drop] = kept
        return kept


def field_names(pairs: Pairs) -> FieldNames:
    """The names of *pairs*; those of an earlier head, if they are the same."""
    names = tuple([name for name, _ in pairs])
    if sum(map(len, names)) > _MAX_BYTES:
        return FieldNames(names)
    return _cached(names)


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
        position = self.names.first.get(name)
        return None if position is None else self.pairs[position][1]

    def values(self, name: bytes) -> list[bytes]:
        """All values of the field *name* (lower case)."""
        if name not in self.names.first:
            return []
        pairs = zip(self.names.lower, self.pairs, strict=True)
        return [value for lower, (_, value) in pairs if lower == name]
