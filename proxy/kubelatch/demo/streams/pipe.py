"""Bytes between two tasks, bounded: a writer that is faster than the reader waits."""

import asyncio
from collections import deque
from typing import Protocol

CHUNK = 32 * 1024
"""Bytes moved at a time; what kubectl and the kubelet copy with (``io.Copy``)."""
_LIMIT = 4 * CHUNK


class Source(Protocol):
    """Where bytes come from."""

    async def read(self, limit: int = CHUNK) -> bytes:
        """Some bytes, at most ``limit``; none at the end."""


class Sink(Protocol):
    """Where bytes go to; writing waits until there is room.

    Raises:
        ConnectionError: nobody reads any more.
    """

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""


class StreamPipe:
    """A :class:`Sink` at one end and a :class:`Source` at the other."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._abandoned = False
        self._changed = asyncio.Event()

    @classmethod
    def filled(cls, data: bytes) -> "StreamPipe":
        """A pipe with all that will ever come out of it."""
        pipe = cls()
        pipe._chunks.append(data)
        pipe._size = len(data)
        pipe.end()
        return pipe

    async def write(self, data: bytes) -> None:
        """Write; waits while the pipe is full.

        Raises:
            BrokenPipeError: the reader has left.
        """
        while self._size >= _LIMIT and not self._abandoned:
            await self._wait()
        if self._abandoned:
            raise BrokenPipeError("the reader has left")
        if data and not self._ended:
            self._chunks.append(data)
            self._size += len(data)
            self._changed.set()

    def end(self) -> None:
        """No more bytes will follow."""
        self._ended = True
        self._changed.set()

    def abandon(self) -> None:
        """The reader leaves; what is written from now on fails."""
        self._abandoned = True
        self._chunks.clear()
        self._size = 0
        self._changed.set()

    async def read(self, limit: int = CHUNK) -> bytes:
        """Some bytes, at most ``limit``; none at the end."""
        while not self._chunks and not self._ended and not self._abandoned:
            await self._wait()
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        if len(data) > limit:
            self._chunks.appendleft(data[limit:])
            data = data[:limit]
        self._size -= len(data)
        self._changed.set()
        return data

    async def read_line(self) -> bytes:
        """A line with its newline, or what is left at the end."""
        parts: list[bytes] = []
        while data := await self.read():
            line, newline, rest = data.partition(b"\n")
            parts.append(line + newline)
            if newline:
                if rest:
                    self._chunks.appendleft(rest)
                    self._size += len(rest)
                break
        return b"".join(parts)

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def copy(source: Source, sink: Sink) -> None:
    """Move all bytes."""
    while data := await source.read():
        await sink.write(data)
