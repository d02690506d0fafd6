"""Fixtures of this room."""

from pathlib import Path

import pytest

from .support import Clock, Plugin


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)
