"""What stands around the proxy in a case: an API server with a fault, and a client.

Everything is real but the API server's behaviour: sockets, TLS, files, plugins. The proxy is a
whole one, with its request log and its metrics, in the test's own event loop.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kubelatch.app import App
from tests.observe.access_log.support import logging_proxy
from tests.support.certificates import Authority, Identity
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig
from tests.support.relay import eventually
from tests.support.upstream import Connection, Script, ScriptedUpstream

from .outcomes import Outcome, Seen

TOKEN = "s3cret-t0ken"
GET = b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n"
LINGER_ZERO = b"\1\0\0\0\0\0\0\0"
_FAMILIES = ("kubelatch_failures", "kubelatch_refusals", "kubelatch_retries")


@dataclass
class Stage:
    """One case while it runs.

    Attributes:
        directory: for files.
        authority: signs the API server.
        patch: for limits that take too long, and for faults of ours.
        stack: ends whatever was started.
        upstream: the API server, if there is one.
        app: the proxy, once it serves.
    """

    directory: Path
    authority: Authority
    patch: pytest.MonkeyPatch
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    servers: list[ScriptedUpstream] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)

    @property
    def upstream(self) -> ScriptedUpstream:
        return self.servers[0]

    @property
    def app(self) -> App:
        return self.apps[0]

    async def client(self) -> Client:
        """A new connection to the proxy, closed when the case is over."""
        client = await Client.connect(self.app.name)
        return await self.stack.enter_async_context(client)

    async def released(self) -> None:
        """Wait until nothing is under way any more."""
        await eventually(lambda: not self.app._registry)


Config = dict[str, Any]
Upstream = Callable[[Stage], Awaitable[Config]]
Ask = Callable[[Stage], Awaitable[Answer | None]]


async def get(stage: Stage) -> Answer:
    """Ask for the pods."""
    client = await stage.client()
    await client.send(GET)
    return await whole_answer(client)


async def whole_answer(client: Client) -> Answer:
    """The final answer; cut, if the connection ended too early for it to be whole."""
    answer = await client.answer()
    while answer.status < 200:
        answer = await client.answer()
    return answer


def serving(
    script: Script,
    *,
    identity: Callable[[Authority], Identity] | None = None,
    cluster: Config | None = None,
    user: Callable[[Stage], Config] = lambda _: {"token": TOKEN},
    authority: Callable[[], Authority] | None = None,
) -> Upstream:
    """An API server that follows *script*, over TLS.

    Args:
        script: what each connection does.
        identity: another certificate than the good one.
        cluster: more of the cluster's entry in kubeconfig.
        user: the user's entry.
        authority: another than the one that signed the server is in kubeconfig.
    """

    async def start(stage: Stage) -> Config:
        upstream = ScriptedUpstream(
            script,
            stage.authority,
            identity=identity(stage.authority) if identity else None,
        )
        stage.servers.append(await stage.stack.enter_async_context(upstream))
        known = authority() if authority else stage.authority
        return kubeconfig(upstream.url, known, user=user(stage), cluster=cluster)

    return start


def nowhere(host: str = "127.0.0.1", **cluster: str) -> Upstream:
    """No API server at all; a port that is taken, and listens not."""

    async def start(stage: Stage) -> Config:
        taken = stage.stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        server = f"https://{host}:{taken.getsockname()[1]}"
        return kubeconfig(server, stage.authority, user={"token": TOKEN}, cluster=cluster)

    return start


Plain = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def plain_server(stage: Stage, serve: Plain) -> int:
    """A server without TLS; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        yield
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    await stage.stack.enter_async_context(running())
    port: int = server.sockets[0].getsockname()[1]
    return port


def without_tls(serve: Plain) -> Upstream:
    """What is no API server stands where kubeconfig says that one is."""

    async def start(stage: Stage) -> Config:
        port = await plain_server(stage, serve)
        return kubeconfig(f"https://127.0.0.1:{port}", stage.authority, user={"token": TOKEN})

    return start


def sending(*pieces: bytes, end: str = "close") -> Script:
    """Answer each request with these pieces, and end the connection so: close, reset or stay."""

    async def script(connection: Connection) -> None:
        await connection.request()
        for piece in pieces:
            await connection.send(piece)
            # So that it comes in a read of its own, most of the time; it need not.
            await asyncio.sleep(0.01)
        if end == "reset":
            reset(connection)
        elif end == "stay":
            await connection.reader.read()

    return script


def reset(connection: Connection) -> None:
    """End a connection of the API server by TCP reset."""
    sock: socket.socket = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    connection.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault: what happens, and what should come of it.

    Attributes:
        fault: its name in the document.
        outcome: what should become of the request that is asked last.
        upstream: makes the API server.
        client: asks.
        flags: of the proxy.
    """

    fault: str
    outcome: Outcome
    upstream: Upstream
    client: Ask = get
    flags: tuple[str, ...] = ()


async def play(case: Case, stage: Stage) -> Seen:
    """Let it happen."""
    async with stage.stack:
        config = await case.upstream(stage)
        flags = ("--admin-address=127.0.0.1:0", *case.flags)
        async with logging_proxy(stage.directory, config, *flags) as (app, log):
            stage.apps.append(app)
            answer = await case.client(stage)
            await stage.released()
            counted = await _scrape(app)
    for upstream in stage.servers:
        for connection in upstream.connections:
            await connection.closed.wait()
    line = next(line for line in reversed(log.objects) if line["event"] == "end")
    told = log.path.read_bytes() + (answer.head + answer.body if answer else b"")
    assert TOKEN.encode() not in told
    return Seen(answer=answer, line=line, counted=counted)


async def _scrape(app: App) -> dict[str, float]:
    async with await Client.connect(app.admin_name) as client:
        text = (await client.get("/metrics")).body.decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name in _FAMILIES else ():
            labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
            if sample.value and sample.name.endswith("_total"):
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
