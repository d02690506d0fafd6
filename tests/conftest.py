"""Fixtures that all tests share."""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.certificates import Authority
from tests.support.leaks import EventLoopErrors

settings.register_profile("long", max_examples=1_000)

# What tests start as a process is this checkout, as what they import is (pytest's pythonpath).
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(Path(__file__).parents[1] / "proxy"), os.environ.get("PYTHONPATH")))
)
# And as where the environment is active: what is suggested says kubelatch, and no path.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


def pytest_collection_finish() -> None:
    """Spare each of the tests' searches for leaks what has been collected: thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority for the whole run."""
    return Authority()


@pytest.fixture(autouse=True)
def _nothing_that_nobody_caught() -> Iterator[None]:
    """Fail a test in which the event loop met an error that nobody caught, or a leak."""
    errors, log = EventLoopErrors(), logging.getLogger("asyncio")
    log.addHandler(errors)
    try:
        yield
    finally:
        log.removeHandler(errors)
    assert errors.messages == []
