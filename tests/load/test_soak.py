"""Faults at random on both sides; see soak.py. Its command runs for as long as wanted."""

import random
from pathlib import Path

import pytest

from tests.support.certificates import Authority

from .soak import Soak, soaking

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


@LOOPS
async def test_whatever_goes_wrong_every_byte_is_right_and_nothing_is_left(
    loop: str, tmp_path: Path, authority: Authority
) -> None:
    soak = Soak(random.SystemRandom().randrange(10**9))
    await soaking(tmp_path, authority, soak, iter(range(1500)), f"--loop={loop}", clients=32)
    assert set(soak.outcomes) >= {"whole", "cut", "told", "left"}
