"""Faults of clients, and of the proxy itself."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

from kubelatch.upstream.dial import Dialer
from tests.support.client import Answer
from tests.support.relay import eventually
from tests.support.upstream import Connection, answering, ok

from .network import full_backlog
from .outcomes import Cut, Gone, NoTls, Told, Unharmed
from .responses import CHUNKED, HEAD, asking, silent
from .stage import (
    GET,
    Case,
    Config,
    Stage,
    Upstream,
    nowhere,
    sending,
    serving,
    whole_answer,
)

HOST = b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n"
WATCH = GET.replace(b"pods", b"pods?watch=1")
LARGE = 30_000_000
served = answering(ok())


async def large_answer(connection: Connection) -> None:
    await connection.request()
    await connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % LARGE)
    for _ in range(LARGE // 100_000):
        await connection.send(b"x" * 100_000)
    await connection.reader.read()


async def read_late(stage: Stage) -> Answer:
    """Take nothing until nothing comes any more, then everything."""
    client = await stage.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(GET)
    await held_up(stage)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    return await client.answer()


async def pipeline(stage: Stage) -> Answer:
    """Send thousands of requests before reading the first answer."""
    client = await stage.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(GET * 3000)
    await held_up(stage)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    answers = [await client.answer() for _ in range(3000)]
    return answers[-1]


async def held_up(stage: Stage) -> None:
    """Wait until what goes to the client stands still; little of it may wait in the proxy."""
    assert stage.app._http is not None
    registry = stage.app._registry
    before, now = -1, 0
    async with asyncio.timeout(10):
        while before != now or not now:
            await asyncio.sleep(0.2)
            before, now = now, sum(record.sent for record in registry.records)
    assert now < LARGE
    for connection in stage.app._http.connections:
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < 1_000_000


async def among_a_thousand(stage: Stage) -> Answer:
    """Ask while a thousand others are connected and ask nothing."""
    for _ in range(1000):
        await stage.client()
    answer = await asking(GET)(stage)
    assert len(stage.upstream.connections) == 1
    return answer


async def one_too_many(stage: Stage) -> Answer:
    first = await stage.client()
    await first.send(GET)
    assert (await first.answer()).status == 200
    return await asking(GET)(stage)


async def leave_a_watch(stage: Stage) -> None:
    client = await stage.client()
    await client.send(WATCH)
    await client.reader.readuntil(b"ab\r\n")
    client.close()
    await eventually(stage.upstream.connections[0].closed.is_set, 1)


async def leave_early(stage: Stage) -> None:
    """Leave before there is an upstream connection."""
    client = await stage.client()
    await client.send(GET)
    registry = stage.app._registry
    await eventually(lambda: registry.records)
    await asyncio.sleep(0.1)
    client.close()
    await eventually(lambda: not registry.records, 1)


async def close_half(stage: Stage) -> None:
    client = await stage.client()
    await client.send(GET)
    await eventually(lambda: stage.upstream.requests)
    client.writer.write_eof()
    assert await client.to_end() == (b"", True)
    await eventually(stage.upstream.connections[0].closed.is_set, 1)


def plugin(script: str) -> Upstream:
    """An API server that is well, and a plugin that is not."""

    def user(stage: Stage) -> Config:
        path = stage.directory / "plugin"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return exec_user(path)

    return serving(served, user=user)


def exec_user(command: Path) -> dict[str, Any]:
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"command": str(command), "apiVersion": version, "interactiveMode": "Never"}}


async def with_a_broken_dialer(stage: Stage) -> Answer:
    async def dial(*_: object) -> None:
        raise RuntimeError("of which no client needs to know")

    stage.patch.setattr(Dialer, "dial", dial)
    return await asking(GET)(stage)


async def while_it_is_stopped(stage: Stage) -> Answer:
    client = await stage.client()
    await client.send(GET)
    await eventually(lambda: stage.upstream.requests)
    answer = asyncio.ensure_future(whole_answer(client))
    await asyncio.sleep(0.1)
    await stage.app.drain()
    return await answer


async def while_it_waits_for_a_credential(stage: Stage) -> Answer:
    client = await stage.client()
    await client.send(GET)
    await eventually(lambda: stage.app._registry.records)
    answer = asyncio.ensure_future(whole_answer(client))
    await stage.app.drain()
    return await answer


async def distrusts(stage: Stage) -> None:
    """Begin TLS with other authorities than the proxy's."""
    host, _, port = stage.app.name.rpartition(":")
    context = ssl.create_default_context(cadata=stage.authority.pem)
    with contextlib.suppress(ssl.SSLError):
        await asyncio.open_connection(host, int(port), ssl=context)
    # The alert is on its way.
    assert stage.app._http is not None
    handshakes = stage.app._http._handshakes
    await eventually(lambda: handshakes is not None and not handshakes._unfinished)


async def without_tls(stage: Stage) -> None:
    client = await stage.client()
    await client.send(GET)
    found, _ = await client.to_end()
    assert found.endswith(b"\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")


CLIENTS = (
    Case(
        fault="it sends what is not HTTP/1.1, such as a TLS handshake",
        outcome=Told(
            400,
            "bad-request",
            "This address speaks HTTP/1.1: is the URL one of http, or of https with --tls?",
        ),
        upstream=nowhere(),
        client=asking(b"\x16\x03\x01\x00\x05hello\r\n\r\n"),
    ),
    Case(
        fault="with `--tls`, it sends plain http",
        outcome=NoTls("400: `Client sent an HTTP request to an HTTPS server.`", 400),
        upstream=nowhere(),
        client=without_tls,
        flags=("--tls=auto",),
    ),
    Case(
        fault="with `--tls`, its handshake fails: it does not trust the certificate, sends no TLS, "
        "or has not done after `--head-timeout` (30 s)",
        outcome=NoTls("a TLS alert at most, and the end of the connection"),
        upstream=nowhere(),
        client=distrusts,
        flags=("--tls=auto",),
    ),
    Case(
        fault="its head is over `--max-header-bytes` (1 MiB)",
        outcome=Told(431, "head-too-large", "--max-header-bytes allows more."),
        upstream=nowhere(),
        client=asking(HOST + b"X: " + b"y" * 2000 + b"\r\n\r\n"),
        flags=("--max-header-bytes=2000",),
    ),
    Case(
        fault="it sends over `--max-headers` (256) header fields",
        outcome=Told(431, "too-many-headers", "--max-headers allows more."),
        upstream=nowhere(),
        client=asking(HOST + b"X: y\r\n" * 300 + b"\r\n"),
    ),
    Case(
        fault="its head is not whole after `--head-timeout` (30 s)",
        outcome=Told(408, "head-timeout", "--head-timeout allows more time."),
        upstream=nowhere(),
        client=asking(HOST),
        flags=("--head-timeout=100ms",),
    ),
    Case(
        fault="of the heads that have come in part it has the largest, and they are over "
        "`--max-partial-header-bytes` (64 MiB)",
        outcome=Told(
            503,
            "too-many-partial-heads",
            "Send them in one piece, or allow more with --max-partial-header-bytes.",
            passing=True,
        ),
        upstream=nowhere(),
        client=asking(HOST + b"X: " + b"y" * 2000),
        flags=("--max-partial-header-bytes=1500",),
    ),
    Case(
        fault="nothing more of its body comes for `--body-timeout` (5 min)",
        outcome=Told(408, "body-timeout", "--body-timeout allows more time."),
        upstream=serving(silent),
        client=asking(HOST.replace(b"GET", b"POST") + b"Content-Length: 5\r\n\r\nab"),
        flags=("--body-timeout=100ms",),
    ),
    Case(
        fault="its body is broken",
        outcome=Told(
            400,
            "bad-request",
            "This address speaks HTTP/1.1: is the URL one of http, or of https with --tls?",
            "the request's body cannot be read",
        ),
        upstream=serving(silent),
        client=asking(
            HOST.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n"
        ),
    ),
    Case(
        fault="it expects something else than `100-continue`",
        outcome=Told(417, "expectation", "Leave the field out."),
        upstream=nowhere(),
        client=asking(HOST + b"Expect: a-miracle\r\n\r\n"),
    ),
    Case(
        fault="it is one connection too many (`--max-connections`, off by default)",
        outcome=Told(
            503,
            "too-many-connections",
            "Close some, or allow more with --max-connections.",
            passing=True,
        ),
        upstream=serving(served),
        client=one_too_many,
        flags=("--max-connections=1",),
    ),
    Case(
        fault="a thousand clients connect and ask nothing",
        outcome=Unharmed(
            "they cost nothing upstream, and are closed after `--head-timeout` (30 s)"
        ),
        upstream=serving(served),
        client=among_a_thousand,
    ),
    Case(
        fault="it reads a large response slowly, or not at all for now",
        outcome=Unharmed("the API server is paused; less than 1 MB waits here"),
        upstream=serving(large_answer),
        client=read_late,
    ),
    Case(
        fault="it sends thousands of requests before it reads a response",
        outcome=Unharmed("in order; no more are read than are answered"),
        upstream=serving(answering(ok(b"x" * 10_000))),
        client=pipeline,
    ),
    Case(
        fault="it leaves a watch, or any response that has begun",
        outcome=Gone("the upstream connection is closed within a second", status=200),
        upstream=serving(sending(CHUNKED + b"2\r\nab\r\n", end="stay")),
        client=leave_a_watch,
    ),
    Case(
        fault="it leaves while the API server is being connected to",
        outcome=Gone("the attempt is given up within a second"),
        upstream=full_backlog,
        client=leave_early,
    ),
    Case(
        fault="it leaves while a credential is being fetched",
        outcome=Gone("the plugin goes on, for the next request"),
        upstream=plugin("sleep 2"),
        client=leave_early,
    ),
    Case(
        fault="it closes its sending side alone",
        outcome=Gone("it is taken for gone, as by kubectl proxy: a close looks the same"),
        upstream=serving(silent),
        client=close_half,
    ),
)

OWN = (
    Case(
        fault="a rule refuses the request (here `--reject-paths`)",
        outcome=Told(
            403,
            "reject-paths",
            "Exec and attach are refused by default; start the proxy with --reject-paths='' to "
            "allow them.",
            rule=True,
        ),
        upstream=nowhere(),
        client=asking(GET.replace(b"/pods", b"/namespaces/a/pods/b/exec")),
    ),
    Case(
        fault="the exec plugin is not installed",
        outcome=Told(
            503,
            "exec-not-found",
            "Services and desktops often have a shorter PATH than your shell; the proxy's log has "
            "the one in use.",
            "executable /nowhere/plugin not found",
        ),
        upstream=serving(served, user=lambda _: exec_user(Path("/nowhere/plugin"))),
    ),
    Case(
        fault="the exec plugin fails",
        outcome=Told(
            503,
            "exec-failed",
            "Its standard error is in the proxy's log. Run the plugin by hand with the arguments "
            "in the kubeconfig to see more.",
            "failed with exit code 3",
        ),
        upstream=plugin("echo log in first >&2; exit 3"),
    ),
    Case(
        fault="the exec plugin does not end (`--exec-timeout`, 1 minute; at a terminal 5)",
        outcome=Told(
            503,
            "exec-timeout",
            "It may be waiting for a login that nobody sees. --exec-timeout gives it longer.",
        ),
        upstream=plugin("sleep 5"),
        flags=("--exec-timeout=100ms",),
    ),
    Case(
        fault="it is stopped, and the API server has not begun to respond within "
        "`--drain-timeout` (25 s)",
        outcome=Told(
            504,
            "draining",
            "--drain-timeout allows more time. It may have been carried out all the same: look "
            "before you repeat a change.",
        ),
        upstream=serving(silent),
        client=while_it_is_stopped,
        flags=("--drain-timeout=100ms",),
    ),
    Case(
        fault="it is stopped, and the request has not gone to the API server within "
        "`--drain-timeout`: it waits for a connection or a credential",
        outcome=Told(
            503,
            "draining",
            "--drain-timeout allows more time. The API server has not seen it: it may be repeated.",
            passing=True,
        ),
        upstream=plugin("sleep 5"),
        client=while_it_waits_for_a_credential,
        flags=("--drain-timeout=100ms",),
    ),
    Case(
        fault="it is stopped, and a response is not over within `--drain-timeout`",
        outcome=Cut("draining", "the length is not reached"),
        upstream=serving(sending(HEAD + b"Content-Length: 9\r\n\r\nabc", end="stay")),
        client=while_it_is_stopped,
        flags=("--drain-timeout=100ms",),
    ),
    Case(
        fault="it has a fault of its own",
        outcome=Told(
            500, "internal", "Its log says more; please report it.", "internal error of the proxy"
        ),
        upstream=nowhere(),
        client=with_a_broken_dialer,
    ),
)
