"""One connection: what happens to its streams when it is left, refuses, stalls or dies."""

import asyncio
import logging
from typing import Any

import pytest

from kubelatch.errors import NotProcessedError
from kubelatch.system.suspend import SuspendClock
from kubelatch.upstream.http2 import frames
from kubelatch.upstream.http2.connection import DEAD_AFTER, PING_AFTER
from kubelatch.upstream.http2.frames import Code, FrameType
from kubelatch.upstream.http2.stream import WINDOW
from tests.support.relay import eventually

from .peer import OK, benches, data, goaway, reset


async def test_streams_run_on_after_a_goaway_and_later_ones_were_never_taken() -> None:
    async with benches() as bench:
        (first, one), (second, two) = await bench.start(), await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(1), goaway(1))
        await eventually(lambda: two.errors)
        assert isinstance(two.errors[0], NotProcessedError)
        assert two.stale == [True]
        second.release()
        # The next one takes another connection, while this one goes on.
        third, three = await bench.start()
        assert len(bench.peers) == 2
        peer.send(data(1, b"a"), data(1, b"b", ended=True))
        await eventually(lambda: one.trailers is not None)
        assert (one.flushed, one.errors) == (2, [])
        first.release()
        await eventually(lambda: peer.over)
        assert not three.errors
        third.release()


async def test_a_goaway_with_room_to_spare_lets_all_run_on() -> None:
    """As Go's server begins to leave: with the largest number that there is."""
    async with benches() as bench:
        stream, taker = await bench.start()
        peer = bench.peers[0]
        peer.send(goaway(2**31 - 1), peer.head(1), data(1), goaway(1), data(1, ended=True))
        await eventually(lambda: taker.trailers is not None)
        assert (taker.flushed, taker.errors) == (2, [])
        stream.release()
        await eventually(lambda: peer.over)


async def test_a_refused_stream_was_not_processed() -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        bench.peers[0].send(reset(1, Code.REFUSED_STREAM))
        await eventually(lambda: taker.errors)
        assert isinstance(taker.errors[0], NotProcessedError)
        stream.release()


@pytest.mark.parametrize("code", [Code.NO_ERROR, Code.CANCEL, Code.INTERNAL_ERROR])
async def test_a_reset_stream_is_cut_and_no_other(code: Code) -> None:
    async with benches() as bench:
        (first, one), (second, two) = await bench.start(), await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(1), data(1), reset(1, code))
        await eventually(lambda: one.errors)
        assert (one.errors[0].cause, one.trailers, one.stale) == ("truncated", None, [False])
        peer.send(peer.head(3), data(3, ended=True))
        await eventually(lambda: two.trailers is not None)
        first.release()
        second.release()


async def test_interim_responses_and_trailers_come_through() -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(1, [(b":status", b"103"), (b"link", b"x")]), peer.head(1), data(1))
        peer.send(peer.head(1, [(b"x-checksum", b"7")], ended=True))
        await eventually(lambda: taker.trailers is not None)
        assert taker.interim == [103]
        assert taker.trailers == [(b"x-checksum", b"7")]
        stream.release()


async def test_what_comes_late_for_a_cancelled_stream_is_ignored() -> None:
    """Its head, too, without which no later head could be decoded."""
    async with benches() as bench:
        stream, gone = await bench.start()
        peer = bench.peers[0]
        stream.release()
        await eventually(lambda: bool(peer.of(FrameType.RST_STREAM)))
        peer.send(peer.head(1, [*OK, (b"audit-id", b"first")]), data(1, bytes(16384)) * 3)
        again, taker = await bench.start()
        peer.send(peer.head(3, [*OK, (b"audit-id", b"first")]), data(3, ended=True))
        await eventually(lambda: taker.trailers is not None)
        assert taker.response is not None
        assert taker.response.get(b"audit-id") == b"first"
        assert (gone.response, gone.errors) == (None, [])
        again.release()


async def test_ninety_nine_paused_streams_hold_back_no_other() -> None:
    async with benches() as bench:
        started = [await bench.start() for _ in range(100)]
        peer = bench.peers[0]
        for stream, _ in started[:99]:
            stream.pause_reading()
        for number in range(1, 199, 2):
            peer.send(peer.head(number), data(number, bytes(16384)) * (WINDOW // 16384))
        flowing, taker = started[99]
        assert not flowing.reused or taker.response is None
        peer.send(peer.head(199))
        for _ in range(64):
            peer.send(data(199, bytes(16384)))
            await asyncio.sleep(0)
        await eventually(lambda: taker.flushed == 64 * 16384, seconds=20)
        # The flowing one's window is opened again and again; that of the paused ones is not.
        opened = {frame.stream for frame in peer.of(FrameType.WINDOW_UPDATE)}
        assert opened == {0, 199}
        paused, other = started[0]
        paused.resume_reading()
        await eventually(lambda: 1 in {frame.stream for frame in peer.of(FrameType.WINDOW_UPDATE)})
        assert other.flushed == WINDOW
        for stream, _ in started:
            stream.release()
        # What was cancelled holds none of the connection's window.
        late, last = await bench.start()
        peer.send(peer.head(201), data(201, bytes(16384)), data(201, ended=True))
        await eventually(lambda: last.trailers is not None)
        late.release()


async def test_the_connections_window_is_opened_for_cancelled_streams_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kubelatch.upstream.http2.connection._CONNECTION_WINDOW", 1 << 18)
    async with benches() as bench:
        stream, _ = await bench.start()
        peer = bench.peers[0]
        stream.release()
        await eventually(lambda: bool(peer.of(FrameType.RST_STREAM)))
        peer.send(data(1, bytes(16384)) * 8)
        await eventually(
            lambda: len([f for f in peer.of(FrameType.WINDOW_UPDATE) if not f.stream]) > 1
        )


async def test_a_silent_connection_is_asked_after_half_a_minute_and_dead_after_45_s() -> None:
    async with benches() as bench:
        (first, one), (second, two) = await bench.start(), await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(1), data(1))
        await eventually(lambda: one.flushed == 1)
        bench.tick(1)  # something had come
        bench.tick(PING_AFTER - 1)
        await asyncio.sleep(0)
        assert not peer.of(FrameType.PING)
        peer.stall()
        bench.tick(1)
        bench.tick(DEAD_AFTER - 1)
        assert not one.errors
        bench.tick(1)
        assert 1 + PING_AFTER + DEAD_AFTER == 45
        assert (one.errors[0].cause, one.trailers, one.stale) == ("truncated", None, [False])
        # Nothing had come for the other, which may be sent again.
        assert (two.errors[0].cause, two.stale) == ("reset", [True])
        first.release()
        second.release()
        third, _ = await bench.start()
        assert len(bench.peers) == 2
        third.release()


async def test_a_loop_that_did_not_run_takes_nothing_for_dead() -> None:
    """However much time passes: only ticks count, and between two of them the loop reads."""
    async with benches() as bench:
        stream, taker = await bench.start()
        bench.tick(PING_AFTER + 1)
        peer = bench.peers[0]
        await eventually(lambda: bool(peer.of(FrameType.PING)))
        peer.send(frames.build(FrameType.PING, frames.ACK, 0, bytes(8)))
        bench.tick(1)
        assert not taker.errors
        stream.release()


async def test_a_new_request_on_a_silent_connection_asks_for_a_sign_of_life() -> None:
    async with benches() as bench:
        stream, _ = await bench.start()
        bench.tick(8)
        again, taker = await bench.start()
        peer = bench.peers[0]
        await eventually(lambda: bool(peer.of(FrameType.PING)))
        bench.tick(DEAD_AFTER)
        assert taker.stale == [True]
        stream.release()
        again.release()


async def test_after_a_suspend_nothing_is_put_on_a_connection_that_may_be_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with benches() as bench:
        (first, one), (_, _) = await bench.start(), await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(1))
        await eventually(lambda: one.response is not None)
        monkeypatch.setattr(SuspendClock, "was_suspended", lambda _: True)
        assert bench.transport.take() is None
        monkeypatch.setattr(SuspendClock, "was_suspended", lambda _: False)
        await eventually(lambda: bool(peer.of(FrameType.PING)))
        third, _ = await bench.start()
        assert len(bench.peers) == 2
        # It was alive after all.
        peer.send(frames.build(FrameType.PING, frames.ACK, 0, bytes(8)))
        await eventually(lambda: bench.transport.idle == 0 and bench.transport.take() is not None)
        bench.tick(4)
        assert not one.errors
        first.release()
        third.release()


async def test_an_idle_connection_is_closed_politely() -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        peer = bench.peers[0]
        peer.send(peer.head(1, ended=True))
        await eventually(lambda: taker.trailers is not None)
        stream.release()
        for _ in range(3):
            peer.send(frames.build(FrameType.PING, 0, 0, bytes(8)))
            peer.frames.clear()
            await eventually(lambda: bool(peer.of(FrameType.PING)))
            bench.tick(31)
        await eventually(lambda: peer.over)
        assert peer.goaway is Code.NO_ERROR


async def test_a_token_is_in_no_log_at_any_level(caplog: Any) -> None:
    """hpack logs the blocks that it makes at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        async with benches() as bench:
            stream, taker = await bench.start()
            peer = bench.peers[0]
            peer.send(peer.head(1, ended=True))
            await eventually(lambda: taker.trailers is not None)
            stream.release()
    mine = [r for r in caplog.records if r.name.startswith(("hpack", "kubelatch"))]
    assert "Bearer" not in "".join(record.getMessage() for record in mine)
