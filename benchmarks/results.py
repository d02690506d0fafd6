"""Figures, ratios and targets: from samples to the table.

A ratio is taken within one round, where the peers ran one after the other, and the table shows
the median of these. A disturbed round so counts once, not as often as it disturbed someone.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from .peers import US

KUBECTL: Final = "kubectl proxy"
NGINX: Final = "nginx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is aimed at.

    Attributes:
        bound: the figure must be at most, or at least, ``value``.
        value: a factor on kubectl's figure, or the figure itself.
        of_kubectl: which of the two.
    """

    bound: Literal["≤", "≥"]
    value: float
    of_kubectl: bool = True

    def __str__(self) -> str:
        return f"{self.bound} {self.value:g}{'×' if self.of_kubectl else ''}"

    def met(self, figure: float) -> bool:
        """Whether *figure*, a ratio or the figure itself, is good enough."""
        return figure <= self.value if self.bound == "≤" else figure >= self.value


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table."""

    key: str
    title: str
    unit: str
    target: Target | None = None


def _at_most(value: float, *, of_kubectl: bool = True) -> Target:
    return Target(bound="≤", value=value, of_kubectl=of_kubectl)


def _at_least(value: float) -> Target:
    return Target(bound="≥", value=value)


METRICS: Final = (
    Metric("small.1.rate", "GET of 0.6 KB, 1 client", "requests/s"),
    Metric("small.1.cpu", "… CPU", "µs/request"),
    Metric("small.1.p50", "… median", "µs", _at_most(0.75)),
    Metric("small.1.p99", "… 99th percentile", "µs", _at_most(1)),
    Metric("small.16.rate", "GET of 0.6 KB, 16 clients", "requests/s", _at_least(1.8)),
    Metric("small.16.cpu", "… CPU", "µs/request", _at_most(0.5)),
    Metric("small.16.p50", "… median", "µs", _at_most(0.75)),
    Metric("small.16.p99", "… 99th percentile", "µs", _at_most(1)),
    Metric("small.64.rate", "GET of 0.6 KB, 64 clients", "requests/s", _at_least(1.8)),
    Metric("small.64.cpu", "… CPU", "µs/request", _at_most(0.5)),
    Metric("small.64.p50", "… median", "µs"),
    Metric("small.64.p99", "… 99th percentile", "µs"),
    Metric("body.1.down.rate", "1 MB down, 4 clients", "MB/s"),
    Metric("body.1.down.cpu", "… CPU", "ms/MB"),
    Metric("body.1.gzip.rate", "1 MB down, gzip undone", "MB/s", _at_least(1)),
    Metric("body.1.gzip.cpu", "… CPU", "ms/MB"),
    Metric("body.1.up.rate", "1 MB up", "MB/s"),
    Metric("body.1.up.cpu", "… CPU", "ms/MB"),
    Metric("body.large.down.rate", "large body down, alone", "MB/s", _at_least(1.5)),
    Metric("body.large.down.cpu", "… CPU", "ms/MB"),
    Metric("body.large.down.memory", "… memory on top", "MB", _at_most(16, of_kubectl=False)),
    Metric("body.large.gzip.rate", "large body down, gzip undone", "MB/s", _at_least(1)),
    Metric("body.large.gzip.cpu", "… CPU", "ms/MB"),
    Metric("body.large.gzip.memory", "… memory on top", "MB", _at_most(16, of_kubectl=False)),
    Metric("body.large.up.rate", "large body up", "MB/s", _at_least(1.5)),
    Metric("body.large.up.cpu", "… CPU", "ms/MB"),
    Metric("body.large.up.memory", "… memory on top", "MB", _at_most(16, of_kubectl=False)),
    Metric("watch.open", "watches, all open after", "ms", _at_most(3)),
    Metric("watch.memory", "… memory of each", "KB", _at_most(60, of_kubectl=False)),
    Metric("watch.cpu", "… CPU to open each", "µs"),
    Metric("watch.event.p50", "… event delay at 1,000/s, median", "ms", _at_most(1)),
    Metric("watch.event.p99", "… 99th percentile", "ms"),
    Metric("watch.event.cpu", "… CPU", "µs/event"),
    Metric("tunnel.down.rate", "tunnel down", "MB/s", _at_least(1)),
    Metric("tunnel.down.cpu", "… CPU", "ms/MB"),
    Metric("tunnel.up.rate", "tunnel up", "MB/s", _at_least(1)),
    Metric("tunnel.up.cpu", "… CPU", "ms/MB"),
    Metric("start.warm", "start to first answer", "ms"),
    Metric("start.over", "… beyond `import aiohttp.web`", "ms", _at_most(100, of_kubectl=False)),
    Metric("start.cold", "… files not cached", "ms"),
    Metric("start.import", "bare `import aiohttp.web`", "ms"),
    Metric("start.python", "bare interpreter", "ms"),
    Metric("start.help", "`--help`", "ms", _at_most(120, of_kubectl=False)),
    Metric("start.version", "`--version`", "ms", _at_most(120, of_kubectl=False)),
    Metric("soak.requests", "mixed load, small requests", ""),
    Metric("soak.warm", "… memory when warm", "MB"),
    Metric("soak.end", "… memory at the end", "MB"),
    Metric("soak.growth", "… growth", "MB", _at_most(4, of_kubectl=False)),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one peer in one round."""

    round: int
    peer: str
    key: str
    value: float


@dataclass(slots=True)
class Results:
    """All samples, and remarks on what is missing."""

    samples: list[Sample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, number: int, peer: str, figures: dict[str, float]) -> None:
        """Add what one measurement of *peer* gave in round *number*."""
        self.samples += [Sample(number, peer, key, value) for key, value in figures.items()]

    def figure(self, peer: str, key: str) -> float | None:
        """The median of all rounds, or None if there is none."""
        values = [s.value for s in self.samples if s.peer == peer and s.key == key]
        return statistics.median(values) if values else None

    def ratio(self, key: str, other: str) -> float | None:
        """The median, over rounds, of our figure divided by *other*'s."""
        ours, theirs = self._by_round(US, key), self._by_round(other, key)
        ratios = [ours[n] / theirs[n] for n in ours if theirs.get(n)]
        return statistics.median(ratios) if ratios else None

    def _by_round(self, peer: str, key: str) -> dict[int, float]:
        return {s.round: s.value for s in self.samples if s.peer == peer and s.key == key}

    def met(self, metric: Metric) -> bool | None:
        """Whether its target is met; None without a target or figures."""
        if metric.target is None:
            return None
        of_kubectl = metric.target.of_kubectl
        figure = self.ratio(metric.key, KUBECTL) if of_kubectl else self.figure(US, metric.key)
        return None if figure is None else metric.target.met(figure)

    def rows(self) -> Iterable[Sequence[str]]:
        """The table's lines, without those that nobody measured."""
        for metric in METRICS:
            figures = [self.figure(peer, metric.key) for peer in (US, KUBECTL, NGINX)]
            if all(figure is None for figure in figures):
                continue
            met = self.met(metric)
            yield (
                f"{metric.title}, {metric.unit}".removesuffix(", "),
                *(_number(figure) for figure in figures),
                *(_number(self.ratio(metric.key, peer)) for peer in (KUBECTL, NGINX)),
                "" if metric.target is None else str(metric.target),
                {None: "", True: "yes", False: "**no**"}[met],
            )

    def table(self) -> str:
        """The table in Markdown, aligned."""
        head = ("what", US, KUBECTL, NGINX, "÷ kubectl", "÷ nginx", "target", "met")
        rows = [head, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
            for row in rows
        ]
        rule = (
            "|"
            + "|".join(
                ("-" * (width + 1)) + ("-" if not n else ":") for n, width in enumerate(widths)
            )
            + "|"
        )
        return "\n".join([lines[0], rule, *lines[1:]])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
