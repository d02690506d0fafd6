"""Many clients at once: watches that check every event, and busy ones that check every answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from tests.support.client import Client
from tests.support.relay import eventually

from .upstream import LoadUpstream, body, event

# Each new watch is a TLS handshake at both ends.
_AT_ONCE = 100
_PATIENCE = 60.0


class Watches:
    """Watches that are open.

    Args:
        upstream: what they watch.
        readers: read their bodies.
    """

    def __init__(self, upstream: LoadUpstream, readers: list[asyncio.Task[bytes]]) -> None:
        self._upstream = upstream
        self._readers = readers
        self._sent: list[int] = []

    def send(self, number: int) -> None:
        """Let the upstream send an event to all of them."""
        self._sent.append(number)
        self._upstream.send_event(number)

    async def end(self) -> None:
        """Let the upstream end all of them, and see that each has got every event in order."""
        self._upstream.end_watches()
        expected = b"".join(map(event, self._sent))
        async with asyncio.timeout(_PATIENCE):
            for content in await asyncio.gather(*self._readers):
                assert content == expected


async def _watch(client: Client, number: int) -> bytes:
    await client.send(b"GET /watch/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number)
    answer = await client.answer()
    assert (answer.status, answer.whole) == (200, True), answer
    return answer.body


def _open(upstream: LoadUpstream, count: int) -> bool:
    return len(upstream.watches) == count


@asynccontextmanager
async def watching(address: str, upstream: LoadUpstream, count: int) -> AsyncIterator[Watches]:
    """*count* watches at once."""
    clients: list[Client] = []
    readers: list[asyncio.Task[bytes]] = []
    try:
        while len(clients) < count:
            more = min(_AT_ONCE, count - len(clients))
            fresh = await asyncio.gather(*(Client.connect(address) for _ in range(more)))
            readers += [asyncio.ensure_future(_watch(c, n)) for n, c in enumerate(fresh)]
            clients += fresh
            await eventually(partial(_open, upstream, len(clients)), _PATIENCE)
        yield Watches(upstream, readers)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for client in clients:
            client.close()


async def busy(address: str, clients: int, numbers: Iterator[int]) -> None:
    """Ask for the numbered answers, one after another on each of so many connections, until the
    numbers end, and see that each is whole and the right one."""

    async def one() -> None:
        async with await Client.connect(address) as client:
            for number in numbers:
                request = b"GET /numbered/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number
                await client.send(request)
                answer = await client.answer()
                assert (answer.status, answer.whole) == (200, True), answer
                assert answer.body == body(number), number

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
