"""Fixtures that all tests share."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

import kubelatch
from tests.support.certificates import Authority
from tests.support.leaks import EventLoopErrors

# How long an example takes depends on what else the machine does.
settings.register_profile("suite", deadline=None)
settings.register_profile("long", max_examples=1_000, deadline=None)
settings.load_profile("suite")

# What tests start as a process is what they import: this checkout, by pytest's pythonpath, or the
# compiled build.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(Path(kubelatch.__file__).parents[1]), os.environ.get("PYTHONPATH")))
)
# And as where the environment is active: what is suggested says kubelatch, and no path.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

# Started by nohup, pytest keeps ignoring SIGHUP; what tests start has it as it comes.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


# What takes longest, first: the last module to start decides when all workers are done.
LONGEST: Final = (
    "package/test_image.py",
    "package/test_docs.py",
    "cli/test_run.py",
    "observe/written_rules/test_sessions.py",
    "observe/test_console.py",
    "credentials/tls/test_against_kubectl.py",
    "browser/test_inspector.py",
    "kubectl/test_differences_lifecycle.py",
    "package/test_examples.py",
    "faults/test_failure_modes.py",
    "load/test_load.py",
    "kubeconfig/test_against_kubectl.py",
    "demo/test_streams.py",
    "context/test_reload.py",
    "package/test_systemd_machine.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {Path(__file__).parent / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    """Spare each of the tests' searches for leaks what has been collected: thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority for the whole run."""
    return Authority()


@pytest.fixture(autouse=True, scope="module")
def _spare_what_modules_leave() -> Iterator[None]:
    """The same of what each module has imported, cached and kept. Searched anew in each test's
    teardown, it would take half the time of the suite."""
    yield
    gc.collect()
    gc.freeze()


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
