"""Requests that need no task: what goes wrong when nothing but callbacks carries an exchange.

Each test makes sure that an upstream connection waits for work, without which there is a task, and
that the requests it is about took the way without.
"""

import asyncio
import gc
import gzip
import os
import socket

import pytest

from kubelatch.relay.client import WRITE_BUFFER_HIGH
from kubelatch.relay.exchange import Exchange
from tests.support.certificates import Authority
from tests.support.relay import eventually
from tests.support.upstream import Connection, Script, answering, ok

from .test_reading import leave
from .warm_connection import CHUNKED, GET, Begun, echo, mute, primed, request, unfinished, watch


# The last is more than may wait in one direction or the other.
@pytest.mark.parametrize("count", [2, 50, 2000])
async def test_a_pipeline_is_answered_in_order_and_whole(count: int, begun: Begun) -> None:
    targets = [f"/{number}" for number in range(count)]
    async with primed(echo) as (relay, client, _):
        sending = asyncio.ensure_future(client.send(b"".join(map(request, targets))))
        for target in targets:
            assert (await client.answer()).body == f"{target} ".encode()
        await sending
        assert [record.target for record in relay.records] == begun == targets
        assert len(relay.upstream.connections) == 1


async def test_a_pipeline_waits_behind_its_first_request(begun: Begun) -> None:
    proceed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await proceed.wait()
        await connection.send(ok(b"slow"))
        await echo(connection)

    async with primed(script) as (relay, client, _):
        await client.send(request("/1") + request("/2"))
        await eventually(lambda: relay.upstream.requests)
        await client.send(request("/3"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(relay.upstream.requests) == 1
        proceed.set()
        assert [(await client.answer()).body for _ in range(3)] == [b"slow", b"/2 ", b"/3 "]
    assert begun == ["/1", "/2", "/3"]


@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "at the end"])
@pytest.mark.parametrize(
    ("other", "status", "body"),
    [
        pytest.param(request("/forbidden"), 403, None, id="refused"),
        pytest.param(request("//api"), 307, b"", id="redirected"),
        pytest.param(
            request("/b", "Content-Length: 4", method="POST") + b"body", 200, b"/b body", id="body"
        ),
        pytest.param(
            request("/b", "Transfer-Encoding: chunked", method="PUT") + b"2\r\nbo\r\n0\r\n\r\n",
            200,
            b"/b bo",
            id="chunks",
        ),
        pytest.param(
            request("/b", "Connection: Upgrade", "Upgrade: h2c"), 200, b"/b ", id="ignored upgrade"
        ),
        pytest.param(request("/b", "Expect: x"), 417, None, id="expectation"),
    ],
)
async def test_what_needs_a_task_keeps_its_place_in_a_pipeline(
    other: bytes, status: int, body: bytes | None, last: bool, begun: Begun
) -> None:
    before, after = 40, 0 if last else 40
    async with primed(echo) as (_, client, _):
        await client.send(request("/a") * before + other + request("/c") * after)
        for _ in range(before):
            assert (await client.answer()).body == b"/a "
        answer = await client.answer()
        assert answer.status == status
        assert body is None or answer.body == body
        for _ in range(after):
            assert (await client.answer()).body == b"/c "
    assert begun[:before] == ["/a"] * before


@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "at the end"])
async def test_an_unreadable_request_is_the_last_of_its_pipeline(last: bool, begun: Begun) -> None:
    async with primed(echo) as (relay, client, _):
        rest = b"" if last else request("/c")
        await client.send(request("/a") * 3 + b"nonsense\r\n\r\n" + rest)
        for _ in range(3):
            assert (await client.answer()).body == b"/a "
        assert (await client.answer()).status == 400
        assert await client.to_end() == (b"", True)
        assert len(relay.upstream.requests) == len(begun) == 3


@pytest.mark.parametrize(
    "closing",
    [request("/b", "Connection: close"), request("/b", version="1.0")],
    ids=["Connection: close", "HTTP/1.0"],
)
async def test_nothing_is_answered_behind_the_last_request(closing: bytes, begun: Begun) -> None:
    async with primed(echo) as (relay, client, _):
        await client.send(request("/a") + closing + request("/c"))
        assert (await client.answer()).body == b"/a "
        answer = await client.answer()
        assert (answer.body, answer.values("connection")) == (b"/b ", ["close"])
        assert await client.to_end() == (b"", True)
        assert begun == ["/a", "/b"]
        assert len(relay.upstream.requests) == 2


async def test_an_upgrade_behind_plain_requests_gets_its_bytes(begun: Begun) -> None:
    async def script(connection: Connection) -> None:
        while not (await connection.request()).values("upgrade"):
            await connection.send(ok(b"plain"))
        await connection.send(
            b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await connection.send(await connection.reader.readexactly(100_000))

    upgrade = request("/ws", "Connection: Upgrade", "Upgrade: websocket")
    async with primed(script) as (_, client, _):
        client.writer.write(request("/a") * 3 + upgrade + b"x" * 100_000)
        for _ in range(3):
            assert (await client.answer()).body == b"plain"
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(100_000) == b"x" * 100_000
    assert begun == ["/a"] * 3


async def test_a_pipeline_behind_a_watch_is_held_back_in_the_kernel(begun: Begun) -> None:
    async with primed(watch) as (relay, client, connection):
        client.writer.write(GET * 200_000)
        await eventually(lambda: connection._backlog)
        assert connection.transport is not None
        await eventually(lambda: not connection.transport.is_reading())  # type: ignore[union-attr]
        assert len(connection._backlog) < 600_000
        assert len(begun) == 1
        leave(client, reset=True)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "client-gone"


async def test_who_pipelines_and_does_not_read_is_paused(begun: Begun) -> None:
    async with primed(answering(ok(b"x" * 10_000))) as (relay, client, connection):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(GET * 20_000)
        await eventually(lambda: connection.writing_paused, 20)
        transport = connection.transport
        assert transport is not None
        await eventually(lambda: not transport.is_reading())
        assert transport.get_write_buffer_size() < 600_000
        assert len(relay.upstream.requests) < 20_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(1000):
            assert len((await client.answer()).body) == 10_000
        leave(client, reset=True)


@pytest.mark.parametrize("target", ["/forbidden", "//api"], ids=["refused", "redirected"])
async def test_ten_thousand_requests_that_we_answer_are_no_recursion(
    target: str, begun: Begun
) -> None:
    count = 10_000
    async with primed(echo) as (_, client, _):
        sending = asyncio.ensure_future(client.send(GET + request(target) * count + GET))
        statuses = [(await client.answer()).status for _ in range(count + 2)]
        await sending
        assert set(statuses[1:-1]) == {403 if target == "/forbidden" else 307}
        assert statuses[0] == statuses[-1] == 200
    assert begun[0] == "/api"


async def test_a_pipelined_delete_is_not_sent_to_a_connection_that_ends_with_its_answer(
    begun: Begun, authority: Authority
) -> None:
    """The end comes in the same read as the answer; a request that begins in between is lost."""

    async def script(connection: Connection) -> None:
        await connection.request()
        # Over TLS, one write and the end that follows it are one segment.
        connection.writer.write(ok(b"%d" % connection.number))

    async with primed(script, authority) as (relay, client, _):
        await client.send(GET + request("/api", method="DELETE"))
        assert (await client.answer()).body == b"0"
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"1")
        assert [record.retries for record in relay.records] == [0, 0]
    assert begun == ["/api"]


async def flood(connection: Connection) -> None:
    await connection.request()
    await connection.send(CHUNKED)
    while True:
        await connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")


@pytest.mark.parametrize("how", ["close", "abort", "write_eof"])
@pytest.mark.parametrize("script", [mute, unfinished, watch, flood])
async def test_who_leaves_takes_the_upstream_connection_along(
    script: Script, how: str, begun: Begun
) -> None:
    async with primed(script) as (relay, client, connection):
        await client.send(GET)
        await eventually(lambda: relay.upstream.requests)
        if script is not mute:
            await client.reader.readuntil(b"\r\n\r\n")
        if script is flood and how != "write_eof":
            # A client that does not read, too.
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await eventually(lambda: connection.writing_paused)
        getattr(client.writer.transport if how == "abort" else client.writer, how)()
        if how == "write_eof":
            await client.to_end()
        await relay.upstream.connections[0].closed.wait()
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "client-gone"
        assert relay.idle == 0
        assert not relay.registry
    assert begun == ["/api"]


async def test_a_client_that_leaves_with_the_end_of_its_answer_unread_is_gone(
    begun: Begun,
) -> None:
    """All has been written, and more of it waits than a client that keeps up would leave."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"3d090\r\n" + b"x" * 250_000 + b"\r\n")
        size = await more
        await connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size))
        await connection.reader.read()

    more = asyncio.get_running_loop().create_future()
    async with primed(script) as (relay, client, connection):
        transport = connection.transport
        assert transport is not None
        for end in (transport, client.writer.transport):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await eventually(lambda: connection.exchange and connection.exchange.record.sent == 250_000)  # type: ignore[attr-defined]
        more.set_result(WRITE_BUFFER_HIGH - transport.get_write_buffer_size() + 1)
        await eventually(lambda: relay.idle)
        assert connection.writing_paused
        assert not relay.records
        leave(client, reset=True)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "client-gone"
    assert begun == ["/api"]


async def test_a_client_that_leaves_as_the_upstream_connection_dies_is_recorded(
    begun: Begun,
) -> None:
    """A second attempt would need a task, which would be cancelled before its first step."""
    async with primed(mute) as (relay, client, _):
        await client.send(GET)
        await eventually(lambda: relay.upstream.requests)
        # Both ends are there at one turn of the loop, the client's first.
        for writer in (client.writer, relay.upstream.connections[0].writer):
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)
        await eventually(lambda: not relay.http.connections)
        await eventually(lambda: relay.records)
        assert [record.cause for record in relay.records] == ["client-gone"]
        assert not relay.registry
    assert begun == ["/api"]


async def test_a_recorder_that_fails_leaves_no_client_waiting(begun: Begun) -> None:
    async with primed(echo) as (relay, client, _):
        real, relay.registry.on_end = relay.registry.on_end, _fail
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(str(context.get("exception")))
        )
        assert (await client.get("/api")).body == b"/api "
        relay.registry.on_end = real
        assert (await client.get("/api")).body == b"/api "
        assert complaints == ["no space"]
    assert begun[0] == "/api"


def _fail(_: object) -> None:
    raise ValueError("no space")


async def test_a_thousand_exchanges_leave_nothing_to_collect(begun: Begun) -> None:
    async with primed(echo) as (_, client, _):
        for _ in range(20):
            await client.get("/api")
        gc.collect()
        gc.disable()
        try:
            # Uncollectable by counting references: what only the collector finds.
            for _ in range(1000):
                await client.send(GET)
                await client.reader.readuntil(b"/api ")
            found = gc.collect()
        finally:
            gc.enable()
        kept = [thing for thing in gc.get_objects() if isinstance(thing, Exchange)]
        # One is known to the idle upstream connection that it came on.
        assert not kept
        assert found < 100
    assert len(begun) >= 1020


async def test_a_slow_reader_of_a_compressed_list_leaves_a_connection_that_serves_others(
    begun: Begun,
) -> None:
    packed = gzip.compress(bytes(20_000_000))
    fields = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with primed(answering(b"HTTP/1.1 200 OK\r\n" + fields + packed)) as (relay, client, ours):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await eventually(lambda: ours.writing_paused)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await client.answer()).body == bytes(20_000_000)
        assert relay.idle == 1
        assert len((await client.get("/api")).body) == 20_000_000
        assert len(relay.upstream.connections) == 1
    assert len(begun) >= 1
