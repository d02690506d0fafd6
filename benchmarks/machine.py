"""What was measured on what: machine and versions, as lines for the table's foot."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import wrk
from .peers import Kubelatch, Peer

_LIBRARIES: Final = """\
import importlib.metadata as m, platform, ssl
print(f"CPython {platform.python_version()}, aiohttp {m.version('aiohttp')},"
      f" uvloop {m.version('uvloop')}, {ssl.OPENSSL_VERSION}")
"""


def facts(peers: Sequence[Peer]) -> dict[str, str]:
    """All of it, by name."""
    ours = next(peer for peer in peers if isinstance(peer, Kubelatch))
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        **{peer.name: peer.version() for peer in peers},
        "libraries": ours.run("-c", _LIBRARIES).strip(),
        "wrk": wrk.version(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
