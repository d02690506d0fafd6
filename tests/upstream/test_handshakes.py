"""Turns: in order, so many at once, and nobody is held up for long."""

import asyncio
import contextlib

from kubelatch.upstream.handshakes import Turns
from tests.support.relay import eventually


class Guests:
    """Have their turns until they are told to end.

    Attributes:
        inside: who has a turn, in the order in which they got it.
    """

    def __init__(self, turns: Turns, count: int) -> None:
        self._turns = turns
        self._ends = [asyncio.Event() for _ in range(count)]
        self.inside: list[int] = []
        self.tasks = [asyncio.create_task(self._visit(number)) for number in range(count)]

    async def end(self, number: int) -> None:
        self._ends[number].set()
        await self.tasks[number]

    async def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _visit(self, number: int) -> None:
        async with self._turns.turn():
            self.inside.append(number)
            try:
                await self._ends[number].wait()
            finally:
                self.inside.remove(number)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_first_come_first_served_and_so_many_at_once() -> None:
    guests = Guests(Turns(at_once=2, longest=60), 5)
    await settle()
    assert guests.inside == [0, 1]
    await guests.end(1)
    await settle()
    assert guests.inside == [0, 2]
    await guests.end(0)
    await guests.end(2)
    await settle()
    assert guests.inside == [3, 4]
    await guests.leave()


async def test_who_takes_long_holds_nobody_up() -> None:
    guests = Guests(Turns(at_once=2, longest=0.02), 6)
    await eventually(lambda: guests.inside == [0, 1, 2, 3, 4, 5])
    await guests.leave()


async def test_who_took_long_is_not_counted_twice() -> None:
    turns = Turns(at_once=1, longest=0.02)
    slow = Guests(turns, 2)
    await eventually(lambda: slow.inside == [0, 1])
    await eventually(lambda: not turns._free.locked())
    await slow.leave()
    turns._longest = 60
    guests = Guests(turns, 3)
    await settle()
    assert guests.inside == [0]
    await guests.leave()


async def test_who_gives_up_leaves_the_turn_to_the_next() -> None:
    guests = Guests(Turns(at_once=1, longest=60), 4)
    await settle()
    for number in (1, 0):
        guests.tasks[number].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await guests.tasks[number]
    await settle()
    assert guests.inside == [2]
    await guests.leave()
