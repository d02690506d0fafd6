"""Samples, and what follows from them: medians, and ratios with their spread."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one peer in one round."""

    round: int
    peer: str
    key: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio of two peers: the median over rounds, the smallest and the largest."""

    median: float
    low: float
    high: float


@dataclass(slots=True)
class Results:
    """All samples, and remarks on what is missing."""

    samples: list[Sample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, number: int, peer: str, figures: dict[str, float]) -> None:
        """Add what *peer* did in round *number*."""
        self.samples += [Sample(number, peer, key, value) for key, value in figures.items()]

    def figure(self, peer: str, key: str) -> float | None:
        """The median of all rounds, or None if there is none."""
        values = self._by_round(peer, key).values()
        return statistics.median(values) if values else None

    def ratio(self, key: str, peer: str, other: str) -> Ratio | None:
        """The figures of *peer* divided by those of *other*.

        Each is taken within a round: a disturbed one so counts once, whomever it disturbed.
        """
        ratios = list(self._ratios(key, peer, other))
        if not ratios:
            return None
        return Ratio(median=statistics.median(ratios), low=min(ratios), high=max(ratios))

    def _ratios(self, key: str, peer: str, other: str) -> Iterator[float]:
        ours, theirs = self._by_round(peer, key), self._by_round(other, key)
        for number, value in ours.items():
            divisor = theirs.get(number, 0)
            if divisor > 0:
                yield value / divisor

    def _by_round(self, peer: str, key: str) -> dict[int, float]:
        return {s.round: s.value for s in self.samples if s.peer == peer and s.key == key}
