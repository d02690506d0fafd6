"""HandshakeLimiter: first come, first served, up to the limit, and slow ones count for a while."""

import asyncio
import contextlib

from kubelatch.upstream.handshakes import HandshakeLimiter
from tests.support.clock import settle
from tests.support.relay import eventually


class Handshakes:
    """Tasks that hold a slot until they are ended.

    Attributes:
        running: the tasks that have a slot, in the order in which they got it.
    """

    def __init__(self, limiter: HandshakeLimiter, count: int) -> None:
        self._limiter = limiter
        self._ends = [asyncio.Event() for _ in range(count)]
        self.running: list[int] = []
        self.tasks = [asyncio.create_task(self._run(number)) for number in range(count)]

    async def end(self, number: int) -> None:
        self._ends[number].set()
        await self.tasks[number]

    async def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _run(self, number: int) -> None:
        async with self._limiter.slot():
            self.running.append(number)
            try:
                await self._ends[number].wait()
            finally:
                self.running.remove(number)


async def test_slots_go_to_the_first_that_waits_up_to_the_limit() -> None:
    handshakes = Handshakes(HandshakeLimiter(limit=2, max_seconds=60), 5)
    await settle()
    assert handshakes.running == [0, 1]
    await handshakes.end(1)
    await settle()
    assert handshakes.running == [0, 2]
    await handshakes.end(0)
    await handshakes.end(2)
    await settle()
    assert handshakes.running == [3, 4]
    await handshakes.cancel()


async def test_a_slow_handshake_does_not_delay_the_others() -> None:
    handshakes = Handshakes(HandshakeLimiter(limit=2, max_seconds=0.02), 6)
    await eventually(lambda: handshakes.running == [0, 1, 2, 3, 4, 5])
    await handshakes.cancel()


async def test_a_slow_handshake_frees_its_slot_once() -> None:
    limiter = HandshakeLimiter(limit=1, max_seconds=0.02)
    slow = Handshakes(limiter, 2)
    await eventually(lambda: slow.running == [0, 1])
    await eventually(lambda: not limiter._free.locked())
    await slow.cancel()
    limiter._max_seconds = 60
    handshakes = Handshakes(limiter, 3)
    await settle()
    assert handshakes.running == [0]
    await handshakes.cancel()


async def test_a_cancelled_handshake_frees_its_slot() -> None:
    handshakes = Handshakes(HandshakeLimiter(limit=1, max_seconds=60), 4)
    await settle()
    for number in (1, 0):
        handshakes.tasks[number].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await handshakes.tasks[number]
    await settle()
    assert handshakes.running == [2]
    await handshakes.cancel()
