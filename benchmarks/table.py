"""The table in Markdown, and its place in a document."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .metrics import METRICS, Metric, Target
from .peers import COMPILED, KUBECTL, NGINX
from .plan import Plan
from .results import Ratio, Results

_BEGIN: Final = "<!-- last run: begin -->\n"
_END: Final = "<!-- last run: end -->\n"
_TO: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Table:
    """Results beside targets.

    Attributes:
        results: of all rounds.
        plan: what they are of.
        ours: names of kubelatch's trees; the first is judged, and the compiled one; the others are
            compared with the first.
    """

    results: Results
    plan: Plan
    ours: Sequence[str]

    def __str__(self) -> str:
        rows = [self._head(), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        head, *lines = [_line(row, widths) for row in rows]
        rule = "|".join("-" * (width + 1) + ":" for width in widths[1:])
        return "\n".join([head, f"|{'-' * (widths[0] + 2)}|{rule}|", *lines])

    def _judged(self, metric: Metric, name: str, target: Target | None) -> Sequence[str]:
        """Ratio to kubectl, target, and whether it is met; empty without a target or figures."""
        ratio = None
        # Where the figure itself is aimed at, kubectl's may be nothing.
        if metric.target is None or metric.target.of_kubectl:
            ratio = self.results.ratio(metric.key, name, KUBECTL)
        figure = self.results.figure(name, metric.key)
        if target is not None and target.of_kubectl:
            figure = None if ratio is None else ratio.median
        met = None if target is None or figure is None else target.met(figure)
        return (_ratio(ratio), str(target or ""), {None: "", True: "yes", False: "**no**"}[met])

    def _head(self) -> Sequence[str]:
        judged = ["ratio", "target", "met?"]
        if COMPILED in self.ours[1:]:
            judged += [f"{COMPILED}: ratio", "target", "met?"]
        others = (f"{other} ÷ {self.ours[0]}" for other in self.ours[1:])
        return ("what", *self._peers(), *judged, *others)

    def _peers(self) -> Sequence[str]:
        return (KUBECTL, *self.ours, NGINX)

    def _rows(self) -> Iterator[Sequence[str]]:
        """Those of which anybody has a figure."""
        for metric in METRICS:
            figures = [self.results.figure(peer, metric.key) for peer in self._peers()]
            if any(figure is not None for figure in figures):
                yield (
                    metric.label(self.plan),
                    *map(_number, figures),
                    *self._judged(metric, self.ours[0], metric.target),
                    *(
                        self._judged(metric, COMPILED, metric.compiled or metric.target)
                        if COMPILED in self.ours[1:]
                        else ()
                    ),
                    *self._comparisons(metric),
                )

    def _comparisons(self, metric: Metric) -> Iterator[str]:
        for other in self.ours[1:]:
            yield _ratio(self.results.ratio(metric.key, other, self.ours[0]))


def put(table: str, document: str) -> str:
    """*document* with *table* between its marks.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        msg = f"there is no place for the table: {_BEGIN.strip()} … {_END.strip()}"
        raise ValueError(msg)
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(cells)} |"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{_number(ratio.median)} ({_number(ratio.low)}{_TO}{_number(ratio.high)})"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
