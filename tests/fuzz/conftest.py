"""Every test here runs under both event loops."""

from tests.support.loops import both_loops as pytest_asyncio_loop_factories
from tests.support.loops import nothing_left

__all__ = ["nothing_left", "pytest_asyncio_loop_factories"]
