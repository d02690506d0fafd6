"""How much of each is done: the full table within ten minutes, or enough to see that it works."""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of each.

    Attributes:
        rounds: of small requests, the log's price, and starts.
        fewer: rounds of everything else.
        clients: numbers of clients that send small requests.
        seconds: for each of these numbers.
        megabytes: the size of a large body.
        tunnel: MB through a tunnel, each way.
        watches: at once.
        watching: watches that events come through.
        events: seconds of events.
        soak: seconds of mixed load.
    """

    rounds: int
    fewer: int
    clients: tuple[int, ...]
    seconds: int
    megabytes: int
    tunnel: int
    watches: int
    watching: int
    events: int
    soak: int


FULL: Final = Plan(
    rounds=7,
    fewer=3,
    clients=(1, 16, 64),
    seconds=1,
    megabytes=512,
    tunnel=256,
    watches=1000,
    watching=100,
    events=3,
    soak=1800,
)
QUICK: Final = replace(
    FULL, rounds=3, fewer=1, megabytes=64, tunnel=64, watches=300, events=1, soak=15
)
