"""A side that does not keep up holds the other; what waits in between stays small."""

import asyncio

import pytest

from tests.support.certificates import Authority
from tests.support.relay import eventually, relaying
from tests.support.upstream import Connection

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
TOTAL = 40_000_000


async def settled(progress: list[int]) -> int:
    """The last of *progress*, once it does not grow any more."""
    last = -1
    async with asyncio.timeout(10):
        while not progress or progress[-1] != last:
            last = progress[-1] if progress else -1
            await asyncio.sleep(0.2)
    return last


@TLS
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_slow_reader_holds_the_upstream(
    chunked: bool, tls: bool, authority: Authority
) -> None:
    sent: list[int] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % TOTAL
        await connection.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for size in range(100_000, TOTAL + 1, 100_000):
            data = b"x" * 100_000
            await connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            sent.append(size)
        if chunked:
            await connection.send(b"0\r\n\r\n")
        await connection.reader.read()

    async with relaying(script, authority if tls else None) as relay, relay.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await settled(sent) < TOTAL
        [connection] = relay.http.connections
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < 1_000_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < TOTAL:
            received += len(await client.reader.read(2**20))
        client.close()


@TLS
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_slow_upstream_holds_the_uploading_client(
    chunked: bool, tls: bool, authority: Authority
) -> None:
    sent: list[int] = []
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.head()
        await go.wait()
        received = 0
        while received < TOTAL:
            received += len(await connection.reader.read(2**20))
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await connection.reader.read()

    async with relaying(script, authority if tls else None) as relay, relay.client() as client:

        async def upload() -> None:
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % TOTAL
            await client.send(b"POST /api HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n")
            for size in range(100_000, TOTAL + 1, 100_000):
                data = b"x" * 100_000
                await client.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                sent.append(size)
            if chunked:
                await client.send(b"0\r\n\r\n")

        uploading = asyncio.ensure_future(upload())
        assert await settled(sent) < TOTAL
        [connection] = relay.http.connections
        body = connection._reader.body
        assert body is not None
        waiting = body._size + len(connection._backlog)
        assert waiting < 1_500_000
        go.set()
        assert (await client.answer()).status == 200
        await uploading


async def test_an_answer_in_one_read_larger_than_the_buffer_arrives_whole() -> None:
    body = bytes(range(256)) * 8000

    async def script(connection: Connection) -> None:
        for _ in range(3):
            await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            await connection.send(body)

    async with relaying(script) as relay, relay.client() as client:
        for _ in range(3):
            await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.sleep(0.05)
            assert (await client.answer()).body == body
        await eventually(lambda: len(relay.records) == 3)
