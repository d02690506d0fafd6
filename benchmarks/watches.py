"""Watches: many at once, what each costs, and how late events come."""

import asyncio
import statistics
import time
from typing import Final, cast

import uvloop

from . import nginx
from .origin import Origin
from .peers import Running
from .streams import STAMP

_REQUEST: Final = f"GET {nginx.WATCH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
_OPEN_WITHIN: Final = 60.0
_RATE: Final = 1000


class _Watch(asyncio.Protocol):
    """One watch: notes when its answer begins, and the delay of each event."""

    def __init__(self, delays: list[float]) -> None:
        self._delays = delays
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self.answered.done():
            if data.startswith(b"HTTP/1.1 200"):
                self.answered.set_result(None)
            else:
                self.answered.set_exception(RuntimeError(f"no watch: {data[:200]!r}"))
            return
        for part in data.split(STAMP)[1:]:
            self._delays.append((now - int(part[: part.index(b",")])) / 1e6)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(RuntimeError("the connection ended before the watch began"))

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()


def watches(origin: Origin, peer: Running, count: int, seconds: int) -> dict[str, float]:
    """Open *count* watches at once, let them rest, then send 1,000 events a second through them.

    Memory is in KB for each, CPU in microseconds for each watch or event, delays in
    milliseconds.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_watches(origin, peer, count, seconds))


async def _watches(origin: Origin, peer: Running, count: int, seconds: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    process = peer.process
    memory, cpu, begin = process.memory(), process.cpu(), time.perf_counter()
    opened = [_Watch(delays) for _ in range(count)]
    try:
        async with asyncio.timeout(_OPEN_WITHIN):
            await asyncio.gather(
                *(loop.create_connection(lambda w=w: w, "127.0.0.1", peer.port) for w in opened)
            )
            await asyncio.gather(*(watch.answered for watch in opened))
        took = time.perf_counter() - begin
        await asyncio.sleep(1)
        found = {
            "watch.open": took * 1e3,
            "watch.memory": (process.memory() - memory) / count / 1024,
            "watch.cpu": (process.cpu() - cpu) / count * 1e6,
        }
        cpu = process.cpu()
        await asyncio.to_thread(origin.send_events, _RATE, seconds)
        await asyncio.sleep(0.2)
        events = _RATE * seconds
        if len(delays) < events:
            msg = f"of {events} events {len(delays)} came"
            raise RuntimeError(msg)
        found["watch.event.cpu"] = (process.cpu() - cpu) / events * 1e6
        found["watch.event.p50"] = statistics.median(delays)
        found["watch.event.p99"] = statistics.quantiles(delays, n=100)[98]
    finally:
        for watch in opened:
            watch.close()
    return found
