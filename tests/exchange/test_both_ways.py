"""An exchange comes to the same with a task and without one.

Each case is played twice, on an idle upstream connection both times: once as it comes, and once by
aiohttp's way, which takes a task.
"""

import asyncio
import contextlib
import gzip
import re
from dataclasses import dataclass

import pytest

from tests.support.certificates import Authority
from tests.support.relay import Tokens, eventually, relaying
from tests.support.upstream import Connection, Script, answering, ok

from .test_faults import BEFORE_ANY_BYTE, CHUNKED, CUT_SHORT, HEAD, sending

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
HOST = b"Host: localhost\r\n"
GET = b"GET /api HTTP/1.1\r\n" + HOST + b"\r\n"
TEXT = b"".join(b"line %d\n" % n for n in range(20_000))
ZIPPED = gzip.compress(TEXT)
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n"


@dataclass
class Seen:
    """What everybody saw of an exchange; how the bytes were cut into reads is left out."""

    heads: list[bytes]
    body: bytes
    ended: bool
    clean: bool
    told: tuple[object, ...]
    asked: list[str]
    idle: int


def decoded(head: bytes, body: bytes) -> tuple[bytes, bool]:
    """A body without its chunks, and whether it has an end of its own."""
    if b"\r\nTransfer-Encoding: chunked" not in head:
        return body, False
    data = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", body):
        size, start = int(match[1], 16), match.end()
        if not size:
            return data + body[start:], True
        data, body = data + body[start : start + size], body[start + size + 2 :]
    return data, False


async def seen(
    script: Script,
    authority: Authority | None,
    request: bytes,
    *,
    tokens: tuple[str, ...],
    task: bool,
) -> Seen:
    async with relaying(script, authority, Tokens(*tokens)) as relay:
        await relay.prime()
        begun = []

        def begin(*arguments: object) -> bool:
            begun.append(not task and relay.dispatcher.begin(*arguments))  # type: ignore[arg-type]
            return begun[-1]

        relay.http.begin = begin
        async with relay.client() as client:
            reading = asyncio.ensure_future(client.to_end())
            await client.send(request)
            await eventually(lambda: relay.records)
            # uvloop minds if the connection has ended already.
            with contextlib.suppress(OSError, RuntimeError):
                client.writer.write_eof()
            data, clean = await reading
        [record] = relay.records
        assert begun == [not task]
        heads = []
        while data.startswith(b"HTTP/"):
            head, _, data = data.partition(b"\r\n\r\n")
            heads.append(re.sub(rb"Date: [^\r]*", b"Date", head))
        body, ended = decoded(heads[-1], data) if heads else (data, False)
        told = (record.status, record.cause, record.retries, record.sent, record.reused,
                record.connects, record.credential, bool(record.first_byte))  # fmt: skip
        asked = [r.line + str(r.values("authorization")) for r in relay.upstream.requests]
        # The end of a connection may come after its answer.
        there = relay.upstream.connections
        await eventually(lambda: relay.idle <= sum(not c.ending for c in there))
        return Seen(heads, body, ended, clean, told, asked, relay.idle)


async def renewing(connection: Connection) -> None:
    while True:
        request = await connection.request()
        new = request.values("authorization") == ["Bearer new"]
        await connection.send(ok(b"") if new else UNAUTHORIZED % 0)


async def once(connection: Connection) -> None:
    """Dead at the sight of a request, but for the second connection."""
    await connection.request()
    if connection.number:
        await connection.send(ok(b"second"))


async def large(connection: Connection) -> None:
    await connection.request()
    await connection.send(HEAD + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    await connection.reader.read()


def zipped(body: bytes, *fields: bytes) -> bytes:
    lines = [b"Content-Encoding: gzip", b"Content-Length: %d" % len(body), *fields]
    return HEAD + b"\r\n".join(lines) + b"\r\n\r\n" + body


ANSWERED = [
    pytest.param(answering(ok(b"x")), id="length"),
    pytest.param(answering(ok(b"")), id="empty"),
    pytest.param(answering(CHUNKED + b"1\r\nx\r\n0\r\n\r\n"), id="chunks"),
    pytest.param(answering(CHUNKED + b"1\r\nx\r\n0\r\nT: 1\r\n\r\n"), id="trailers"),
    pytest.param(answering(ok(b"x", "Connection: close")), id="close"),
    pytest.param(answering(ok(b"x").replace(b"/1.1", b"/1.0")), id="HTTP/1.0"),
    pytest.param(answering(ok(b"whole") + b"more"), id="bytes behind"),
    pytest.param(sending(HEAD + b"\r\n", b"all"), id="until close"),
    pytest.param(sending(HEAD + b"\r\n", b"all", end="abort"), id="until reset"),
    pytest.param(sending(HEAD + b"\r\nall"), id="until close in one"),
    pytest.param(sending(ok(b"x")), id="closed right behind"),
    pytest.param(sending(ok(b"x"), end="abort"), id="reset right behind"),
    pytest.param(answering(b"HTTP/1.1 103 Hints\r\nX: y\r\n\r\n" * 2 + ok(b"x")), id="hints"),
    pytest.param(answering(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"), id="204"),
    pytest.param(answering(b"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n"), id="304"),
    pytest.param(answering(zipped(ZIPPED)), id="gzip"),
    pytest.param(answering(zipped(ZIPPED, b"Connection: close")), id="gzip and close"),
    pytest.param(answering(zipped(ZIPPED[:-9])), id="gzip cut"),
    pytest.param(answering(zipped(b"no gzip")), id="gzip that is none"),
    pytest.param(large, id="3 MB"),
    pytest.param(once, id="stale"),
]
REFUSED = [
    pytest.param(answering(UNAUTHORIZED % 2 + b"no"), id="whole"),
    pytest.param(answering(UNAUTHORIZED % 300_000 + b"n" * 300_000), id="large"),
    pytest.param(sending(UNAUTHORIZED % 9 + b"no"), id="cut"),
    pytest.param(sending(UNAUTHORIZED % 300_000 + b"n" * 299_999), id="large and cut"),
    pytest.param(renewing, id="renewed"),
]
FAULTS = [
    pytest.param(case.values[0], id=str(case.id))
    for case in (*BEFORE_ANY_BYTE, *CUT_SHORT)
    if "endless" not in str(case.id)
]


async def assert_same(
    script: Script,
    authority: Authority | None,
    request: bytes = GET,
    tokens: tuple[str, ...] = ("old", "new"),
) -> None:
    with_task, without = [
        await seen(script, authority, request, tokens=tokens, task=task) for task in (True, False)
    ]
    assert with_task == without


@TLS
@pytest.mark.parametrize("script", ANSWERED)
async def test_an_answer_is_the_same(script: Script, tls: bool, authority: Authority) -> None:
    await assert_same(script, authority if tls else None)


@pytest.mark.parametrize("tokens", [("only",), ("old", "new")], ids=["one token", "two tokens"])
@pytest.mark.parametrize("script", REFUSED)
async def test_a_refused_credential_is_the_same(
    script: Script, tokens: tuple[str, ...], authority: Authority
) -> None:
    await assert_same(script, authority, tokens=tokens)


@TLS
@pytest.mark.parametrize("script", FAULTS)
async def test_a_fault_is_the_same(script: Script, tls: bool, authority: Authority) -> None:
    await assert_same(script, authority if tls else None)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"HEAD /api HTTP/1.1\r\n" + HOST + b"\r\n", id="HEAD"),
        pytest.param(b"DELETE /api HTTP/1.1\r\n" + HOST + b"\r\n", id="DELETE"),
        pytest.param(
            b"POST /api HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", id="empty POST"
        ),
        pytest.param(b"GET /api HTTP/1.0\r\n" + HOST + b"\r\n", id="HTTP/1.0"),
        pytest.param(
            b"GET /api HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n",
            id="HTTP/1.0 keep-alive",
        ),
        pytest.param(b"GET /api HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", id="close"),
        pytest.param(
            b"GET /api HTTP/1.1\r\n" + HOST + b"Authorization: Bearer own\r\n\r\n", id="own"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answering(HEAD + b"Content-Length: 0\r\n\r\n"), id="empty"),
        pytest.param(answering(UNAUTHORIZED % 0), id="401"),
        pytest.param(sending(HEAD + b"\r\n", b"all"), id="until close"),
        pytest.param(sending(HEAD + b"\r\n", b"all", end="abort"), id="until reset"),
        pytest.param(sending(), id="closed without an answer"),
        pytest.param(sending(end="abort"), id="reset without an answer"),
        pytest.param(once, id="stale"),
        pytest.param(renewing, id="401 and renewed"),
    ],
)
async def test_another_request_fares_the_same(
    script: Script, request_: bytes, authority: Authority
) -> None:
    await assert_same(script, authority, request_)


@pytest.mark.parametrize("task", [True, False], ids=["task", "no task"])
async def test_a_slow_reader_gets_and_costs_the_same(task: bool, authority: Authority) -> None:
    """More than the buffers hold: the client pauses the upstream, and the end waits for it."""
    body = gzip.compress(bytes(range(256)) * 80_000)
    async with relaying(answering(zipped(body)), authority) as relay:
        await relay.prime()
        if task:
            relay.http.begin = lambda *_: False
        async with relay.client() as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(GET)
            await eventually(lambda: any(c.writing_paused for c in relay.http.connections))
            assert not relay.records
            assert len(relay.dispatcher.in_flight) == 1
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            answer = await client.answer()
            assert (len(answer.body), answer.whole) == (20_480_000, True)
            assert (await client.get("/api")).status == 200
        await eventually(lambda: [record.cause for record in relay.records] == ["", ""])
        assert relay.idle == 1
