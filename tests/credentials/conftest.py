"""A clock and plugins; every test here runs under a strict event loop."""

from pathlib import Path

import pytest

from tests.support.loops import nothing_left
from tests.support.loops import one_loop as pytest_asyncio_loop_factories

from .support import Clock, Plugin

__all__ = ["nothing_left", "pytest_asyncio_loop_factories"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)
