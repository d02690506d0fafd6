"""Every test here runs under a strict event loop."""

from tests.support.loops import nothing_left
from tests.support.loops import one_loop as pytest_asyncio_loop_factories

__all__ = ["nothing_left", "pytest_asyncio_loop_factories"]
