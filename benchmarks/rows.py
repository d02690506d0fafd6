"""The kinds of work, by name."""

from typing import Final

from . import bodies, log, requests, soak, start, tunnels, watches
from .plan import Plan
from .rounds import Row


def _often(plan: Plan) -> int:
    return plan.rounds


def _sometimes(plan: Plan) -> int:
    return plan.fewer


def _once(_plan: Plan) -> int:
    return 1


SOAK: Final = "soak"
ROWS: Final = {
    "requests": Row(
        about="small requests of 1, 16 and 64 clients",
        rounds=_often,
        steps=(requests.warm_up, requests.at(1), requests.at(16), requests.at(64)),
    ),
    "asyncio": Row(
        about="small requests of 16 clients, kubelatch on asyncio's own event loop",
        rounds=_sometimes,
        steps=(requests.warm_up, requests.at(16, "asyncio")),
        flags=("--loop=asyncio",),
    ),
    "log": Row(
        about="what kubelatch's log costs",
        rounds=_often,
        own_starts=(log.on_and_off,),
        ours_only=True,
    ),
    "bodies": Row(
        about="bodies of 1 MB and 512 MB, down, down with gzip, and up",
        rounds=_sometimes,
        steps=(
            requests.warm_up,
            *(bodies.large(way) for way in ("down", "gzip", "up")),
            *(bodies.megabytes(way) for way in ("down", "gzip", "up")),
        ),
    ),
    "watches": Row(
        about="1,000 watches, and 1,000 events a second through 100",
        rounds=_sometimes,
        steps=(requests.warm_up, watches.watches, watches.events),
    ),
    "tunnels": Row(
        about="tunnels as of exec, down and up",
        rounds=_sometimes,
        steps=(tunnels.tunnel("down"), tunnels.tunnel("up")),
    ),
    "start": Row(
        about="start to first answer, and commands that only print",
        rounds=_often,
        own_starts=(start.warm, start.cold, start.commands),
    ),
    SOAK: Row(
        about="half an hour of mixed load on kubelatch; see --minutes",
        rounds=_once,
        steps=(soak.soak,),
        ours_only=True,
    ),
}
