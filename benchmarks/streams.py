"""The upstream's streams: watches, tunnels, and a place where uploads go.

A small HTTP/1.1 server on a unix socket, behind the nginx that speaks TLS and HTTP/2. Run as
``python -m benchmarks.streams SOCKET``. It trusts its only client and checks nothing.

- ``GET …?watch=1`` is a stream without end; ``POST /control/events?rate=R&seconds=S`` sends R
  events a second for S seconds, to one watch after the other, and answers when they are sent.
- An upgrade to ``websocket`` on ``…?down=N`` sends N bytes; on ``…?up=N`` it takes N and says so.
- Any other body is counted and forgotten.
"""

import asyncio
import sys
import time
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import httptools

_BACKLOG: Final = 4096
_PIECE: Final = bytes(256 * 1024)
# An event is as large as a small pod's.
_EVENT_SIZE: Final = 1024
STAMP: Final = b'"sent":'
"""Stands before the time at which an event was sent, in nanoseconds of the monotonic clock."""


class Hub:
    """What all conversations share: the watches that are open, and room to read into."""

    def __init__(self) -> None:
        self.watches: dict[asyncio.Transport, None] = {}
        self.room = memoryview(bytearray(len(_PIECE)))

    async def send(self, rate: int, seconds: float) -> None:
        """Send events at an even pace."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        watches = list(self.watches)
        for number in range(int(rate * seconds)):
            wait = begin + number / rate - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if watches:
                watches[number % len(watches)].write(event())


def event() -> bytes:
    """One event as a chunk, with the time."""
    line = b'{"type":"MODIFIED",%b%d,"object":"' % (STAMP, time.monotonic_ns())
    line = line.ljust(_EVENT_SIZE - 3, b".") + b'"}\n'
    return b"%x\r\n%b\r\n" % (len(line), line)


class Conversation(asyncio.BufferedProtocol):
    """One connection of nginx's.

    Heads are parsed; bodies of known length and tunnels are only counted.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._length = 0
        self._received = 0
        self._tunnel = False
        self._to_send = 0
        self._paused = False
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._hub.watches.pop(self._transport, None)
        self._transport = None

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._hub.room

    def buffer_updated(self, nbytes: int) -> None:
        if self._tunnel:
            self._count(nbytes)
        elif self._received < self._length:
            self._received += nbytes
            if self._received >= self._length:
                self._parser = httptools.HttpRequestParser(self)
                self._complete()
        else:
            self._parse(bytes(self._hub.room[:nbytes]))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-length":
            self._length = int(value)

    def on_body(self, body: bytes) -> None:
        self._received += len(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._complete()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._open_tunnel(len(data) - upgrade.args[0])

    def _complete(self) -> None:
        """Answer the request, and be ready for the next."""
        target, received = self._target, self._received
        self._target, self._received, self._length = b"", 0, 0
        if self._transport is None:
            return
        if target.startswith(b"/control/events"):
            task = asyncio.ensure_future(self._send_events(_query(target)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif b"watch=" in target:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + event()
            )
            self._hub.watches[self._transport] = None
        else:
            self._answer(b'{"received":%d}\n' % received)

    async def _send_events(self, query: dict[str, int]) -> None:
        await self._hub.send(query["rate"], query["seconds"])
        self._answer(b"{}\n")

    def _answer(self, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    def _open_tunnel(self, early: int) -> None:
        if self._transport is None:
            return
        query = _query(self._target)
        self._length, self._to_send = query.get("up", 0), query.get("down", 0)
        self._tunnel = True
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        self._count(early)
        self._pump()

    def _count(self, size: int) -> None:
        """Say so when all has come, once."""
        before, self._received = self._received, self._received + size
        if before < self._length <= self._received and self._transport is not None:
            self._transport.write(b"done")

    def _pump(self) -> None:
        while self._to_send and not self._paused and self._transport is not None:
            piece = _PIECE[: self._to_send]
            self._to_send -= len(piece)
            self._transport.write(piece)


def _query(target: bytes) -> dict[str, int]:
    return {
        key: int(values[0]) for key, values in parse_qs(urlsplit(target.decode()).query).items()
    }


async def _serve(path: str) -> None:
    hub = Hub()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Conversation(hub), path, backlog=_BACKLOG)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    import uvloop  # noqa: PLC0415 -- not where only the constants are wanted

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1]))


if __name__ == "__main__":
    main()
