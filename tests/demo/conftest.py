"""A demo of its own for each test: it starts in a few hundredths of a second."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kubelatch.demo import DemoAccess, DemoServer

from .support import Http, Kubectl

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
async def demo() -> AsyncIterator[DemoAccess]:
    """A running demo whose pods start at once and log quickly."""
    async with DemoServer(log_interval=0.05, start_delay=0.01) as access:
        yield access


@pytest.fixture
async def http(demo: DemoAccess) -> AsyncIterator[Http]:
    """An HTTPS client."""
    async with Http.open(demo) as client:
        yield client


@pytest.fixture
def kubectl(demo: DemoAccess, tmp_path: Path) -> Kubectl:
    """kubectl, as the administrator by client certificate."""
    return Kubectl(demo, tmp_path)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on each of the two event loops, and sees that no task is left."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def checked(coroutine: Coroutine[Any, Any, None]) -> None:
        await coroutine
        await asyncio.sleep(0)  # asyncio's own tasks for refused handshakes end one step later
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda coroutine: runner.run(checked(coroutine))
