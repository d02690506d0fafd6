"""Servers that break the rules: one connection is lost, with the right code, and nothing grows."""

from collections.abc import Callable

import hpack
import pytest

from kubelatch.upstream.http2 import frames
from kubelatch.upstream.http2.frames import Code, FrameType, Setting
from kubelatch.upstream.http2.stream import WINDOW
from tests.support.relay import eventually

from .peer import OK, Peer, benches, data, reset

PROTOCOL, SIZE, CALM = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.ENHANCE_YOUR_CALM
MAX = 2**31 - 1
HEADERS, CONTINUATION = FrameType.HEADERS, FrameType.CONTINUATION
build, number = frames.build, frames.build_number


def bomb() -> bytes:
    """A small block that decodes to far more: one large field, named again and again."""
    block = hpack.Encoder().encode([(b":status", b"200"), (b"x", b"y" * 3900)])
    # Index 62 is the newest entry of the dynamic table.
    return build(HEADERS, frames.END_HEADERS, 1, block + b"\xbe" * 1000)


def flood(frame: bytes, count: int = 2000) -> Callable[[Peer], bytes]:
    return lambda _: frame * count


def after_the_end(frame: bytes) -> Callable[[Peer], bytes]:
    return lambda peer: peer.head(1, ended=True) + frame


VIOLATIONS: dict[str, tuple[Callable[[Peer], bytes], Code]] = {
    "continuation flood": (
        lambda _: build(HEADERS, 0, 1, b"") + build(CONTINUATION, 0, 1, b"") * 100,
        CALM,
    ),
    "large continuations": (
        lambda _: build(HEADERS, 0, 1, b"") + build(CONTINUATION, 0, 1, bytes(16384)) * 65,
        CALM,
    ),
    "ping flood": (flood(build(FrameType.PING, 0, 0, bytes(8))), CALM),
    "settings flood": (flood(build(FrameType.SETTINGS, 0, 0)), CALM),
    "window flood": (flood(number(FrameType.WINDOW_UPDATE, 0, 1)), CALM),
    "priority flood": (flood(build(FrameType.PRIORITY, 0, 1, bytes(5))), CALM),
    "unknown frames": (flood(build(77, 0, 1)), CALM),  # type: ignore[arg-type]
    "empty data": (lambda peer: peer.head(1) + data(1, b"") * 2000, CALM),
    "data of no stream": (lambda _: data(0), PROTOCOL),
    "data of a stream never opened": (lambda _: data(99), PROTOCOL),
    "data of a server's stream": (lambda _: data(2), PROTOCOL),
    "head of a stream never opened": (lambda peer: peer.head(5), PROTOCOL),
    "reset of a stream never opened": (lambda _: reset(5, Code.CANCEL), PROTOCOL),
    "data after the end": (after_the_end(data(1)), Code.STREAM_CLOSED),
    "head after the end": (lambda p: p.head(1, ended=True) + p.head(1), Code.STREAM_CLOSED),
    "push": (lambda _: build(FrameType.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(4)), PROTOCOL),
    "frame within a head": (lambda _: build(HEADERS, 0, 1, b"") + data(1), PROTOCOL),
    "head within a head": (
        lambda peer: build(HEADERS, 0, 1, b"") + peer.head(1),
        PROTOCOL,
    ),
    "continuation of nothing": (lambda _: build(CONTINUATION, 4, 1, b""), PROTOCOL),
    "continuation of another": (
        lambda _: build(HEADERS, 0, 1, b"") + build(CONTINUATION, 4, 3, b""),
        PROTOCOL,
    ),
    "no HPACK": (lambda _: build(HEADERS, 4, 1, b"\xff\xff\xff"), Code.COMPRESSION_ERROR),
    "huge frame": (lambda _: b"\xff\xff\xff\0\0\0\0\0\x01", SIZE),
    "short reset": (lambda _: build(FrameType.RST_STREAM, 0, 1, b"abc"), SIZE),
    "short ping": (lambda _: build(FrameType.PING, 0, 0, b"abc"), SIZE),
    "short goaway": (lambda _: build(FrameType.GOAWAY, 0, 0, b"abc"), SIZE),
    "short settings": (lambda _: build(FrameType.SETTINGS, 0, 0, b"abc"), SIZE),
    "acknowledgement with settings": (lambda _: build(FrameType.SETTINGS, 1, 0, bytes(6)), SIZE),
    "short priority": (lambda _: build(FrameType.PRIORITY, 0, 1, b"abc"), SIZE),
    "settings of a stream": (lambda _: build(FrameType.SETTINGS, 0, 1), PROTOCOL),
    "ping of a stream": (lambda _: build(FrameType.PING, 0, 1, bytes(8)), PROTOCOL),
    "goaway of a stream": (lambda _: build(FrameType.GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "priority of no stream": (lambda _: build(FrameType.PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    "padding": (lambda peer: peer.head(1) + build(FrameType.DATA, 8, 1, b"\xffab"), PROTOCOL),
    "window overflow": (lambda _: number(FrameType.WINDOW_UPDATE, 0, MAX), Code.FLOW_CONTROL_ERROR),
    "window of zero": (lambda _: number(FrameType.WINDOW_UPDATE, 0, 0), PROTOCOL),
    "initial window too large": (
        lambda _: frames.build_settings({Setting.INITIAL_WINDOW_SIZE: 2**31}),
        Code.FLOW_CONTROL_ERROR,
    ),
    "initial window grows too large": (
        lambda _: (
            number(FrameType.WINDOW_UPDATE, 1, 2**30)
            + frames.build_settings({Setting.INITIAL_WINDOW_SIZE: 2**30})
        ),
        Code.FLOW_CONTROL_ERROR,
    ),
    "frame size": (lambda _: frames.build_settings({Setting.MAX_FRAME_SIZE: 1}), PROTOCOL),
    "pushes wanted": (lambda _: frames.build_settings({Setting.ENABLE_PUSH: 1}), PROTOCOL),
}


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_a_connection_that_breaks_the_rules_is_lost(name: str) -> None:
    make, code = VIOLATIONS[name]
    async with benches() as bench:
        stream, taker = await bench.start()
        peer = bench.peers[0]
        peer.send(make(peer))
        await eventually(lambda: peer.goaway is not None)
        assert peer.goaway is code
        await eventually(lambda: peer.over)
        # A response that was whole is; others fail, once.
        assert len(taker.errors) == (0 if taker.trailers is not None else 1)
        assert {error.cause for error in taker.errors} <= {"bad-answer"}
        assert bench.transport.connections == 0
        stream.abort()


def large_head(peer: Peer, stream: int, size: int) -> bytes:
    """A head with one field of *size* bytes, in frames of 16 KiB."""
    block = peer.encoder.encode([*OK, (b"x", b"y" * size)], huffman=False)
    return (
        build(HEADERS, 0, stream, block[:16384])
        + b"".join(
            build(CONTINUATION, 0, stream, block[begin : begin + 16384])
            for begin in range(16384, len(block), 16384)
        )
        + build(CONTINUATION, frames.END_HEADERS, stream, b"")
    )


async def test_a_head_of_200_kilobytes_comes_whole() -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        peer = bench.peers[0]
        peer.send(large_head(peer, 1, 200_000), data(1, ended=True))
        await eventually(lambda: taker.trailers is not None)
        assert taker.response is not None
        assert [len(value) for value in taker.response.fields.values(b"x")] == [200_000]
        assert peer.goaway is None
        stream.release()


TOO_LARGE: dict[str, Callable[[Peer], bytes]] = {
    "header bomb": lambda _: bomb(),
    "a field of 900 KB": lambda peer: large_head(peer, 1, 900_000),
    "many small fields": lambda peer: peer.head(1, [*OK, *[(b"x", b"y" * 1000)] * 300]),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_a_head_that_is_too_large_fails_its_own_stream_alone(name: str) -> None:
    async with benches() as bench:
        first, taker = await bench.start()
        running, events = await bench.start()
        waiting, late = await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(3), TOO_LARGE[name](peer))
        await eventually(lambda: taker.errors)
        assert [error.cause for error in taker.errors] == ["bad-answer"]
        assert "over 256 KiB" in taker.errors[0].message
        # What it put into the table is not known, so that no later head can be read here: one that
        # has none yet is begun again elsewhere, and others go on.
        peer.send(data(3), peer.head(5))
        await eventually(lambda: late.errors)
        assert late.stale == [True]
        assert [error.cause for error in late.errors] == ["reset"]
        another, _ = await bench.start()
        assert len(bench.peers) == 2
        peer.send(data(3, ended=True))
        await eventually(lambda: events.trailers is not None)
        assert (events.size, events.errors) == (2, [])
        for stream in (first, running, waiting, another):
            stream.release()
        await eventually(lambda: peer.over)


async def test_no_settings_at_the_beginning() -> None:
    async with benches() as bench:
        # The first frame is another one: what a server of HTTP/1.1 says looks like it, too.
        bench.peers.clear()
        await bench.transport.open()
        peer = bench.peers[0]
        peer.send(build(FrameType.PING, 0, 0, bytes(8)))
        await eventually(lambda: bool(peer.of(FrameType.PING)))


STREAM_ERRORS: dict[str, tuple[Callable[[Peer], bytes], Code]] = {
    "more than the window": (
        lambda peer: peer.head(1) + data(1, bytes(16384)) * (WINDOW // 16384 + 1),
        Code.FLOW_CONTROL_ERROR,
    ),
    "body without a head": (lambda _: data(1), PROTOCOL),
    "window of a stream": (
        lambda _: number(FrameType.WINDOW_UPDATE, 1, MAX),
        Code.FLOW_CONTROL_ERROR,
    ),
    "zero window of a stream": (lambda _: number(FrameType.WINDOW_UPDATE, 1, 0), PROTOCOL),
    "second head": (lambda peer: peer.head(1) + peer.head(1), PROTOCOL),
    "endless interim responses": (lambda p: p.head(1, [(b":status", b"103")]) * 40, CALM),
    "interim end": (lambda p: p.head(1, [(b":status", b"103")], ended=True), PROTOCOL),
    "switch": (lambda peer: peer.head(1, [(b":status", b"101")]), PROTOCOL),
    "less body than declared": (
        lambda peer: peer.head(1, [*OK, (b"content-length", b"5")]) + data(1, ended=True),
        PROTOCOL,
    ),
    "more body than declared": (
        lambda peer: peer.head(1, [*OK, (b"content-length", b"1")]) + data(1, b"xy"),
        PROTOCOL,
    ),
    "body of a 304": (lambda peer: peer.head(1, [(b":status", b"304")]) + data(1), PROTOCOL),
    "line end in a trailer": (
        lambda p: p.head(1) + p.head(1, [(b"x", b"a\r\nb: c")], ended=True),
        PROTOCOL,
    ),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
async def test_a_stream_that_breaks_the_rules_is_lost_alone(name: str) -> None:
    make, code = STREAM_ERRORS[name]
    async with benches() as bench:
        stream, taker = await bench.start()
        other, others = await bench.start()
        # Its client takes nothing, so the window does not grow meanwhile.
        stream.pause_reading()
        peer = bench.peers[0]
        peer.send(make(peer))
        await eventually(lambda: taker.errors)
        assert [error.cause for error in taker.errors] == ["bad-answer"]
        assert taker.trailers is None
        peer.send(peer.head(3), data(3, ended=True))
        await eventually(lambda: others.trailers is not None)
        resets = [(f.stream, frames.number(f)) for f in peer.of(FrameType.RST_STREAM)]
        assert resets == [(1, code)]
        stream.release()
        other.release()
