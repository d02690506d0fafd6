"""A suspend is seen by the clock that counts it."""

import time

import pytest

from kubelatch.system.suspend import SuspendClock


def test_a_suspend_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, real = SuspendClock(), time.clock_gettime
    assert not clock.was_suspended()
    monkeypatch.setattr(time, "clock_gettime", lambda which: real(which) + 60)
    assert clock.was_suspended()
    assert not clock.was_suspended()
