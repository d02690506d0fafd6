"""Many clients at once, and many requests one after another."""

import asyncio
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.relay import eventually

from .clients import busy, watching
from .process import descriptors, rss, under_load

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
MB = 1024 * 1024


@LOOPS
async def test_a_thousand_watches_and_64_busy_clients_all_get_everything(
    loop: str, tmp_path: Path, authority: Authority
) -> None:
    async with under_load(tmp_path, authority, f"--loop={loop}") as (upstream, proxy):
        await busy(proxy.address, 1, iter(range(10)))
        before = descriptors(proxy.process.pid)
        async with watching(proxy.address, upstream, 1000) as watches:
            working = asyncio.ensure_future(busy(proxy.address, 64, iter(range(3000))))
            for number in range(10):
                watches.send(number)
                await asyncio.sleep(0.05)
            await working
            await watches.end()
        # The pool keeps a bounded number of idle connections.
        await eventually(lambda: descriptors(proxy.process.pid) <= before + 128)


async def test_memory_stays_flat_over_many_requests(tmp_path: Path, authority: Authority) -> None:
    async with under_load(tmp_path, authority) as (_, proxy):
        await busy(proxy.address, 16, iter(range(5_000)))
        before = rss(proxy.process.pid)
        # Less than the smallest object for each.
        await busy(proxy.address, 16, iter(range(14_000)))
        assert rss(proxy.process.pid) - before < 1.5 * MB
