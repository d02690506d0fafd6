"""What is sent, how it is cut and damaged, and how an example is carried out."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

T = TypeVar("T")

_HANG_SECONDS = 20.0
# What a parser could be led astray by, put in where it does not belong.
_TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"-1", b"\xff",
    b"\r\n\r\n", b"0\r\n\r\n", b"5\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0", b"GET / HTTP/1.1\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n", b"Upgrade: x\r\n",
    b"Connection: upgrade\r\n", b"Expect: 100-continue\r\n", b"Trailer: x\r\n", b"X: y\r\n z\r\n",
]  # fmt: skip

cuts = st.lists(st.integers(0, 2**16), max_size=8)
"""Where a stream is cut, to be taken modulo its length."""

_damage = st.lists(
    st.tuples(
        st.integers(0, 2**16),
        st.integers(0, 4),
        st.one_of(st.sampled_from(_TOKENS), st.binary(min_size=1, max_size=2)),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def damaged(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> bytes:
    """One of *streams* in which bytes were lost, put in or replaced, or that was cut short."""
    stream = draw(streams)
    for place, lost, put in draw(_damage):
        at = place % (len(stream) + 1)
        stream = stream[:at] + put + stream[at + lost :]
    if draw(st.booleans()):
        stream = stream[: draw(st.integers(0, len(stream)))]
    return stream


def pieces(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """*stream*, cut at *places*."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


async def send(writer: asyncio.StreamWriter, parts: Iterable[bytes]) -> None:
    """Send each part so that the other end reads it by itself, if it can."""
    for part in parts:
        writer.write(part)
        await turns(3)
    await writer.drain()


async def turns(count: int) -> None:
    """Let everybody in this event loop do what there is to do."""
    for _ in range(count):
        await asyncio.sleep(0)


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


async def for_each(strategy: st.SearchStrategy[T], one: Callable[[T], Awaitable[None]]) -> None:
    """Carry out *one* for many examples in this event loop; the proxy may log no error."""
    loop = asyncio.get_running_loop()
    faults, log = _Faults(), logging.getLogger("kubelatch")

    async def carry_out(example: T) -> None:
        async with asyncio.timeout(_HANG_SECONDS):
            await one(example)
        assert faults.messages == []

    @settings(deadline=None)
    @given(strategy)
    def each(example: T) -> None:
        faults.messages.clear()
        asyncio.run_coroutine_threadsafe(carry_out(example), loop).result()

    log.addHandler(faults)
    try:
        await asyncio.to_thread(each)
    finally:
        log.removeHandler(faults)
