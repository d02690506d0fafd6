"""Mixed work for as long as one likes, to show that memory does not grow."""

import time
from typing import Final

from . import bodies, nginx, tunnels, watches, wrk
from .payloads import MEGABYTE
from .peers import Serving
from .plan import Plan
from .rounds import Figures
from .upstream import Upstream

SIZE: Final = 8
"""Of the bodies and tunnels, in MB."""
_WATCHES: Final = 50


def soak(plan: Plan, upstream: Upstream, serving: Serving) -> Figures:
    """Small answers, bodies, tunnels, and watches that come and go, over and over.

    Memory is in MB: after a quarter of the time, when all has been done many times, and at the
    end.
    """
    memory: list[float] = []
    requests = 0
    end = time.monotonic() + plan.soak
    while time.monotonic() < end:
        requests += _mixture(upstream, serving)
        upstream.forget_logs()
        memory.append(serving.process.memory() / MEGABYTE)
    warm = memory[len(memory) // 4]
    return {
        "soak.requests": requests,
        "soak.warm": warm,
        "soak.end": memory[-1],
        "soak.growth": memory[-1] - warm,
    }


def _mixture(upstream: Upstream, serving: Serving) -> int:
    """The number of small requests in it."""
    for body in ("down", "gzip", "up"):
        bodies.move(serving, body, SIZE)
    for way in ("down", "up"):
        tunnels.fill(serving, way, SIZE)
    watches.send(upstream, serving, _WATCHES, 1)
    return wrk.ask(serving, nginx.SMALL, upstream.directory, clients=32, seconds=3).count
