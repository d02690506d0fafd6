"""Both event loops, for tests of what depends on a loop's sockets.

A package of tests that wants each of its tests under both says in its ``conftest.py``::

    from .loops import pytest_asyncio_loop_factories
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def _watchful(new: Callable[[], asyncio.AbstractEventLoop]) -> asyncio.AbstractEventLoop:
    loop = new()
    loop.set_debug(True)
    loop.slow_callback_duration = 60  # a busy machine is no defect
    return loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """pytest-asyncio's hook: the loops by name, in debug mode."""
    return {
        "asyncio": lambda: _watchful(asyncio.new_event_loop),
        "uvloop": lambda: _watchful(uvloop.new_event_loop),
    }
