"""When an exchange that waits is given up: as the clock goes, check by check."""

from types import SimpleNamespace

import pytest

from kubelatch.relay import timeouts
from kubelatch.relay.timeouts import Timeouts
from tests.support.clock import ManualClock, ManualSupervisor
from tests.support.relay import eventually, relaying

from .warm_connection import GET, mute

LIMIT = 8.0


async def test_a_request_may_wait_for_all_of_the_response_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, supervisor = ManualClock(), ManualSupervisor()
    monkeypatch.setattr(timeouts, "time", SimpleNamespace(monotonic=clock))
    async with relaying(mute) as relay, relay.client() as client:
        checks = Timeouts(LIMIT, relay.registry)
        checks.start(supervisor)
        [(_, period, check)] = supervisor.parts
        # A quarter more may pass until it is noticed.
        assert period == LIMIT / 4
        await client.send(GET)
        await eventually(lambda: relay.upstream.requests)
        [exchange] = relay.registry
        for _ in range(4):
            check()
            assert exchange.awaits_response
            clock.now += period
        check()
        answer = await client.answer()
        assert (answer.status, answer.whole) == (504, True)
        assert b"within 8 s" in answer.body
        checks.stop()
        assert supervisor.parts == []


async def test_a_request_waits_since_it_was_sent_and_not_since_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one before it on the same connection waited as long as it may, nearly."""
    clock, supervisor = ManualClock(), ManualSupervisor()
    monkeypatch.setattr(timeouts, "time", SimpleNamespace(monotonic=clock))
    async with relaying(mute) as relay, relay.client() as first, relay.client() as second:
        checks = Timeouts(LIMIT, relay.registry)
        checks.start(supervisor)
        [(_, period, check)] = supervisor.parts
        await first.send(GET)
        await eventually(lambda: len(relay.upstream.requests) == 1)
        for _ in range(4):
            check()
            clock.now += period
        await second.send(GET)
        await eventually(lambda: len(relay.upstream.requests) == 2)
        check()
        assert (await first.answer()).status == 504
        [exchange] = relay.registry
        assert exchange.awaits_response
        for _ in range(4):
            clock.now += period
            check()
        assert (await second.answer()).status == 504
        checks.stop()
