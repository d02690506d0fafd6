"""Event loops for tests, and what is left behind fails the test that did so.

A package of tests says in its ``conftest.py`` under which loops it runs::

    from tests.support.loops import both_loops as pytest_asyncio_loop_factories
    from tests.support.loops import nothing_left

    __all__ = ["nothing_left", "pytest_asyncio_loop_factories"]
"""

import asyncio
import gc
import os
import sys
from asyncio import constants
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop

# It doubles the time of a test, so a second leg of CI does without.
_DEBUG = os.environ.get("TEST_LOOP_DEBUG") != "0"
# Where only one of the two is wanted: its name.
_ONLY = os.environ.get("TEST_LOOP", "")

# Frames of where each callback was made; formatting the usual ten takes a third of the mode's time.
constants.DEBUG_STACK_DEPTH = 4  # type: ignore[misc]

Factories = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


class DebugLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop in debug mode: it says where a leak was made, and which callback held the
    loop up. pytest-asyncio's runner switches the mode off where it is not on for all tests."""

    def __init__(self) -> None:
        super().__init__()
        # Seconds. What takes that long is a defect on the busiest of machines.
        self.slow_callback_duration = 5.0

    def set_debug(self, enabled: bool) -> None:
        super().set_debug(_DEBUG)

    def create_future(self) -> asyncio.Future[Any]:
        # C's futures format the whole stack in debug mode, whatever the depth: half a test's time.
        self._debug = False
        try:
            return super().create_future()
        finally:
            self._debug = _DEBUG

    def create_task(self, *args: Any, **named: Any) -> asyncio.Task[Any]:
        # The same of tasks, of which it is worth knowing where they were made.
        sys.tracebacklimit = 6
        try:
            return super().create_task(*args, **named)
        finally:
            del sys.tracebacklimit

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # Said in debug mode alone, and of a test's own server: a client does not trust it.
        if context["message"] != "Error on transport creation for incoming connection":
            super().call_exception_handler(context)


def both_loops(config: pytest.Config, item: pytest.Item) -> Factories:
    """pytest-asyncio's hook, for tests of what depends on a loop's sockets: each loop by name.

    uvloop is as it is in use; its debug mode adds nothing to that of the other.
    """
    both = {"asyncio": DebugLoop, "uvloop": uvloop.new_event_loop}
    return {_ONLY: both[_ONLY]} if _ONLY else both


def one_loop(config: pytest.Config, item: pytest.Item) -> Factories:
    """pytest-asyncio's hook, for all others."""
    return {"asyncio": DebugLoop}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """What was dropped without being closed or awaited says so now: pytest makes warnings errors,
    and asyncio's complaints fail the test as well."""
    yield
    gc.collect()
