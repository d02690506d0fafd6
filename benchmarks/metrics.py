"""What the table's lines are called, and what is aimed at."""

from dataclasses import asdict, dataclass
from typing import Final, Literal

from .plan import Plan

_TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is aimed at.

    Attributes:
        bound: at most, or at least, ``value``.
        value: a factor on kubectl's figure, or the figure itself.
        of_kubectl: which of the two.
    """

    bound: Literal["≤", "≥"]
    value: float
    of_kubectl: bool = True

    def __str__(self) -> str:
        return f"{self.bound} {self.value:g}{_TIMES if self.of_kubectl else ''}"

    def met(self, figure: float) -> bool:
        """Whether *figure*, a ratio or the figure itself, is good enough."""
        return figure <= self.value if self.bound == "≤" else figure >= self.value


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table.

    Attributes:
        key: of the figures.
        title: fields of :class:`.plan.Plan` stand in braces.
        unit: of the figures; empty if they are counts.
        target: what is aimed at, if anything.
        compiled: the same for the compiled build, if that is another.
    """

    key: str
    title: str
    unit: str = ""
    target: Target | None = None
    compiled: Target | None = None

    def label(self, plan: Plan) -> str:
        """Title and unit, as in the table."""
        title = self.title.format_map(asdict(plan))
        return f"{title}, {self.unit}" if self.unit else title


def _at_most(value: float) -> Target:
    return Target(bound="≤", value=value)


def _at_least(value: float) -> Target:
    return Target(bound="≥", value=value)


def _itself_at_most(value: float) -> Target:
    return Target(bound="≤", value=value, of_kubectl=False)


METRICS: Final = (
    Metric("requests.1.rate", "small GET, 1 client", "requests/s"),
    Metric("requests.1.cpu", "… CPU", "µs/request"),
    Metric("requests.1.p50", "… median", "µs", _at_most(0.75), _at_most(0.65)),
    Metric("requests.1.p99", "… 99th percentile", "µs", _at_most(1)),
    Metric(
        "requests.16.rate", "small GET, 16 clients", "requests/s", _at_least(1.6), _at_least(1.9)
    ),
    Metric("requests.16.cpu", "… CPU", "µs/request", _at_most(0.5), _at_most(0.4)),
    Metric("requests.16.p50", "… median", "µs", _at_most(0.75), _at_most(0.65)),
    Metric("requests.16.p99", "… 99th percentile", "µs", _at_most(1)),
    Metric(
        "requests.64.rate", "small GET, 64 clients", "requests/s", _at_least(1.6), _at_least(1.9)
    ),
    Metric("requests.64.cpu", "… CPU", "µs/request", _at_most(0.55), _at_most(0.45)),
    Metric("requests.64.p50", "… median", "µs", _at_most(0.75)),
    Metric("requests.64.p99", "… 99th percentile", "µs", _at_most(1)),
    Metric("asyncio.16.rate", "`--loop=asyncio`, 16 clients", "requests/s"),
    Metric("asyncio.16.cpu", "… CPU", "µs/request"),
    Metric("asyncio.16.p50", "… median", "µs"),
    Metric("asyncio.16.p99", "… 99th percentile", "µs"),
    Metric("log.on", "16 clients, CPU with the log", "µs/request"),
    Metric("log.off", "… without", "µs/request"),
    Metric("log.cost", "… the log's part", "%", _itself_at_most(8)),
    Metric("bodies.1.down.rate", "1 MB down, 4 clients", "MB/s"),
    Metric("bodies.1.down.cpu", "… CPU", "ms/MB"),
    Metric("bodies.1.gzip.rate", "1 MB down, gzip undone", "MB/s", _at_least(1)),
    Metric("bodies.1.gzip.cpu", "… CPU", "ms/MB"),
    Metric("bodies.1.up.rate", "1 MB up", "MB/s"),
    Metric("bodies.1.up.cpu", "… CPU", "ms/MB"),
    Metric("bodies.large.down.rate", "{megabytes} MB down", "MB/s", _at_least(1.7)),
    Metric("bodies.large.down.cpu", "… CPU", "ms/MB"),
    Metric("bodies.large.down.memory", "… added memory", "MB", _itself_at_most(16)),
    Metric("bodies.large.gzip.rate", "{megabytes} MB down, gzip undone", "MB/s", _at_least(1.4)),
    Metric("bodies.large.gzip.cpu", "… CPU", "ms/MB"),
    Metric("bodies.large.gzip.memory", "… added memory", "MB", _itself_at_most(16)),
    Metric("bodies.large.up.rate", "{megabytes} MB up", "MB/s", _at_least(1.5)),
    Metric("bodies.large.up.cpu", "… CPU", "ms/MB"),
    Metric("bodies.large.up.memory", "… added memory", "MB", _itself_at_most(16)),
    Metric("watches.open", "{watches:,} watches, until all are open", "ms", _at_most(1)),
    Metric("watches.memory", "… memory of each", "KB", _itself_at_most(20)),
    Metric("watches.cpu", "… CPU to open each", "µs", _at_most(1)),
    Metric("watches.connections", "… upstream connections more", target=_itself_at_most(14)),
    Metric(
        "watches.event.p50", "1,000 events/s over {watching:,} watches, delay", "ms", _at_most(1)
    ),
    Metric("watches.event.p99", "… 99th percentile", "ms"),
    Metric("watches.event.cpu", "… CPU", "µs/event"),
    Metric("tunnels.down.rate", "tunnel down, {tunnel} MB", "MB/s", _at_least(1)),
    Metric("tunnels.down.cpu", "… CPU", "ms/MB"),
    Metric("tunnels.up.rate", "tunnel up, {tunnel} MB", "MB/s", _at_least(1)),
    Metric("tunnels.up.cpu", "… CPU", "ms/MB"),
    Metric("start.warm", "start to first answer", "ms", _itself_at_most(180)),
    Metric("start.memory", "… memory after it", "MB", _itself_at_most(40)),
    Metric("start.cold", "… with files not cached", "ms"),
    Metric("start.import", "bare `import aiohttp.web`", "ms"),
    Metric("start.python", "bare interpreter", "ms"),
    Metric("start.help", "`--help`", "ms", _itself_at_most(45)),
    Metric("start.version", "`--version`", "ms", _itself_at_most(45)),
    Metric("start.completion", "`completion bash`", "ms", _itself_at_most(45)),
    Metric("soak.requests", "{soak:,} s of mixed load, small requests"),
    Metric("soak.warm", "… memory after a quarter of it", "MB"),
    Metric("soak.end", "… memory at the end", "MB"),
    Metric("soak.growth", "… growth", "MB", _itself_at_most(4)),
)
