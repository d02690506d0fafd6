"""What holds for every transport behind the seam: HTTP/1.1, HTTP/2, and the fake.

Each has a server whose exchanges a test drives by hand; for the fake, that is the stream itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from kubelatch.errors import UpstreamError
from kubelatch.http1.response import BodyKind
from kubelatch.upstream.dial import Dialer
from kubelatch.upstream.fake import FakeStream, FakeTransport, head
from kubelatch.upstream.generation import Generation
from kubelatch.upstream.http1 import linger_zero
from kubelatch.upstream.http2.transport import Http2Transport
from kubelatch.upstream.pool import Pool
from kubelatch.upstream.transport import Stream, Transport
from tests.support.http2_server import Http2Exchange, Http2Server
from tests.support.relay import Relay, Tokens, eventually, relaying
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .receiving import Field, Taker, a_request, dialer

PIECE = b"x" * 65536


class Exchange(Protocol):
    """The server's side of an exchange."""

    fields: list[Field]
    """With the pseudo-fields of HTTP/2."""
    body: bytearray
    whole: asyncio.Event

    async def head(self, *fields: Field) -> None: ...
    async def send(self, data: bytes) -> None: ...
    async def end(self, *trailers: Field) -> None: ...
    def reset(self) -> None: ...


class Http1Exchange:
    """Over a connection of its own; its responses are chunked."""

    def __init__(self, connection: Connection, fields: list[Field], body: bytes) -> None:
        self.fields = fields
        self.body = bytearray(body)
        self.whole = asyncio.Event()
        self.whole.set()
        self.over = asyncio.Event()
        self._connection = connection

    async def head(self, *fields: Field) -> None:
        lines = [b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", *map(b": ".join, fields)]
        await self._connection.send(b"\r\n".join(lines) + b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        await self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, *trailers: Field) -> None:
        lines = [b"0", *map(b": ".join, trailers)]
        await self._connection.send(b"\r\n".join(lines) + b"\r\n\r\n")
        self.over.set()

    def reset(self) -> None:
        linger_zero(self._connection.writer.transport)
        self._connection.abort()
        self.over.set()


class FakeExchange:
    """The stream itself."""

    def __init__(self, stream: FakeStream) -> None:
        request = stream.request
        assert request is not None
        self.fields: list[Field] = [
            (b":method", request.method.encode()),
            (b":path", request.target),
            (b":authority", request.authority),
            *((name.lower(), value) for name, value in (*request.fields, *request.identity)),
        ]
        self.body = stream.body
        self.whole = asyncio.Event()
        self.whole.set()
        self._stream = stream

    async def head(self, *fields: Field) -> None:
        self._stream.deliver(head(200, fields))

    async def send(self, data: bytes) -> None:
        self._stream.deliver(data)
        await eventually(lambda: not self._stream.pending, seconds=30)

    async def end(self, *trailers: Field) -> None:
        self._stream.deliver(list(trailers))

    def reset(self) -> None:
        self._stream.deliver(UpstreamError("reset", cause="truncated"))


@dataclass
class Bench:
    """A transport, and where its exchanges come out."""

    transport: Transport
    accept: Callable[[], AbstractAsyncContextManager[Exchange]]
    connections: Callable[[], int]
    large: int
    """Pieces; more than all the buffers and windows on the way take."""
    bodies: bool = True
    """Requests may have them."""


@asynccontextmanager
async def http1() -> AsyncIterator[Bench]:
    exchanges: asyncio.Queue[Http1Exchange] = asyncio.Queue()

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            method, target, _ = request.line.encode().split(b" ")
            fields = [(name.lower().encode(), value.encode()) for name, value in request.fields]
            fields = [(b":authority", v) if n == b"host" else (n, v) for n, v in fields]
            fields = [(b":method", method), (b":path", target), *fields]
            exchange = Http1Exchange(connection, fields, request.body)
            exchanges.put_nowait(exchange)
            await exchange.over.wait()

    @asynccontextmanager
    async def accept() -> AsyncIterator[Exchange]:
        yield await asyncio.wait_for(exchanges.get(), 5)

    async with ScriptedUpstream(script) as upstream:
        pool = Pool(dialer(upstream.port))
        yield Bench(pool, accept, lambda: len(upstream.connections), 512)
        pool.close()


@asynccontextmanager
async def http2() -> AsyncIterator[Bench]:
    async with http2_server() as (port, exchanges, connections):

        @asynccontextmanager
        async def accept() -> AsyncIterator[Exchange]:
            yield await asyncio.wait_for(exchanges.get(), 5)

        transport = Http2Transport(dialer(port))
        yield Bench(transport, accept, lambda: len(connections), 64, bodies=False)
        transport.close()


@asynccontextmanager
async def http2_server() -> AsyncIterator[
    tuple[int, asyncio.Queue[Http2Exchange], list[Http2Server]]
]:
    exchanges: asyncio.Queue[Http2Exchange] = asyncio.Queue()
    connections: list[Http2Server] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http2Server(exchanges, connections), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], exchanges, connections
    server.close()
    await eventually(lambda: all(connection.transport is None for connection in connections))


@asynccontextmanager
async def fake() -> AsyncIterator[Bench]:
    transport = FakeTransport()
    seen = iter(range(1000))

    @asynccontextmanager
    async def accept() -> AsyncIterator[Exchange]:
        yield FakeExchange(transport.streams[next(seen)])

    yield Bench(transport, accept, lambda: len(transport.streams), 16)


@pytest.fixture(params=[http1, http2, fake], ids=["http1", "http2", "fake"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with request.param() as bench:
        yield bench


async def stream_of(transport: Transport) -> Stream:
    return transport.take() or await transport.open()


async def exchange_on(bench: Bench) -> None:
    """One whole exchange, on whatever connection there is."""
    stream, taker = await stream_of(bench.transport), Taker()
    stream.start(a_request(), b"", taker, b"")
    async with bench.accept() as server:
        await server.head()
        await server.send(b"hello")
        await server.end()
    await eventually(lambda: taker.trailers is not None)
    assert (taker.flushed, taker.errors) == (5, [])
    stream.release()


@pytest.mark.parametrize("sent", ["none", "whole", "streamed"])
async def test_head_and_body_arrive(bench: Bench, sent: str) -> None:
    if sent != "none" and not bench.bodies:
        pytest.skip("requests with bodies go over HTTP/1.1")
    stream, taker = await bench.transport.open(), Taker()
    assert not stream.reused
    if sent == "none":
        stream.start(a_request(), b"Bearer x", taker, b"")
    elif sent == "streamed":
        stream.start(a_request("POST", chunked=True), b"Bearer x", taker, None)
        stream.write(b"ques")
        await stream.drain()
        stream.write(b"tion")
        stream.end()
    else:
        stream.start(a_request("POST", body=b"question"), b"Bearer x", taker, b"question")
    async with bench.accept() as server:
        await server.whole.wait()
        assert bytes(server.body) == (b"" if sent == "none" else b"question")
        assert {
            (b":method", b"GET" if sent == "none" else b"POST"),
            (b":path", b"/prefix/version?x=%2F"),
            (b":authority", b"upstream.test:6443"),
            (b"x-mine", b"1"),
            (b"user-agent", b"test/1"),
            (b"impersonate-user", b"jane"),
        } <= set(server.fields)
        early = stream.response_begun
        await server.head((b"content-type", b"text/plain"))
        await server.send(PIECE)
        await server.send(PIECE)
        await server.end((b"x-checksum", b"7"))
    await eventually(lambda: taker.trailers is not None)
    assert taker.response is not None
    assert (taker.response.status, taker.response.get(b"content-type")) == (200, b"text/plain")
    assert taker.response.body is BodyKind.CHUNKED
    assert (taker.flushed, taker.errors) == (2 * len(PIECE), [])
    assert taker.trailers == [(b"x-checksum", b"7")]
    assert (early, stream.response_begun) == (False, True)
    stream.release()
    again = bench.transport.take()
    assert again is not None
    assert again.reused
    again.release()


async def test_a_paused_stream_stops_only_its_sender(bench: Bench) -> None:
    stream, taker = await bench.transport.open(), Taker()
    stream.start(a_request(), b"", taker, b"")
    sent = 0
    async with bench.accept() as server:

        async def send() -> None:
            nonlocal sent
            for _ in range(bench.large):
                await server.send(PIECE)
                sent += 1
            await server.end()

        await server.head()
        await eventually(lambda: taker.response is not None)
        stream.pause_reading()
        sender = asyncio.ensure_future(send())
        before = -1
        while sent > before:
            before = sent
            # Enough round trips for a sender that nothing stops.
            for _ in range(10):
                await exchange_on(bench)
        assert sent < bench.large
        stream.resume_reading()
        await asyncio.wait_for(sender, 30)
    await eventually(lambda: taker.trailers is not None)
    assert (taker.flushed, taker.errors) == (bench.large * len(PIECE), [])
    stream.release()


@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "within the body"])
async def test_a_reset_is_an_error_and_never_a_clean_end(bench: Bench, begun: bool) -> None:
    stream, taker = await bench.transport.open(), Taker()
    stream.start(a_request(), b"", taker, b"")
    async with bench.accept() as server:
        if begun:
            await server.head()
            await server.send(b"half")
            await eventually(lambda: taker.flushed == 4)
        server.reset()
    await eventually(lambda: taker.errors)
    assert taker.trailers is None
    assert len(taker.errors) == 1
    stream.release()
    await exchange_on(bench)


async def test_streams_of_http2_share_a_connection() -> None:
    """Or the tests above would say nothing of it."""
    async with http2() as bench:
        streams = await asyncio.gather(*(bench.transport.open() for _ in range(3)))
        takers = [Taker() for _ in streams]
        for stream, taker in zip(streams, takers, strict=True):
            stream.start(a_request(), b"", taker, b"")
        for _ in streams:
            async with bench.accept() as server:
                await server.head()
                await server.end()
        await eventually(lambda: all(taker.trailers is not None for taker in takers))
        assert bench.connections() == 1
        for stream in streams:
            stream.release()


@asynccontextmanager
async def relaying_over(
    transports: Callable[[Dialer], Transport], port: int = 0
) -> AsyncIterator[Relay]:
    """The whole data plane in front of another transport."""
    async with relaying(answering(ok())) as relay:
        upstream = replace(relay.generation.upstream, port=port)
        async with closing(Generation(upstream, Tokens("first"), transports)) as generation:
            relay.generation = generation
            yield relay


@asynccontextmanager
async def closing(generation: Generation) -> AsyncIterator[Generation]:
    yield generation
    await generation.close()


async def test_clients_are_served_over_http2() -> None:
    async with (
        http2_server() as (port, exchanges, connections),
        relaying_over(Http2Transport, port) as relay,
        relay.client() as client,
        relay.client() as watcher,
    ):
        await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server = await exchanges.get()
        await server.whole.wait()
        names = {name for name, _ in server.fields}
        assert names.isdisjoint({b"host", b"connection", b"transfer-encoding"})
        await server.head((b"content-length", b"5"))
        await server.send(b"hello")
        await server.end()
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"hello")

        # A client that leaves cancels its stream, and the connection goes on.
        await watcher.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        watch = await exchanges.get()
        await watch.head()
        await watcher.reader.readuntil(b"\r\n\r\n")
        watcher.close()
        await asyncio.wait_for(watch.reset_by_client.wait(), 5)
        again = asyncio.ensure_future(client.get("/version"))
        server = await exchanges.get()
        await server.head((b"content-length", b"0"))
        await server.end()
        assert (await again).status == 200
        assert len(connections) == 1


async def test_a_watch_over_http2_that_is_reset_has_no_clean_end() -> None:
    async with (
        http2_server() as (port, exchanges, _),
        relaying_over(Http2Transport, port) as relay,
        relay.client() as client,
    ):
        await client.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        watch = await exchanges.get()
        await watch.head()
        await watch.send(b"{}\n")
        await client.reader.readuntil(b"{}\n\r\n")
        watch.reset()
        assert await client.reader.read() == b""
        assert relay.records[0].cause == "truncated"


async def test_the_fake_serves_a_relay() -> None:
    """A stream that looks reused fails, and the request goes out again on a new one."""
    reset = UpstreamError("reset", cause="reset")
    transport = FakeTransport([reset], [head(200), b"hello", []])
    transport.idle = 1
    async with relaying_over(lambda _: transport) as relay, relay.client() as client:
        answer = await client.get("/api")
        assert (answer.status, answer.body) == (200, b"hello")
        assert [stream.outcome for stream in transport.streams] == ["abort", "release"]
        assert [stream.reused for stream in transport.streams] == [True, False]
        transport.idle, transport.refusal = 0, UpstreamError("refused", cause="refused")
        assert (await client.get("/api")).status == 502
