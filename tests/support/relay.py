"""The data plane by itself, between a raw client and a scripted upstream, on real sockets.

Everything between the listening socket and the API server is the real thing; only where
credentials come from is the test's. At its end nothing may be left over: no connection, task,
or complaint of the event loop.
"""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kubelatch.credentials import Credential, SourceStatus
from kubelatch.credentials.tls import ClientCertificate, client_context, explain
from kubelatch.gate import Gate, GateSettings
from kubelatch.kubeconfig import TlsConfig
from kubelatch.relay.handler import Handler
from kubelatch.relay.record import Record
from kubelatch.relay.registry import Registry
from kubelatch.relay.server import ClientServer
from kubelatch.secret import Secret
from kubelatch.upstream.generation import Generation, Upstream

from .certificates import Authority
from .client import Client
from .upstream import Script, ScriptedUpstream


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until *condition* holds, or fail."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- it may be anything
            await asyncio.sleep(0.005)


class Tokens:
    """A credential source with tokens to hand out, one after another.

    Args:
        tokens: the first is in use; each rejection brings the next, if there is one.
    """

    def __init__(self, *tokens: str) -> None:
        self._credentials = [
            Credential(kind="token", authorization=Secret(f"Bearer {token}")) for token in tokens
        ]
        self.rejected: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    def cached(self) -> Credential | None:
        return self._credentials[0] if self.gate.is_set() else None

    def reload(self) -> Credential | None:
        return self.cached()

    async def get(self) -> Credential:
        await self._wait()
        return self._credentials[0]

    async def invalidate(self, credential: Credential) -> Credential | None:
        assert credential.authorization is not None
        self.rejected.append(credential.authorization.reveal().removeprefix("Bearer "))
        await self._wait()
        if credential is self._credentials[0]:
            if len(self._credentials) == 1:
                return None
            del self._credentials[0]
        return self._credentials[0]

    async def close(self) -> None:
        """Nothing is in flight."""

    def describe(self) -> SourceStatus:
        return SourceStatus(kind="token")

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1


class Relay:
    """A running data plane.

    Attributes:
        upstream: the scripted API server.
        address: where clients connect.
        records: one per exchange that has ended.
        generation: the one in use.
    """

    def __init__(self, upstream: ScriptedUpstream, generation: Generation) -> None:
        self.upstream = upstream
        self.generation = generation
        self.records: list[Record] = []
        self.registry = Registry(self.records.append)
        self.handler = Handler(
            Gate(GateSettings(reject_paths=("^/forbidden",))),
            self,
            self.registry,
            user_agent=b"relay/1",
        )
        self.http = ClientServer(self.handler)
        self.address = ""

    def current(self) -> Generation:
        """The generation in use; another one may be put in its place."""
        return self.generation

    async def prime(self, count: int = 1) -> None:
        """Open upstream connections that wait for work, so that a plain request needs no task."""
        pool = self.generation.transport(await self.generation.credential())
        for connection in [await pool.open() for _ in range(count)]:
            connection.release()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A raw client."""
        async with await Client.connect(self.address) as client:
            yield client

    def lead_to(self, port: int) -> None:
        """Find the upstream at another port from now on."""
        self.generation.upstream = replace(self.generation.upstream, port=port)

    @property
    def idle(self) -> int:
        """Upstream connections that wait for work."""
        own = self.generation._own
        return own.plain.idle if own is not None else 0


def generation_for(
    upstream: ScriptedUpstream,
    authority: Authority | None,
    credentials: Tokens,
    **options: Any,
) -> Generation:
    """A generation that leads to *upstream*."""

    def context(certificate: ClientCertificate | None) -> ssl.SSLContext:
        assert authority is not None
        return client_context(TlsConfig(ca_data=authority.pem.encode()), certificate)

    return Generation(
        Upstream(
            host=options.pop("host", "127.0.0.1"),
            port=upstream.port,
            server_name="127.0.0.1",
            host_header=f"127.0.0.1:{upstream.port}".encode(),
            path_prefix=options.pop("path_prefix", b""),
            context=context if authority is not None else None,
            explain_tls=lambda error, name: explain(error, server_name=name),
            **options,
        ),
        credentials,
    )


@asynccontextmanager
async def relaying(
    script: Script,
    authority: Authority | None = None,
    credentials: Tokens | None = None,
    **options: Any,
) -> AsyncIterator[Relay]:
    """A data plane in front of an upstream that follows *script*; checks that nothing is left.

    Args:
        script: see :class:`ScriptedUpstream`.
        authority: for TLS; None is plain HTTP, over which no credential goes.
        credentials: default: one token.
        options: of the generation's ``Upstream``.
    """
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    upstream = ScriptedUpstream(script, authority)
    await upstream.start()
    generation = generation_for(upstream, authority, credentials or Tokens("first"), **options)
    relay = Relay(upstream, generation)
    server = await loop.create_server(relay.http, "127.0.0.1", 0)
    relay.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
        # Every client has gone; the rest follows without being told.
        await eventually(lambda: not relay.http.connections)
        await eventually(lambda: not relay.registry)
    finally:
        server.close()
        await relay.http.shutdown()
        await generation.close()
        await upstream.stop()
    await eventually(lambda: not asyncio.all_tasks() - before)
    gc.collect()
    if complaints or upstream.errors:
        msg = f"left over: {complaints} {upstream.errors}"
        raise AssertionError(msg)
