"""Mixed work, as much as a busy hour brings, to show that memory does not grow."""

import time
from typing import Final

from . import nginx, transfers, tunnels, watches, wrk
from .origin import Origin
from .payloads import MEGABYTE
from .peers import Running

_SLICES: Final = 12
# Memory after this many slices is what it is compared with at the end.
_WARM: Final = 3
_SIZE: Final = 8
_WATCHES: Final = 50


def soak(origin: Origin, peer: Running, seconds: int) -> dict[str, float]:
    """Small answers and refusals, bodies, tunnels, and watches that come and go, over and over.

    Memory is in MB: after a quarter of the time, when all has been done a few times, and at the
    end.
    """
    memory, requests = [], 0
    for _ in range(_SLICES):
        requests += _slice(origin, peer, seconds / _SLICES)
        memory.append(peer.process.memory() / MEGABYTE)
    return {
        "soak.requests": float(requests),
        "soak.warm": memory[_WARM - 1],
        "soak.end": memory[-1],
        "soak.growth": memory[-1] - memory[_WARM - 1],
    }


def _slice(origin: Origin, peer: Running, seconds: float) -> int:
    end = time.monotonic() + seconds
    transfers.large(peer, _SIZE)
    tunnels.tunnel(peer, _SIZE)
    watches.watches(origin, peer, _WATCHES, 1)
    left = max(1, round(end - time.monotonic()))
    answers = wrk.ask(peer, nginx.SMALL, origin.directory, clients=32, seconds=left)
    return answers.count
