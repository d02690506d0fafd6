"""A server of HTTP/2 that sends the frames which a test writes by hand, and notes what comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import hpack

from kubelatch.upstream.http2 import frames
from kubelatch.upstream.http2.frames import Code, Frame, FrameType, Setting
from kubelatch.upstream.http2.stream import Http2Stream
from kubelatch.upstream.http2.transport import Http2Transport
from kubelatch.upstream.transport import Stream
from tests.support.relay import eventually

from ..receiving import Field, Taker, a_request, dialer

OK: list[Field] = [(b":status", b"200"), (b"content-type", b"application/json")]


class Peer(asyncio.Protocol):
    """One connection; its settings have been sent.

    Attributes:
        frames: what has come, without the preface.
        requests: the decoded heads, by stream.
        encoder: compresses what it sends.
    """

    def __init__(self, peers: list["Peer"], settings: bytes) -> None:
        self.frames: list[Frame] = []
        self.requests: dict[int, list[Field]] = {}
        self.over = False
        self._peers = peers
        self._settings = settings
        self._transport: asyncio.Transport | None = None
        self._preface = b""
        self._reader = frames.FrameReader()
        self._decoder = hpack.Decoder()
        self.encoder = hpack.Encoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peers.append(self)
        self._transport.write(self._settings)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True

    def data_received(self, data: bytes) -> None:
        if len(self._preface) < len(frames.PREFACE):
            self._preface += data
            data = self._preface[len(frames.PREFACE) :]
            self._preface = self._preface[: len(frames.PREFACE)]
        for frame in self._reader.feed(data):
            self.frames.append(frame)
            if frame.kind == FrameType.HEADERS:
                fields = self._decoder.decode(frame.payload, raw=True)
                self.requests[frame.stream] = [(bytes(n), bytes(v)) for n, v in fields]

    def send(self, *parts: bytes) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(parts))

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def stall(self) -> None:
        """Read no more."""
        assert self._transport is not None
        self._transport.pause_reading()

    def head(self, stream: int, fields: list[Field] = OK, *, ended: bool = False) -> bytes:
        block = self.encoder.encode(fields)
        flags = frames.END_HEADERS | (frames.END_STREAM if ended else 0)
        return frames.build(FrameType.HEADERS, flags, stream, block)

    def of(self, kind: FrameType) -> list[Frame]:
        return [frame for frame in self.frames if frame.kind == kind]

    @property
    def goaway(self) -> Code | None:
        """With which code the connection was given up; None if it was not."""
        found = self.of(FrameType.GOAWAY)
        return Code(frames.goaway_of(found[0])[1]) if found else None


def data(stream: int, content: bytes = b"x", *, ended: bool = False) -> bytes:
    return frames.build(FrameType.DATA, frames.END_STREAM if ended else 0, stream, content)


def goaway(last: int, code: Code = Code.NO_ERROR) -> bytes:
    return frames.build(FrameType.GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def reset(stream: int, code: Code) -> bytes:
    return frames.build_number(FrameType.RST_STREAM, stream, code)


class Bench:
    """A transport, and its connections as the servers see them."""

    def __init__(self, port: int, peers: list[Peer]) -> None:
        self.transport = Http2Transport(dialer(port))
        self.port = port
        self.peers = peers

    async def start(self) -> tuple[Stream, Taker]:
        """A request on its way, on whatever connection there is."""
        stream, taker = await self.transport.open(), Taker()
        stream.start(a_request(), b"Bearer x", taker, b"")
        assert isinstance(stream, Http2Stream)
        number = stream.number
        if number:
            await eventually(lambda: any(number in peer.requests for peer in self.peers))
        return stream, taker

    def tick(self, count: int) -> None:
        """Let seconds pass, in which nothing comes."""
        for _ in range(count):
            self.transport.tick()


@asynccontextmanager
async def benches(*, silent: bool = False, **settings: int) -> AsyncIterator[Bench]:
    """A server with these settings, and a transport that leads to it; *silent*: the test sends
    them."""
    named = {Setting[name.upper()]: value for name, value in settings.items()}
    first = b"" if silent else frames.build_settings(named)
    peers: list[Peer] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(peers, first), "127.0.0.1", 0)
    bench = Bench(server.sockets[0].getsockname()[1], peers)
    yield bench
    bench.transport.close()
    # What has been dialled is accepted, too.
    for _ in range(10):
        await asyncio.sleep(0)
    server.close()
    for peer in peers:
        if not peer.over:
            peer.abort()
    await eventually(lambda: all(peer.over for peer in peers))
