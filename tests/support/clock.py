"""Time that a test moves, and a supervisor whose parts a test runs by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from kubelatch.system.supervision import Supervisor


async def settle() -> None:
    """Let every task go as far as it can without anything from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


class Part(NamedTuple):
    """What a supervisor was asked to call.

    Attributes:
        seconds: how often.
    """

    name: str
    seconds: float
    turn: Callable[[], Awaitable[None] | None]


class ManualSupervisor(Supervisor):
    """Keeps what it is asked to call, and leaves the calls to the test."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Part] = []

    def every(
        self, name: str, seconds: float, turn: Callable[[], Awaitable[None] | None]
    ) -> Callable[[], None]:
        part = Part(name, seconds, turn)
        self.parts.append(part)
        return lambda: self.parts.remove(part)


class ManualClock:
    """Seconds that pass when a test says so.

    Attributes:
        slept: how long each sleep in a module under :meth:`asyncio` was to take.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def asyncio(self) -> Any:
        """In the place of ``asyncio`` in a module: its sleeps take no time but this clock's."""

        async def sleep(seconds: float) -> None:
            self.now += seconds
            if seconds:
                self.slept.append(seconds)
            await asyncio.sleep(0)

        return SimpleNamespace(
            sleep=sleep, get_running_loop=lambda: SimpleNamespace(time=self.__call__)
        )
