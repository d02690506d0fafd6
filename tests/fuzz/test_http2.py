"""What a server of HTTP/2 sends: a client gets the whole of it, or sees that it did not."""

import asyncio

import hpack
from hypothesis import strategies as st

from kubelatch.upstream.http2 import frames
from kubelatch.upstream.http2.frames import Code, FrameType, Setting
from kubelatch.upstream.http2.transport import Http2Transport
from tests.support.relay import eventually
from tests.upstream.http2.peer import Peer
from tests.upstream.receiving import Taker, a_request, dialer

from .streams import cuts, damaged, for_each, pieces

OK = [(b":status", b"200"), (b"content-type", b"application/json")]
HEAD = hpack.Encoder().encode(OK)
INTERIM = hpack.Encoder().encode([(b":status", b"103")])
TRAILERS = hpack.Encoder().encode([(b"x-checksum", b"1")])

# One response, in order, between frames that may stand anywhere.
anything = st.one_of(
    st.builds(
        frames.build,
        st.integers(0, 11),
        st.integers(0, 255),
        st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]),
        st.binary(max_size=20),
    ),
    st.sampled_from(
        [
            frames.build(FrameType.PING, 0, 0, bytes(8)),
            frames.build_settings({Setting.MAX_CONCURRENT_STREAMS: 5}),
            frames.build_settings({Setting.INITIAL_WINDOW_SIZE: 5}),
            frames.build_number(FrameType.WINDOW_UPDATE, 0, 5),
            frames.build_number(FrameType.WINDOW_UPDATE, 1, 5),
            frames.build(FrameType.GOAWAY, 0, 0, bytes(3) + b"\x01" + bytes(4)),
            frames.build_goaway(Code.NO_ERROR),
            frames.build_number(FrameType.RST_STREAM, 1, Code.INTERNAL_ERROR),
            frames.build(FrameType.HEADERS, 0x4, 1, INTERIM),
        ]
    ),
)


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A response's frames, and its body."""
    bodies = draw(st.lists(st.binary(max_size=30), max_size=4))
    parts = [frames.build(FrameType.HEADERS, 0x4, 1, HEAD)]
    if draw(st.booleans()):
        parts = [
            frames.build(FrameType.HEADERS, 0, 1, HEAD[:3]),
            frames.build(FrameType.CONTINUATION, 0x4, 1, HEAD[3:]),
        ]
    parts += [frames.build(FrameType.DATA, 0, 1, body) for body in bodies]
    if draw(st.booleans()):
        parts.append(frames.build(FrameType.HEADERS, 0x5, 1, TRAILERS))
    else:
        parts.append(frames.build(FrameType.DATA, 0x1, 1, b""))
    return b"".join(parts), b"".join(bodies)


class Keeper(Taker):
    """Keeps the body."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""

    def on_body(self, data: bytes) -> None:
        super().on_body(data)
        assert self.trailers is None
        assert not self.errors
        self.body += data


class Server:
    """Sends the stream of the moment once a request has come, and ends the connection."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.port = 0

    async def start(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        first = frames.build_settings({})
        server = await loop.create_server(lambda: Peer(self.peers, first), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def answer(self, parts: list[bytes]) -> Keeper:
        self.peers.clear()
        transport, taker = Http2Transport(dialer(self.port)), Keeper()
        stream = await transport.open()
        stream.start(a_request(), b"", taker, b"")
        await eventually(lambda: self.peers and self.peers[0].requests)
        peer = self.peers[0]
        for part in parts:
            if not peer.over:
                peer.send(part)
                await asyncio.sleep(0)
        peer.close()
        await eventually(lambda: peer.over and not transport.connections)
        await eventually(lambda: taker.trailers is not None or taker.errors)
        stream.release()
        transport.close()
        assert len(taker.errors) + (taker.trailers is not None) == 1
        return taker


async def test_any_split_of_a_response_gives_the_same() -> None:
    server = Server()
    listening = await server.start()

    async def one(example: tuple[tuple[bytes, bytes], list[int]]) -> None:
        (stream, body), places = example
        got = await server.answer(pieces(stream, places))
        assert got.errors == []
        assert got.body == body

    await for_each(st.tuples(responses(), cuts), one)
    listening.close()


async def test_damaged_responses_are_whole_or_fail_once() -> None:
    server = Server()
    listening = await server.start()

    async def one(example: tuple[bytes, list[bytes], list[int]]) -> None:
        stream, others, places = example
        await server.answer([*others, *pieces(stream, places)])

    sent = damaged(responses().map(lambda response: response[0]))
    await for_each(st.tuples(sent, st.lists(anything, max_size=3), cuts), one)
    listening.close()
