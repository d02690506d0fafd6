"""Every test here runs under both event loops."""

import pytest

from tests.support.loops import both_loops as pytest_asyncio_loop_factories
from tests.support.loops import nothing_left

from .warm_connection import BEGUN, Begun

__all__ = ["nothing_left", "pytest_asyncio_loop_factories"]


@pytest.fixture
def begun() -> Begun:
    """The targets of the requests that have gone to the upstream without a task."""
    BEGUN.clear()
    return BEGUN
