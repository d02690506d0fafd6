"""What the API server sends: a client gets the whole of it, or sees that it did not."""

import asyncio
import http.client
import io
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.support.client import Answer
from tests.support.relay import Relay, relaying
from tests.support.upstream import Connection

from .streams import cuts, damaged, for_each, pieces, send

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /api HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"


def chunked(content: bytes, places: Sequence[int]) -> bytes:
    parts = [p for p in pieces(content, places) if p]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


contents = st.one_of(st.binary(max_size=60), st.just(b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n" * 5))
heads = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n",
        b"HTTP/1.1 404 Not Found\r\n",
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
    ]
)
lengths = st.builds(
    lambda head, content: head + b"Content-Length: %d\r\n\r\n" % len(content) + content,
    heads,
    contents,
)
chunks = st.builds(
    lambda head, content, places: (
        head.replace(b"/1.0", b"/1.1") + CHUNKED + chunked(content, places)
    ),
    heads,
    contents,
    cuts,
)
until_close = st.builds(lambda head, content: head + b"\r\n" + content, heads, contents)
answers = st.one_of(lengths, chunks, until_close)


class Stream(io.BytesIO):
    """A socket for ``http.client``."""

    def makefile(self, mode: str) -> io.BytesIO:
        return self


def understood(stream: bytes) -> tuple[int, bytes] | None:
    """Status and body, if ``http.client`` takes it for a whole answer; it takes more than we do."""
    try:
        while True:
            # llhttp forgives empty lines before an answer.
            stream = stream.lstrip(b"\r\n")
            response = http.client.HTTPResponse(Stream(stream))  # type: ignore[arg-type]
            response.begin()
            if not 100 < response.status < 200:
                return response.status, response.read()
            stream = stream.partition(b"\r\n\r\n")[2]
    except (http.client.HTTPException, ValueError, AttributeError):
        return None


class Upstream:
    """Answers every request with the stream of the moment, and ends the connection."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    async def script(self, connection: Connection) -> None:
        await connection.request()
        await send(connection.writer, self.parts)


async def answer(relay: Relay) -> Answer | None:
    """What a client gets; None if its connection ends before an answer's head does."""
    async with relay.client() as client:
        await client.send(GET)
        try:
            got = await client.answer()
            while got.status < 200:
                got = await client.answer()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return got


async def test_any_split_of_a_response_gives_the_same() -> None:
    upstream = Upstream()
    async with relaying(upstream.script) as relay:

        async def one(example: tuple[bytes, list[int]]) -> None:
            stream, places = example
            upstream.parts = pieces(stream, places)
            got = await answer(relay)
            assert got is not None
            assert got.whole
            assert (got.status, got.body) == understood(stream)

        await for_each(st.tuples(answers, cuts), one)


async def test_damaged_responses_are_complete_and_equal_or_visibly_cut() -> None:
    upstream = Upstream()
    async with relaying(upstream.script) as relay:

        async def one(example: tuple[bytes, list[int]]) -> None:
            stream, places = example
            upstream.parts = pieces(stream, places)
            got = await answer(relay)
            if got is None or not got.whole:
                return
            if got.status == 502:
                assert b'"kind":"Status"' in got.body
            else:
                assert (got.status, got.body) == understood(stream)

        await for_each(st.tuples(damaged(answers), cuts), one)
