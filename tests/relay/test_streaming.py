"""Bodies both ways: at once, whole, and framed as they were."""

import asyncio
import http.client
import shutil

import pytest

from tests.support.certificates import Authority
from tests.support.relay import eventually, relaying
from tests.support.upstream import Connection, answering, ok, read_chunked

HOST = b"Host: localhost\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_quiet_watch_shows_its_head_and_each_event_at_once(
    tls: bool, authority: Authority
) -> None:
    more = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        for number in range(3):
            await more.wait()
            more.clear()
            await connection.send(b"2\r\n%d\n\r\n" % number)
        await connection.send(b"0\r\n\r\n")

    async with relaying(script, authority if tls else None) as relay, relay.client() as client:
        await client.send(b"GET /watch HTTP/1.1\r\n" + HOST + b"\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
        for number in range(3):
            more.set()
            assert await client.reader.readexactly(7) == b"2\r\n%d\n\r\n" % number
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_body_goes_with_every_method(method: str) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(
            f"{method} /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody".encode()
        )
        assert (await client.answer()).status == 200
        [request] = relay.upstream.requests
    assert (request.line, request.body) == (f"{method} /api HTTP/1.1", b"body")
    assert request.values("content-length") == ["4"]


async def test_an_answer_to_head_keeps_its_length_and_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with relaying(answering(head)) as relay, relay.client() as client:
        for _ in range(3):
            answer = await client.get("/api", method="HEAD")
            assert answer.values("content-length") == ["1000"]
        assert len(relay.upstream.connections) == 1


async def test_a_chunked_answer_to_head_ends_with_its_head() -> None:
    async with relaying(answering(CHUNKED)) as relay, relay.client() as client:
        for _ in range(3):
            assert (await client.get("/api", method="HEAD")).status == 200


async def test_the_first_chunk_of_an_upload_does_not_wait_for_the_second() -> None:
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.head()
        assert await connection.reader.readexactly(8) == b"3\r\none\r\n"
        arrived.set()
        assert await read_chunked(connection.reader) == b"two"
        await connection.send(ok(b"got"))

    async with relaying(script) as relay, relay.client() as client:
        await client.send(b"POST /api HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        await client.send(b"3\r\none\r\n")
        await arrived.wait()
        await client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert (await client.answer()).body == b"got"
        assert relay.upstream.requests[0].values("transfer-encoding") == ["chunked"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_ten_megabytes_go_up_and_down_whole(
    chunked: bool, tls: bool, authority: Authority
) -> None:
    body = bytes(range(256)) * 4 * 10 * 1024

    async def script(connection: Connection) -> None:
        request = await connection.request()
        if chunked:
            await connection.send(CHUNKED)
            for start in range(0, len(request.body), 100_000):
                piece = request.body[start : start + 100_000]
                await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await connection.send(b"0\r\n\r\n")
        else:
            await connection.send(ok(request.body))

    async with relaying(script, authority if tls else None) as relay, relay.client() as client:
        framing = (
            b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
        )
        await client.send(b"POST /api HTTP/1.1\r\n" + HOST + framing + b"\r\n")
        sending = asyncio.ensure_future(
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
        )
        answer = await client.answer()
        await sending
        assert answer.body == body
        assert answer.values("connection") == []


async def test_chunks_full_of_empty_lines_arrive_whole() -> None:
    body = b"\r\n\r\n" * 5000 + b"GET / HTTP/1.1\r\n\r\n"

    async def script(connection: Connection) -> None:
        request = await connection.request()
        await connection.send(ok(request.body))
        await connection.request()
        await connection.send(ok(b"next"))

    async with relaying(script) as relay, relay.client() as client:
        await client.send(
            b"POST /api HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body)
            + b"GET /api HTTP/1.1\r\n" + HOST + b"\r\n"
        )  # fmt: skip
        assert (await client.answer()).body == body
        assert (await client.answer()).body == b"next"


async def test_an_early_answer_is_relayed_and_ends_both_connections() -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(ok(b"too large", "X-Early: 1"))
        await connection.reader.read()

    async with relaying(script) as relay, relay.client() as client:
        await client.send(b"POST /api HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\nab")
        answer = await client.answer()
        assert (answer.body, answer.values("connection")) == (b"too large", ["close"])
        await relay.upstream.connections[0].closed.wait()
        # What the client still sends is taken, and does not turn into a reset.
        await client.send(b"x" * 500_000)
        assert await client.to_end() == (b"", True)
        assert relay.idle == 0


async def test_a_bad_chunk_is_400_and_the_upstream_sees_a_cut_request() -> None:
    complete = []

    async def script(connection: Connection) -> None:
        await connection.request()
        complete.append(True)

    async with relaying(script) as relay, relay.client() as client:
        await client.send(
            b"POST /api HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        )
        await eventually(lambda: relay.upstream.requests)
        await client.send(b"zz\r\n")
        answer = await client.answer()
        assert (answer.status, answer.values("connection")) == (400, ["close"])
        assert await client.to_end() == (b"", True)
        await relay.upstream.connections[0].closed.wait()
        assert not complete
        assert relay.records[0].cause == "bad-request"


async def test_a_bad_chunk_right_behind_the_head_is_400() -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(
            b"POST /api HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
        )
        assert (await client.answer()).status == 400
        assert not any(c.requests and c.requests[0].body for c in relay.upstream.connections)


async def test_pythons_http_client_is_content() -> None:
    async with relaying(answering(ok(b"one"), CHUNKED + b"3\r\ntwo\r\n0\r\n\r\n")) as relay:

        def talk() -> list[bytes]:
            host, _, port = relay.address.rpartition(":")
            client = http.client.HTTPConnection(host, int(port), timeout=10)
            bodies = []
            for body in (None, b"x" * 100_000):
                client.request("POST" if body else "GET", "/api", body=body)
                bodies.append(client.getresponse().read())
            client.close()
            return bodies

        assert await asyncio.to_thread(talk) == [b"one", b"two"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    "flags", [(), ("--http1.0",), ("--compressed",), ("--http2",)], ids=" ".join
)
async def test_curl_is_content(flags: tuple[str, ...]) -> None:
    async with relaying(answering(CHUNKED + b"3\r\ntwo\r\n0\r\n\r\n")) as relay:
        url = f"http://{relay.address}/api"
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--max-time", "10", *flags, url, url, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert (process.returncode, out) == (0, b"twotwo")
