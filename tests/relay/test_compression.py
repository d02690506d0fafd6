"""gzip on a client's behalf: asked for, undone while it streams, and never half."""

import asyncio
import gzip
import zlib

import pytest

from kubelatch.http1.gunzip import Gunzip
from tests.support.relay import Relay, eventually, relaying
from tests.support.upstream import Connection, answering

TEXT = b"".join(b"line %d\n" % n for n in range(20_000))


def gzipped(data: bytes, *, chunked: bool = False) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
    if chunked:
        pieces = [data[n : n + 1000] for n in range(0, len(data), 1000)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\nT: 1\r\n\r\n"
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + body
    return head + b"Content-Length: %d\r\n\r\n" % len(data) + data


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(gzip.compress(TEXT), id="one member"),
        pytest.param(gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]), id="two members"),
    ],
)
async def test_what_was_not_asked_for_compressed_comes_plain(data: bytes, chunked: bool) -> None:
    async with relaying(answering(gzipped(data, chunked=chunked))) as relay:
        async with relay.client() as client:
            for _ in range(2):
                answer = await client.get("/api")
                assert (answer.body == TEXT, answer.whole) == (True, True)
                assert answer.values("content-encoding") == answer.values("content-length") == []
                assert answer.values("transfer-encoding") == ["chunked"]
        assert len(relay.upstream.connections) == 1


async def test_an_http10_client_gets_it_plain_until_the_close() -> None:
    async with relaying(answering(gzipped(gzip.compress(TEXT)))) as relay:
        async with relay.client() as client:
            await client.send(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
            answer = await client.answer()
        assert answer.body == TEXT


async def test_each_event_of_a_compressed_watch_is_decoded_at_once() -> None:
    more = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(gzipped(b"", chunked=True).partition(b"0\r\nT")[0])
        encoder = zlib.compressobj(wbits=31)
        for number in range(3):
            data = encoder.compress(b"event %d\n" % number) + encoder.flush(zlib.Z_SYNC_FLUSH)
            await connection.send(b"%x\r\n%b\r\n" % (len(data), data))
            await more.wait()
            more.clear()
        data = encoder.flush()
        await connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    async with relaying(script) as relay, relay.client() as client:
        await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        for number in range(3):
            assert await client.reader.readexactly(13) == b"8\r\nevent %d\n\r\n" % number
            more.set()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize(
    "fields", [["Accept-Encoding: gzip"], ["Accept-Encoding: br"], ["Range: bytes=0-9"]]
)
async def test_what_the_client_chose_is_left_alone(fields: list[str]) -> None:
    data = gzip.compress(TEXT)
    async with relaying(answering(gzipped(data))) as relay, relay.client() as client:
        answer = await client.get("/api", *fields)
        assert answer.body == data
        assert answer.values("content-encoding") == ["gzip"]
        assert answer.values("content-length") == [str(len(data))]
        [request] = relay.upstream.requests
        assert request.values("accept-encoding") == [
            f.split(": ")[1] for f in fields if f.startswith("Accept")
        ]


async def test_compression_can_be_off() -> None:
    async with relaying(answering(gzipped(b"data")), compression=False) as relay:
        async with relay.client() as client:
            assert (await client.get("/api")).body == b"data"
        assert relay.upstream.requests[0].values("accept-encoding") == []


async def test_head_asks_for_no_compression() -> None:
    async with relaying(answering(gzipped(b""))) as relay, relay.client() as client:
        await client.get("/api", method="HEAD")
        assert relay.upstream.requests[0].values("accept-encoding") == []


async def test_an_empty_compressed_body_is_an_empty_body() -> None:
    async with (
        relaying(answering(gzipped(b"", chunked=True))) as relay,
        relay.client() as client,
    ):
        for _ in range(2):
            answer = await client.get("/api")
            assert (answer.body, answer.whole) == (b"", True)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        pytest.param(gzip.compress(TEXT)[:-9], "truncated", id="data cut"),
        pytest.param(gzip.compress(TEXT)[:-3], "truncated", id="trailer cut"),
        pytest.param(gzip.compress(TEXT)[:-8] + b"\0" * 8, "bad-answer", id="wrong checksum"),
        pytest.param(gzip.compress(TEXT) + b"garbage", "bad-answer", id="garbage behind it"),
    ],
)
async def test_broken_compression_never_looks_whole(data: bytes, cause: str) -> None:
    async with relaying(answering(gzipped(data))) as relay, relay.client() as client:
        answer = await client.get("/api")
        assert (answer.status == 502) or not answer.whole
        assert relay.records[0].cause == cause


async def test_what_is_not_gzip_at_all_is_502() -> None:
    async with relaying(answering(gzipped(b"plain text"))) as relay, relay.client() as client:
        assert (await client.get("/api")).status == 502


def buffered(relay: Relay) -> int:
    [connection] = relay.http.connections
    assert connection.transport is not None
    return connection.transport.get_write_buffer_size()


async def test_a_gzip_bomb_waits_compressed_for_a_slow_reader() -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    async with relaying(answering(gzipped(bomb))) as relay, relay.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await eventually(lambda: relay.http.connections and buffered(relay))
        await asyncio.sleep(0.2)
        assert buffered(relay) < 1_000_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answer = await client.answer()
        assert (answer.whole, len(answer.body)) == (True, 20_000_000)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("together", [1, 3])
def test_pieces_of_any_size_are_decoded_in_order(size: int, together: int) -> None:
    """Also when the decoder is left with work to do, and then fed more."""
    packed = gzip.compress(TEXT[:90_000]) + gzip.compress(bytes(600_000))
    decoder, decoded = Gunzip(), b""
    for number, start in enumerate(range(0, len(packed), size)):
        decoder.feed(packed[start : start + size])
        assert not decoder.complete
        if number % together == 0:
            decoded += next(decoder.slices(), b"")
    decoded += b"".join(decoder.slices())
    assert decoded == TEXT[:90_000] + bytes(600_000)
    assert decoder.complete
