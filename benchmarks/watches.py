"""Watches: many at once, what each costs, and how late events come."""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Final, cast

import uvloop

from . import nginx
from .peers import Serving
from .plan import Plan
from .rounds import Figures
from .streams import STAMP
from .upstream import Upstream

_REQUEST: Final = f"GET {nginx.WATCH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
_PATIENCE: Final = 60.0
_REST: Final = 1.0
_RATE: Final = 1000


class Delays:
    """How late events came, in milliseconds."""

    def __init__(self, expected: int) -> None:
        self.values: list[float] = []
        self.all_came = asyncio.Event()
        self._expected = expected

    def add(self, value: float) -> None:
        """Note one."""
        self.values.append(value)
        if len(self.values) >= self._expected:
            self.all_came.set()


class Watch(asyncio.Protocol):
    """One watch: notes the delay of each event."""

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    async def open(self, port: int) -> None:
        """Return when its answer begins. Raises RuntimeError if it is not a watch."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)
        await self._answered

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()
        self._answered.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._answered.done():
            self._note(data, now)
        elif data.startswith(b"HTTP/1.1 200"):
            self._answered.set_result(None)
        else:
            self._answered.set_exception(RuntimeError(f"no watch: {data[:200]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(
                RuntimeError("the connection ended before the watch began")
            )

    def _note(self, data: bytes, now: int) -> None:
        """An event counts once it is there to its last line feed."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            _, stamp, rest = line.partition(STAMP)
            if stamp:
                self._delays.add((now - int(rest[: rest.index(b",")])) / 1e6)


def watches(plan: Plan, upstream: Upstream, serving: Serving) -> Figures:
    """Open watches at once, and let them rest.

    Memory is in KB for each, CPU in microseconds for each, the time in milliseconds.
    """
    return _run(lambda opened: _open(upstream, serving, opened), plan.watches, Delays(0))


def events(plan: Plan, upstream: Upstream, serving: Serving) -> Figures:
    """Send 1,000 events a second through fewer watches.

    CPU is in microseconds for each event, delays are in milliseconds.
    """
    return send(upstream, serving, plan.watching, plan.events)


def send(upstream: Upstream, serving: Serving, count: int, seconds: int) -> Figures:
    """As :func:`events`, through so many watches, for so many seconds."""
    delays = Delays(_RATE * seconds)

    async def step(opened: list[Watch]) -> Figures:
        await _open(upstream, serving, opened)
        return await _events(upstream, serving, delays, seconds)

    return _run(step, count, delays)


def _run(
    step: Callable[[list[Watch]], Coroutine[None, None, Figures]], count: int, delays: Delays
) -> Figures:
    """Take a step with so many watches, which are closed after it."""

    async def run() -> Figures:
        opened = [Watch(delays) for _ in range(count)]
        try:
            async with asyncio.timeout(_PATIENCE):
                return await step(opened)
        finally:
            for one in opened:
                one.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


async def _open(upstream: Upstream, serving: Serving, opened: list[Watch]) -> Figures:
    process = serving.process
    connections = process.connections(upstream.port)
    memory, cpu, begin = process.memory(), process.cpu(), time.perf_counter()
    await asyncio.gather(*(one.open(serving.port) for one in opened))
    took = time.perf_counter() - begin
    await asyncio.sleep(_REST)
    return {
        "watches.open": took * 1e3,
        "watches.memory": (process.memory() - memory) / len(opened) / 1024,
        "watches.cpu": (process.cpu() - cpu) / len(opened) * 1e6,
        "watches.connections": process.connections(upstream.port) - connections,
    }


async def _events(upstream: Upstream, serving: Serving, delays: Delays, seconds: int) -> Figures:
    cpu = serving.process.cpu()
    await asyncio.to_thread(upstream.send_events, _RATE, seconds)
    await delays.all_came.wait()
    used = serving.process.cpu() - cpu
    return {
        "watches.event.cpu": used / len(delays.values) * 1e6,
        "watches.event.p50": statistics.median(delays.values),
        "watches.event.p99": statistics.quantiles(delays.values, n=100)[98],
    }
