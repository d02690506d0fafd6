"""A cluster with one service, and a proxy that serves it by its name."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubelatch.app import App
from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.cluster import Cluster, cluster
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop

HOST = "web--shop--test.localhost"


class Setting:
    """A cluster, and a proxy before it."""

    def __init__(self, app: App, there: Cluster) -> None:
        self.app = app
        self.cluster = there
        self.port = int(app.name.rpartition(":")[2])

    async def end(self) -> None:
        """Stop the proxy: its log is whole then."""
        await self.app.drain()
        await self.app.stop()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await Client.connect(self.app.name) as client:
            yield client

    async def get(
        self,
        target: str = "/",
        *fields: str,
        host: str = HOST,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send a request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}:{self.port}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        async with self.client() as client:
            await client.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            return await client.answer(head_only=method == "HEAD")


Start = Callable[..., Awaitable[Setting]]


@pytest.fixture
async def start(tmp_path: Path, authority: Authority) -> AsyncIterator[Start]:
    """Start a cluster and a proxy with these flags."""
    ends = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def starting(*flags: str, user: dict[str, object] | None = None) -> Setting:
        ready: asyncio.Future[Setting] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                async with cluster(authority) as there:
                    config = kubeconfig(there.url, authority, user=user)
                    hosts = [] if any("service-hosts" in f for f in flags) else ["--service-hosts"]
                    async with proxy_in_loop(tmp_path, config, *hosts, *flags) as app:
                        ready.set_result(Setting(app, there))
                        await ends.wait()
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

        tasks.append(asyncio.create_task(run()))
        return await ready

    yield starting
    ends.set()
    await asyncio.gather(*tasks)
