"""Load for as long as wanted: ``python -m tests.load --minutes 10``.

Watches stay open and get an event every second, while busy clients ask as fast as they can.
Every byte is checked. A line every ten seconds says what it costs the proxy; memory and
descriptors should stay where they are after the first ones.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from kubelatch.system.process import raise_descriptor_limit
from tests.support.certificates import Authority

from .clients import busy, watching
from .process import cpu_seconds, descriptors, rss, under_load

_LINE_SECONDS = 10.0


def _numbers(options: argparse.Namespace) -> Iterator[int]:
    """Numbers until time, or the wanted requests, are over."""
    if options.requests:
        yield from range(options.requests)
        return
    end = time.monotonic() + options.minutes * 60
    for number in itertools.count():
        if time.monotonic() >= end:
            return
        yield number


async def _load(options: argparse.Namespace, directory: Path) -> None:
    flags = (f"--loop={options.loop}",)
    async with under_load(directory, Authority(), *flags) as (upstream, proxy):
        pid = proxy.process.pid
        numbers = _numbers(options)
        asked = 0

        def counted() -> Iterator[int]:
            nonlocal asked
            for number in numbers:
                asked += 1
                yield number

        def tell() -> None:
            seconds = time.monotonic() - began
            sys.stdout.write(
                f"{seconds:6.0f} s {asked:9} requests {asked / max(seconds, 0.1):7.0f}/s "
                f"{cpu_seconds(pid) / max(asked, 1) * 1e6:5.0f} us each, "
                f"{rss(pid) / 2**20:6.1f} MB, {descriptors(pid)} descriptors\n"
            )
            sys.stdout.flush()

        async with watching(proxy.address, upstream, options.watches) as watches:
            began = time.monotonic()
            working = asyncio.ensure_future(busy(proxy.address, options.clients, counted()))
            for second in itertools.count():
                if second % _LINE_SECONDS == 0:
                    tell()
                watches.send(second)
                if (await asyncio.wait([working], timeout=1))[0]:
                    break
            await working
            await watches.end()
        tell()


def main() -> None:
    """Parse the options, and go."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--requests", type=int, default=0, help="this many, instead of minutes")
    parser.add_argument("--watches", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--loop", default="auto", choices=("auto", "asyncio", "uvloop"))
    options = parser.parse_args()
    raise_descriptor_limit()
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_load(options, Path(directory)))


if __name__ == "__main__":
    main()
