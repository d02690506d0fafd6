"""Which connections there are: as many as the streams need, and none where there is no HTTP/2."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kubelatch.errors import NotProcessedError, UpstreamError
from kubelatch.upstream.dial import Address, Dialer
from kubelatch.upstream.http2 import frames
from kubelatch.upstream.http2.frames import Code, FrameType, Setting
from kubelatch.upstream.http2.stream import Http2Stream
from kubelatch.upstream.http2.transport import Http2Transport
from kubelatch.upstream.pool import Pool
from kubelatch.upstream.transport import Http1OnlyError
from tests.support.certificates import Authority
from tests.support.relay import eventually
from tests.support.upstream import ScriptedUpstream, answering, ok

from ..receiving import Taker, a_request, dialer
from .peer import benches, data, reset


@pytest.mark.parametrize(("most", "connections"), [(100, 3), (300, 1), (40, 7)])
async def test_as_many_connections_as_the_settings_ask_for(most: int, connections: int) -> None:
    async with benches(max_concurrent_streams=most) as bench:
        # What the server allows is known.
        first = await bench.transport.open()
        bench_peer = bench.peers[0]
        await eventually(lambda: bool(bench_peer.of(FrameType.SETTINGS)))
        await eventually(lambda: len(bench_peer.of(FrameType.SETTINGS)) == 2)
        streams = [first, *await asyncio.gather(*(bench.transport.open() for _ in range(249)))]
        assert bench.transport.connections == connections
        counts = sorted(c.places for c in bench.transport._connections)
        assert sum(counts) == 250
        assert max(counts) <= most
        for stream in streams:
            stream.abort()


async def test_what_got_its_place_before_the_settings_came_is_not_sent_against_them() -> None:
    """Go's server resets what is too much, once its settings are acknowledged, for an error."""
    async with benches(silent=True) as bench:
        streams = await asyncio.gather(*(bench.transport.open() for _ in range(5)))
        await eventually(lambda: bench.peers)
        (peer,) = bench.peers
        peer.send(frames.build_settings({Setting.MAX_CONCURRENT_STREAMS: 2}))
        await eventually(lambda: len(peer.of(FrameType.SETTINGS)) == 2)
        takers = [Taker() for _ in streams]
        for stream, taker in zip(streams, takers, strict=True):
            stream.start(a_request(), b"", taker, b"")
        await eventually(lambda: len(peer.requests) == 2)
        assert [[type(error) for error in taker.errors] for taker in takers] == [
            [], [], [NotProcessedError], [NotProcessedError], [NotProcessedError],
        ]  # fmt: skip
        for stream in streams:
            stream.abort()


async def test_streams_opened_at_once_wait_for_one_connection_first() -> None:
    async with benches(max_concurrent_streams=10) as bench:
        streams = await asyncio.gather(*(bench.transport.open() for _ in range(10)))
        assert bench.transport.connections == 1
        for stream in streams:
            stream.abort()


async def test_the_fullest_connection_is_taken_first() -> None:
    async with benches(max_concurrent_streams=2) as bench:
        streams = [await bench.transport.open() for _ in range(3)]
        await eventually(lambda: all(len(p.of(FrameType.SETTINGS)) == 2 for p in bench.peers))
        streams += [await bench.transport.open() for _ in range(2)]
        streams.pop(0).abort()
        extra = await bench.transport.open()
        places = sorted(connection.places for connection in bench.transport._connections)
        assert places[-1] <= 100
        for stream in (*streams, extra):
            stream.abort()


async def test_a_stream_that_ends_makes_room_for_one_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kubelatch.upstream.http2.transport._MAX_DIALS", 0)
    async with benches(max_concurrent_streams=1) as bench:
        monkeypatch.setattr("kubelatch.upstream.http2.transport._MAX_DIALS", 1)
        first = await bench.transport.open()
        await eventually(lambda: len(bench.peers[0].of(FrameType.SETTINGS)) == 2)
        monkeypatch.setattr("kubelatch.upstream.http2.transport._MAX_DIALS", 0)
        waiting = asyncio.ensure_future(bench.transport.open())
        await asyncio.sleep(0)
        assert not waiting.done()
        first.abort()
        (await waiting).abort()


async def test_a_refused_stream_is_not_put_on_the_same_connection_again() -> None:
    async with benches(max_concurrent_streams=100) as bench:
        (first, _), (second, taker) = await bench.start(), await bench.start()
        bench.peers[0].send(reset(3, Code.REFUSED_STREAM))
        await eventually(lambda: taker.errors)
        again, _ = await bench.start()
        assert bench.transport.connections == 2
        for stream in (first, second, again):
            stream.release()


async def test_a_waiter_that_leaves_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async with benches() as bench:
        waiting = [asyncio.ensure_future(bench.transport.open()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[:3]:
            task.cancel()
        streams = await asyncio.gather(*waiting[3:])
        assert bench.transport.streams == 2
        # Cancelled just when it has one.
        bench.transport._connections[0].limit = 2
        monkeypatch.setattr("kubelatch.upstream.http2.transport._MAX_DIALS", 0)
        late = asyncio.ensure_future(bench.transport.open())
        await asyncio.sleep(0)
        streams[0].abort()
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        assert bench.transport.streams == 1
        streams[1].abort()


async def test_a_server_that_cannot_be_reached_fails_all_that_wait() -> None:
    async with benches() as bench:
        port = bench.port
    transport = Http2Transport(dialer(port))
    found = await asyncio.gather(*(transport.open() for _ in range(3)), return_exceptions=True)
    assert [getattr(error, "cause", "") for error in found] == ["refused"] * 3
    assert not transport.declined


@asynccontextmanager
async def over_tls(authority: Authority) -> AsyncIterator[tuple[Http2Transport, Pool, list[str]]]:
    """A transport in front of a TLS server that knows nothing of ALPN."""
    from kubelatch.credentials.tls import client_context
    from kubelatch.kubeconfig import TlsConfig

    async with ScriptedUpstream(answering(ok(b"hello")), authority) as upstream:
        context = client_context(TlsConfig(ca_data=authority.pem.encode()))
        address = Address(
            host="127.0.0.1", port=upstream.port, context=context, server_name="127.0.0.1"
        )
        plain = Dialer(address, explain_tls=lambda error, name: UpstreamError(str(error)))
        pool = Pool(plain)
        transport = Http2Transport(plain, pool)
        yield transport, pool, [str(len(upstream.connections))]
        transport.close()
        pool.close()


async def test_without_alpn_the_connection_goes_to_the_pool(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with over_tls(authority) as (transport, pool, _):
        found = await asyncio.gather(*(transport.open() for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in found] == [Http1OnlyError] * 3
        assert transport.declined
        connection, taker = pool.take(), Taker()
        assert connection is not None
        assert pool.opened == 1
        connection.start(a_request(), b"", taker, b"")
        await eventually(lambda: taker.trailers is not None)
        connection.release()
        with pytest.raises(Http1OnlyError):
            await transport.open()
    assert "watches go over HTTP/1.1, not HTTP/2: the API server does not offer it" in caplog.text


async def test_without_the_library_there_is_no_http2(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "hpack", None)
    for name in [name for name in sys.modules if name.startswith("kubelatch.upstream.http2.")]:
        if not name.endswith(".transport"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kubelatch.upstream.http2.connection")
    async with benches() as bench:
        with pytest.raises(Http1OnlyError):
            await bench.transport.open()
    assert "the library hpack is not there" in caplog.text


async def test_a_server_that_allows_no_streams_gets_http1() -> None:
    async with benches(max_concurrent_streams=0) as bench:
        # The settings may come before the stream is given out.
        with contextlib.suppress(Http1OnlyError):
            stream, taker = await bench.transport.open(), Taker()
            await eventually(lambda: bench.transport.declined)
            stream.start(a_request(), b"", taker, b"")
            assert taker.stale == [True]
        with pytest.raises(Http1OnlyError):
            await bench.transport.open()


@pytest.mark.parametrize("code", [Code.HTTP_1_1_REQUIRED, Code.INTERNAL_ERROR])
async def test_a_server_that_wants_http1_gets_it(code: Code) -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        bench.peers[0].send(reset(1, code))
        await eventually(lambda: taker.errors)
        assert bench.transport.declined is (code is Code.HTTP_1_1_REQUIRED)
        stream.release()


async def test_http2_that_never_worked_is_given_up() -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        bench.peers[0].send(data(99))
        await eventually(lambda: taker.errors)
        assert taker.stale == [True]
        assert bench.transport.declined
        stream.release()


async def test_a_closed_transport_lets_its_streams_run_on() -> None:
    async with benches() as bench:
        stream, taker = await bench.start()
        bench.transport.close()
        peer = bench.peers[0]
        peer.send(peer.head(1), data(1, ended=True))
        await eventually(lambda: taker.trailers is not None)
        assert taker.errors == []
        assert isinstance(stream, Http2Stream)
        stream.release()
        await eventually(lambda: peer.over)


async def test_settings_may_change() -> None:
    async with benches(max_concurrent_streams=1) as bench:
        stream, _ = await bench.start()
        assert bench.transport.take() is None
        bench.peers[0].send(frames.build_settings({Setting.MAX_CONCURRENT_STREAMS: 2}))
        await eventually(lambda: len(bench.peers[0].of(FrameType.SETTINGS)) == 3)
        other = bench.transport.take()
        assert other is not None
        other.abort()
        stream.release()
