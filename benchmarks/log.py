"""What the request log costs: kubelatch beside itself without one."""

import contextlib
import statistics
from dataclasses import replace
from typing import Final

from . import requests
from .peers import Kubelatch, Peer, serving
from .plan import Plan
from .rounds import Figures
from .upstream import Upstream

_CLIENTS: Final = 16
# With, without; neither is always first, nor always after the other.
_ORDER: Final = (0, 1, 1, 0, 0, 1, 1, 0)
_WITHOUT: Final = "--log-requests=off"


def on_and_off(plan: Plan, upstream: Upstream, peer: Peer) -> Figures:
    """Microseconds of CPU for each request with a log and without, and the difference in percent.

    Both run side by side and are asked in turn, forth and back, so that what changes from one
    second to the next falls on both.
    """
    if not isinstance(peer, Kubelatch):
        return {}
    plan = replace(plan, clients=(_CLIENTS,))
    without = replace(peer, flags=(*peer.flags, _WITHOUT))
    ask = requests.at(_CLIENTS, "log")
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(serving(one, upstream)) for one in (peer, without)]
        for one in both:
            requests.warm_up(plan, upstream, one)
        used: dict[int, list[float]] = {0: [], 1: []}
        for turn in _ORDER:
            used[turn].append(ask(plan, upstream, both[turn])[f"log.{_CLIENTS}.cpu"])
    on, off = statistics.mean(used[0]), statistics.mean(used[1])
    return {"log.on": on, "log.off": off, "log.cost": (on / off - 1) * 100}
