"""What clients send: however it is cut, the same reaches the upstream; damaged, nothing unsound."""

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.support.client import read_answer
from tests.support.relay import relaying
from tests.support.upstream import Connection, Request, ok

from .streams import cuts, damaged, for_each, pieces, send, turns

_LINE = re.compile(r"[A-Z]+ /[!-~\x80-\xff]* HTTP/1\.1")
_ECHO = re.compile(rb"[A-Z]+ /")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True)
class Sent:
    """A request."""

    method: str
    number: int
    content: bytes
    chunks: list[int] | None

    @property
    def stream(self) -> bytes:
        """Its bytes."""
        head = f"{self.method} /api?{self.number} HTTP/1.1\r\nHost: localhost\r\n".encode()
        if self.chunks is not None:
            parts = [p for p in pieces(self.content, self.chunks) if p]
            body = b"".join(b"%x;a=b\r\n%b\r\n" % (len(p), p) for p in parts)
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
        if self.content:
            head += b"Content-Length: %d\r\n" % len(self.content)
        return head + b"\r\n" + self.content

    @property
    def told(self) -> bytes:
        """What the upstream says of it."""
        return b"%b /api?%d %b" % (self.method.encode(), self.number, self.content)


requests = st.lists(
    st.builds(
        Sent,
        st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
        st.integers(0, 999),
        st.one_of(st.just(b""), st.binary(max_size=40), st.just(b"\r\n\r\n0\r\n\r\n" * 9)),
        st.one_of(st.none(), cuts),
    ),
    min_size=1,
    max_size=4,
)


async def tell(connection: Connection) -> None:
    """Answer with what has come."""
    while True:
        request = await connection.request()
        check(request)
        method, target, _ = request.line.split(" ")
        await connection.send(ok(f"{method} {target} ".encode() + request.body))


def check(request: Request) -> None:
    """See that a request is one, beyond doubt."""
    lines = request.head.decode("latin-1").split("\r\n")
    assert _LINE.fullmatch(lines[0]), lines
    for line in lines[1:]:
        assert _FIELD.fullmatch(line), lines
    framing = request.values("content-length") + request.values("transfer-encoding")
    assert len(framing) <= 1, lines
    assert len(request.values("host")) == 1, lines


async def check_answers(received: bytes) -> None:
    """See that what a client got is one answer after another, at most the last one cut."""
    reader = asyncio.StreamReader()
    reader.feed_data(received)
    reader.feed_eof()
    while not reader.at_eof():
        answer = await read_answer(reader)
        if answer.status == 200:
            assert _ECHO.match(answer.body) or not answer.whole, answer
        elif answer.whole:
            assert json.loads(answer.body)["code"] == answer.status, answer
        else:
            assert reader.at_eof(), answer


async def test_any_split_of_requests_gives_the_same_responses() -> None:
    async with relaying(tell) as relay:

        async def one(example: tuple[list[Sent], list[int]]) -> None:
            sent, places = example
            async with relay.client() as client:
                stream = b"".join(request.stream for request in sent)
                await send(client.writer, pieces(stream, places))
                for request in sent:
                    answer = await client.answer()
                    assert (answer.status, answer.body) == (200, request.told)

        await for_each(st.tuples(requests, cuts), one)


async def test_damaged_requests_are_refused_or_sound() -> None:
    streams = requests.map(lambda sent: b"".join(request.stream for request in sent))
    async with relaying(tell) as relay:

        async def one(example: tuple[bytes, list[int]]) -> None:
            stream, places = example
            async with relay.client() as client:
                # It may be refused before all of it has come; what is said then may be read.
                with contextlib.suppress(OSError, RuntimeError):
                    await send(client.writer, pieces(stream, places))
                    await turns(30)
                    client.writer.write_eof()
                received, _ = await client.to_end()
            await check_answers(received)
            async with relay.client() as another:
                assert (await another.get("/api?1")).body == b"GET /api?1 "
            assert relay.upstream.errors == []

        await for_each(st.tuples(damaged(streams), cuts), one)
