"""Faults at random on both sides; see soak.py. Its command runs for as long as wanted."""

import random
from pathlib import Path

import pytest

from tests.support.certificates import Authority

from .soak import Soak, soaking


@pytest.mark.parametrize(("loop", "count"), [("uvloop", 1200), ("asyncio", 400)])
async def test_whatever_goes_wrong_every_byte_is_right_and_nothing_is_left(
    loop: str, count: int, tmp_path: Path, authority: Authority
) -> None:
    soak = Soak(random.SystemRandom().randrange(10**9))
    await soaking(tmp_path, authority, soak, iter(range(count)), f"--loop={loop}", clients=32)
    assert set(soak.outcomes) >= {"whole", "cut", "told", "left"}
