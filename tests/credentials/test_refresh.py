"""The machine behind plugins and OIDC: ahead of time, one at a time, never in a loop."""

import asyncio
from itertools import pairwise

import pytest

from kubelatch.credentials import Credential
from kubelatch.credentials.refresh import RefreshingSource
from kubelatch.errors import CredentialError
from kubelatch.secret import Secret

from .support import Clock


class Fetcher:
    """A slow function under the test's control."""

    def __init__(self, clock: Clock) -> None:
        self.runs = 0
        self.cancelled = 0
        self.lifetime: float | None = 600.0
        self.token: str | None = None
        self.error: CredentialError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._clock = clock

    async def __call__(self) -> Credential:
        self.runs += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        token = self.token or f"t{self.runs}"
        expires_at = None if self.lifetime is None else self._clock.now + self.lifetime
        return Credential(kind="exec", authorization=Secret(token), expires_at=expires_at)


@pytest.fixture
async def fetch(clock: Clock) -> Fetcher:
    return Fetcher(clock)


@pytest.fixture
def source(fetch: Fetcher, clock: Clock) -> RefreshingSource:
    return RefreshingSource("exec", fetch, clock=clock, monotonic=clock)


async def settle() -> None:
    """Let tasks that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_is_fetched_before_it_is_needed(
    source: RefreshingSource, fetch: Fetcher
) -> None:
    assert source.cached() is None
    await settle()
    assert fetch.runs == 0


async def test_many_waiters_cause_one_attempt(source: RefreshingSource, fetch: Fetcher) -> None:
    fetch.gate.clear()
    waiters = [asyncio.create_task(source.get()) for _ in range(50)]
    await settle()
    fetch.gate.set()
    assert len({id(credential) for credential in await asyncio.gather(*waiters)}) == 1
    assert fetch.runs == 1


async def test_a_waiter_that_leaves_does_not_end_the_attempt(
    source: RefreshingSource, fetch: Fetcher
) -> None:
    fetch.gate.clear()
    leaves, stays = (asyncio.create_task(source.get()) for _ in range(2))
    await settle()
    leaves.cancel()
    await settle()
    fetch.gate.set()
    assert (await stays).authorization == Secret("t1")
    assert leaves.cancelled()
    assert (fetch.runs, fetch.cancelled) == (1, 0)


async def test_the_attempt_goes_on_when_the_only_waiter_leaves(
    source: RefreshingSource, fetch: Fetcher
) -> None:
    fetch.gate.clear()
    waiter = asyncio.create_task(source.get())
    await settle()
    waiter.cancel()
    fetch.gate.set()
    await settle()
    assert source.cached() is not None


async def test_renewal_begins_ahead_while_the_old_one_serves(
    source: RefreshingSource, fetch: Fetcher, clock: Clock
) -> None:
    first = await source.get()
    clock.now += 539
    assert source.cached() is first
    await settle()
    assert fetch.runs == 1
    clock.now += 1
    fetch.gate.clear()
    assert source.cached() is first
    assert source.cached() is first
    await settle()
    assert fetch.runs == 2
    fetch.gate.set()
    await settle()
    assert source.cached() not in {None, first}


async def test_a_short_life_is_renewed_in_its_last_tenth(
    source: RefreshingSource, fetch: Fetcher, clock: Clock
) -> None:
    fetch.lifetime = 100
    await source.get()
    clock.now += 89
    source.cached()
    await settle()
    assert fetch.runs == 1
    clock.now += 1
    source.cached()
    await settle()
    assert fetch.runs == 2


async def test_without_an_expiry_it_serves_for_ever(
    source: RefreshingSource, fetch: Fetcher, clock: Clock
) -> None:
    fetch.lifetime = None
    await source.get()
    clock.now += 10**9
    assert source.cached() is not None
    await settle()
    assert fetch.runs == 1


async def test_an_expired_credential_is_not_given_out(
    source: RefreshingSource, fetch: Fetcher, clock: Clock
) -> None:
    await source.get()
    clock.now += 600
    assert source.cached() is None
    assert (await source.get()).authorization == Secret("t2")


async def test_a_failed_renewal_leaves_the_old_one_until_it_expires(
    source: RefreshingSource, fetch: Fetcher, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first = await source.get()
    clock.now += 550
    fetch.error = CredentialError("no")
    assert source.cached() is first
    await settle()
    assert source.cached() is first
    assert source.describe().last_error == "no"
    assert caplog.messages == ["no; the last credential serves until it expires"]
    clock.now += 50
    with pytest.raises(CredentialError):
        await source.get()


async def test_failures_are_spaced_out(
    source: RefreshingSource, fetch: Fetcher, clock: Clock
) -> None:
    fetch.error = CredentialError("no", hint="try", cause="exec")
    began = []
    for _ in range(100):
        before = fetch.runs
        with pytest.raises(CredentialError, match="no") as caught:
            await source.get()
        assert (caught.value.hint, caught.value.cause) == ("try", "exec")
        if fetch.runs > before:
            began.append(clock.now)
        clock.now += 1
    pauses = [b - a for a, b in pairwise(began)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]

    fetch.error = None
    clock.now += 30
    await source.get()
    assert source.describe().last_error == ""


async def test_waiters_do_not_share_one_exception(source: RefreshingSource, fetch: Fetcher) -> None:
    fetch.error = CredentialError("no")
    results = await asyncio.gather(*(source.get() for _ in range(3)), return_exceptions=True)
    assert len({id(result) for result in results}) == 3


class TestRejected:
    async def test_one_renewal_serves_all_that_were_rejected(
        self, source: RefreshingSource, fetch: Fetcher
    ) -> None:
        rejected = await source.get()
        fresh = await asyncio.gather(*(source.invalidate(rejected) for _ in range(20)))
        assert {str(c and c.authorization and c.authorization.reveal()) for c in fresh} == {"t2"}
        assert fetch.runs == 2

    async def test_a_late_rejection_gets_the_renewed_credential(
        self, source: RefreshingSource, fetch: Fetcher
    ) -> None:
        rejected = await source.get()
        fresh = await source.invalidate(rejected)
        assert await source.invalidate(rejected) is fresh
        assert fetch.runs == 2

    async def test_the_same_credential_again_is_none_and_fetched_once(
        self, source: RefreshingSource, fetch: Fetcher
    ) -> None:
        fetch.token = "cached"
        rejected = await source.get()
        assert await source.invalidate(rejected) is None
        for _ in range(20):
            current = source.cached()
            assert current is not None
            assert await source.invalidate(current) is None
        assert fetch.runs == 2

    async def test_new_ones_that_are_rejected_too_are_spaced_out(
        self, source: RefreshingSource, fetch: Fetcher, clock: Clock
    ) -> None:
        await source.get()
        for _ in range(100):
            current = source.cached()
            assert current is not None
            await source.invalidate(current)
            clock.now += 1
        assert fetch.runs <= 9

    async def test_long_after_it_begins_anew(
        self, source: RefreshingSource, fetch: Fetcher, clock: Clock
    ) -> None:
        fetch.lifetime = None
        for expected in (2, 3, 4):
            assert await source.invalidate(source.cached() or await source.get()) is not None
            assert fetch.runs == expected
            clock.now += 3600

    async def test_a_failed_renewal_returns_none(
        self, source: RefreshingSource, fetch: Fetcher
    ) -> None:
        rejected = await source.get()
        fetch.error = CredentialError("no")
        assert await source.invalidate(rejected) is None
        assert await source.invalidate(rejected) is None
        assert fetch.runs == 2

    async def test_the_renewal_under_way_is_joined(
        self, source: RefreshingSource, fetch: Fetcher, clock: Clock
    ) -> None:
        rejected = await source.get()
        clock.now += 550
        fetch.gate.clear()
        source.cached()
        waiting = asyncio.create_task(source.invalidate(rejected))
        await settle()
        fetch.gate.set()
        assert (await waiting) is source.cached()
        assert fetch.runs == 2


async def test_an_expired_credential_does_not_cause_a_run_per_request(
    source: RefreshingSource, fetch: Fetcher, clock: Clock
) -> None:
    fetch.lifetime = -10
    for _ in range(20):
        assert await source.get() is not None
    assert fetch.runs == 1
    clock.now += 1
    await source.get()
    assert fetch.runs == 2


async def test_closing_cancels_the_attempt_and_fails_the_waiters(
    source: RefreshingSource, fetch: Fetcher
) -> None:
    fetch.gate.clear()
    waiter = asyncio.create_task(source.get())
    await settle()
    await source.close()
    with pytest.raises(CredentialError, match="shutting down"):
        await waiter
    with pytest.raises(CredentialError, match="shutting down"):
        await source.get()
    assert fetch.cancelled == 1


async def test_an_initial_credential_needs_no_fetching(fetch: Fetcher, clock: Clock) -> None:
    initial = Credential(kind="oidc", expires_at=clock.now + 100)
    source = RefreshingSource("oidc", fetch, initial=initial, clock=clock, monotonic=clock)
    assert await source.get() is initial
    assert fetch.runs == 0
