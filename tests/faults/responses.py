"""Faults within an answer of the API server, before it, behind it, and in a tunnel."""

import asyncio
import gzip
import os
from collections.abc import Awaitable, Callable

from kubelatch.relay import timeouts
from tests.support.client import Answer, Client
from tests.support.relay import eventually
from tests.support.upstream import Connection, Script, answering, ok

from .outcomes import Cut, Gone, Told, Unharmed
from .stage import (
    GET,
    Case,
    Config,
    Stage,
    Upstream,
    get,
    reset,
    sending,
    serving,
    whole_answer,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
POST = b"POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab"
LARGE = 30_000_000
UPLOAD = b"POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % LARGE
UPGRADE = (
    b"GET /api/v1/namespaces/a/pods/b/portforward HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
REPEAT = "It may have been carried out all the same: look before you repeat a change."
RESET = (
    REPEAT + " If it happens often, a load balancer or a firewall on the way may be cutting "
    "connections."
)
IMPOSTOR = (
    "Is the cluster's server in kubeconfig the API server, and does nothing on the way speak in "
    "its place?"
)
Ask = Callable[[Stage], Awaitable[Answer]]


def asking(*requests: bytes) -> Ask:
    """Ask one thing after another on one connection, and return the last answer."""

    async def ask(stage: Stage) -> Answer:
        client = await stage.client()
        for request in requests[:-1]:
            await client.send(request)
            assert (await whole_answer(client)).status == 200
        await client.send(requests[-1])
        return await whole_answer(client)

    return ask


async def one_answer_each(connection: Connection) -> None:
    """Every connection dies at the sight of its second request."""
    await connection.request()
    await connection.send(ok())
    await connection.request()


def served_on(death: Callable[[Connection], None]) -> Script:
    """The first connection ends while it is idle; the others are well."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok())
        if connection.number == 0:
            death(connection)
        else:
            while True:
                await connection.request()
                await connection.send(ok())

    return script


async def after_the_idle_one_is_gone(stage: Stage) -> Answer:
    client = await stage.client()
    await client.send(GET)
    assert (await client.answer()).status == 200
    await eventually(stage.upstream.connections[0].closed.is_set)
    await client.send(GET)
    return await client.answer()


def a_crowd(size: int) -> Script:
    """So many connections at once, which all are reset at the sight of one more request."""
    crowd: list[Connection] = []

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            if connection in crowd:
                while crowd:
                    reset(crowd.pop())
                return
            if "/together" in request.line:
                crowd.append(connection)
                await eventually(lambda: len(crowd) == size)
            await connection.send(ok())

    return script


async def with_a_pool_of_the_dead(stage: Stage) -> Answer:
    """Twenty idle connections die at once, and the next request meets them first."""
    clients = [await stage.client() for _ in range(20)]
    for client in clients:
        await client.send(b"GET /together HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for client in clients:
        assert (await client.answer()).status == 200
    return await get(stage)


async def over_a_restart(stage: Stage) -> Answer:
    """The API server goes, and comes again on the same port."""
    client = await stage.client()
    await client.send(GET)
    assert (await client.answer()).status == 200
    port = stage.upstream.port
    await stage.upstream.stop()
    await stage.upstream.start(port)
    await client.send(GET)
    return await client.answer()


async def dies_in_the_upload(connection: Connection) -> None:
    await connection.head()
    await connection.reader.readexactly(10_000)
    reset(connection)


async def answers_in_the_upload(connection: Connection) -> None:
    """Refuse with words, and close with most of the body unread, so that a reset follows."""
    await connection.head()
    await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
    connection.close()


async def upload(stage: Stage) -> Answer:
    client = await stage.client()
    sending_on = asyncio.ensure_future(client.send(UPLOAD + b"x" * LARGE))
    try:
        return await whole_answer(client)
    finally:
        sending_on.cancel()
        await asyncio.gather(sending_on, return_exceptions=True)


async def http10(stage: Stage) -> Answer:
    """A client without chunks, for which the end of the connection is the end of the body."""
    client = await stage.client()
    await client.send(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    head = await client.reader.readuntil(b"\r\n\r\n")
    body, clean = await client.to_end()
    return Answer(head[:-4], body, whole=clean)


async def cut_tunnel(stage: Stage) -> Answer:
    client = await stage.client()
    await client.send(UPGRADE)
    head = await client.reader.readuntil(b"\r\n\r\n")
    body, clean = await client.to_end()
    return Answer(head[:-4], body, whole=clean)


async def damage(connection: Connection) -> None:
    """Bytes that are no TLS, in the middle of an answer."""
    await connection.request()
    await connection.send(HEAD + b"Content-Length: 9\r\n\r\nabc")
    sock = connection.writer.get_extra_info("socket")
    os.write(sock.fileno(), b"these are not the bytes of any record")
    await connection.reader.read()


async def silent(connection: Connection) -> None:
    await connection.request()
    await connection.reader.read()


async def lost_once_idle(connection: Connection) -> None:
    """The first connection brings nothing when it is used again; the others are well."""
    await connection.request()
    await connection.send(ok())
    while True:
        await connection.request()
        if connection.number == 0:
            await connection.reader.read()
        await connection.send(ok())


def impatient(upstream: Upstream) -> Upstream:
    """A tenth of a second instead of fifteen until a silent connection is not trusted."""

    async def start(stage: Stage) -> Config:
        stage.patch.setattr(timeouts, "SILENCE", 0.1)
        return await upstream(stage)

    return start


async def leave_after_a_while(stage: Stage) -> None:
    client = await stage.client()
    await client.send(GET)
    await eventually(lambda: stage.upstream.requests)
    await stage_quiet(client)
    client.close()
    await eventually(stage.upstream.connections[0].closed.is_set)


async def stage_quiet(client: Client) -> None:
    """Nothing comes."""
    try:
        async with asyncio.timeout(0.2):
            data = await client.reader.read(1)
    except TimeoutError:
        return
    raise AssertionError(data)


BEFORE = (
    Case(
        fault="it closes or resets the connection instead of responding",
        outcome=Told(502, "reset", RESET),
        upstream=serving(sending(end="reset")),
    ),
    Case(
        fault="the same to a reused connection, and the request may be repeated (GET, HEAD, "
        "OPTIONS)",
        outcome=Unharmed("it is sent once more, on a new connection", retries=1),
        upstream=serving(one_answer_each),
        client=asking(GET, GET),
    ),
    Case(
        fault="the same to a reused connection, and the request may not be repeated (POST, PUT, "
        "PATCH, DELETE)",
        outcome=Told(502, "reset", RESET),
        upstream=serving(one_answer_each),
        client=asking(GET, POST),
    ),
    Case(
        fault="an idle connection ends, as is its right",
        outcome=Unharmed("its end is noticed, and a new one opened"),
        upstream=serving(served_on(Connection.close)),
        client=after_the_idle_one_is_gone,
    ),
    Case(
        fault="all idle connections are reset at once",
        outcome=Unharmed("one is tried at most, then a new one opened", retries=1),
        upstream=serving(a_crowd(20)),
        client=with_a_pool_of_the_dead,
    ),
    Case(
        fault="the API server restarts, and is back",
        outcome=Unharmed("the old connections are forgotten"),
        upstream=serving(answering(ok())),
        client=over_a_restart,
    ),
    Case(
        fault="it resets the connection in the middle of an upload",
        outcome=Told(502, "reset", RESET),
        upstream=serving(dies_in_the_upload),
        client=upload,
    ),
    Case(
        fault="it responds in the middle of an upload, and reads no more",
        outcome=Unharmed("then both connections end", status=413),
        upstream=serving(answers_in_the_upload),
        client=upload,
    ),
    Case(
        fault="it ends within the response's head",
        outcome=Told(502, "truncated", REPEAT),
        upstream=serving(sending(HEAD + b"Content-Le")),
    ),
    Case(
        fault="what it sends is not HTTP",
        outcome=Told(502, "bad-answer", IMPOSTOR),
        upstream=serving(sending(b"SSH-2.0-OpenSSH_9.6\r\n", end="stay")),
    ),
    Case(
        fault="the response's end is ambiguous: two lengths, a length and chunks, folded lines",
        outcome=Told(502, "bad-answer", IMPOSTOR),
        upstream=serving(
            sending(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", end="stay")
        ),
    ),
    Case(
        fault="the response's head is over 1 MiB",
        outcome=Told(502, "bad-answer", IMPOSTOR, "over 1 MiB"),
        upstream=serving(sending(HEAD + b"X: " + b"y" * 1_200_000, end="stay")),
    ),
    Case(
        fault="it switches protocols without being asked",
        outcome=Told(502, "bad-answer", IMPOSTOR, "without being asked"),
        upstream=serving(sending(SWITCHING, end="stay")),
    ),
    Case(
        fault="a reused connection brings nothing for 15 seconds, as behind a load balancer that "
        "has lost this API server (GET, HEAD; not of proxied services)",
        outcome=Unharmed(
            "it is sent once more, on a new connection; what was idle before is closed", retries=1
        ),
        upstream=impatient(serving(lost_once_idle)),
        client=asking(GET, GET),
    ),
    Case(
        fault="it says nothing, and `--response-timeout` (5 minutes) passes; watches, logs, "
        "proxied services and tunnels are exempt",
        outcome=Told(
            504,
            "response-timeout",
            "--response-timeout sets the limit; it may have been carried out all the same.",
        ),
        upstream=serving(silent),
        flags=("--response-timeout=100ms",),
    ),
    Case(
        fault="it says nothing, and `--request-timeout` (off by default) passes",
        outcome=Told(504, "request-timeout", "--request-timeout sets the limit."),
        upstream=serving(silent),
        flags=("--request-timeout=100ms",),
    ),
    Case(
        fault="it says nothing, and the client does not wait",
        outcome=Gone("the upstream connection is closed"),
        upstream=serving(silent),
        client=leave_after_a_while,
    ),
    Case(
        fault="it sends interim responses (1xx) first",
        outcome=Unharmed("they are relayed"),
        upstream=serving(sending(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", ok())),
    ),
)

WITHIN = (
    Case(
        fault="the body ends before its length",
        outcome=Cut("truncated", "the length is not reached"),
        upstream=serving(sending(HEAD + b"Content-Length: 9\r\n\r\nabc", end="reset")),
    ),
    Case(
        fault="a chunked body ends before its last chunk",
        outcome=Cut("truncated", "the last chunk is missing"),
        upstream=serving(sending(CHUNKED, b"2\r\nab\r\n")),
    ),
    Case(
        fault="a chunk is broken",
        outcome=Cut("bad-answer", "the last chunk is missing"),
        upstream=serving(sending(CHUNKED, b"2\r\nab\r\n", b"zz\r\n", end="stay")),
    ),
    Case(
        fault="a body that ends with its connection is cut without TLS close_notify",
        outcome=Cut("truncated", "the last chunk is missing"),
        upstream=serving(sending(HEAD + b"\r\n", b"abc", end="reset")),
    ),
    Case(
        fault="the same for a client of HTTP/1.0, which knows no chunks",
        outcome=Cut("truncated", "a TCP reset"),
        upstream=serving(sending(HEAD + b"\r\n", b"abc", end="reset")),
        client=http10,
    ),
    Case(
        fault="the gzip that was asked for on the client's behalf is broken",
        outcome=Cut("bad-answer", "the last chunk is missing"),
        upstream=serving(
            sending(
                HEAD + b"Content-Encoding: gzip\r\nContent-Length: 99999\r\n\r\n",
                gzip.compress(b"x" * 1000)[:20],
                b"\xff" * 1000,
                end="stay",
            )
        ),
    ),
    Case(
        fault="bytes come that are no TLS",
        outcome=Cut("tls-protocol", "the length is not reached"),
        upstream=serving(damage),
    ),
    Case(
        fault="the body stalls, and `--request-timeout` (off by default) passes",
        outcome=Cut("request-timeout", "a TCP reset"),
        upstream=serving(sending(HEAD + b"Content-Length: 9\r\n\r\nabc", end="stay")),
        flags=("--request-timeout=300ms",),
    ),
    Case(
        fault="bytes follow a whole response",
        outcome=Unharmed("they are dropped, and the connection is not used again"),
        upstream=serving(sending(ok(b"abc") + b"more", end="stay")),
    ),
    Case(
        fault="a 204 or 304 has a body",
        outcome=Unharmed("without that body", status=304),
        upstream=serving(
            sending(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", end="stay")
        ),
    ),
    Case(
        fault="it says `Connection: close`",
        outcome=Unharmed("the client's own connection stays"),
        upstream=serving(sending(ok(b"{}", "Connection: close"))),
        client=asking(GET, GET),
    ),
)

TUNNELS = (
    Case(
        fault="it responds to an upgrade with another protocol, a redirect or 200",
        outcome=Told(502, "bad-answer", IMPOSTOR, "the upgrade with status 200"),
        upstream=serving(sending(ok(), end="stay")),
        client=asking(UPGRADE),
    ),
    Case(
        fault="it refuses an upgrade (400 and above)",
        outcome=Unharmed("then the connection ends", status=403),
        upstream=serving(
            sending(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", end="stay")
        ),
        client=asking(UPGRADE),
    ),
    Case(
        fault="it cuts a tunnel",
        outcome=Cut("reset", "a TCP reset", status=101),
        upstream=serving(sending(SWITCHING, b"abc", end="reset")),
        client=cut_tunnel,
    ),
)
