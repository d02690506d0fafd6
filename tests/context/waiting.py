"""What tests of reloading share."""

import asyncio
import logging
from collections.abc import Callable

import pytest


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that the reloader does by itself."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0.05)


def messages(caplog: pytest.LogCaptureFixture, least: int = logging.INFO) -> list[str]:
    """What the reloader has logged."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= least and record.name == "kubelatch.context.reload"
    ]
