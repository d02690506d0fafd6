"""A running proxy with some set of flags, and the upstream behind it that records everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.kubeconfig import write
from tests.support.proxies import proxy_process
from tests.support.upstream import Connection, ScriptedUpstream

from .strict_reader import Message, NotHttpError, read

NAMESPACE = "/api/v1/namespaces/dev"
PODS = f"{NAMESPACE}/pods"
SENTINEL = f"{NAMESPACE}/configmaps/sentinel"

# What `--allow-rules` permits where it is in use: to look at a few things of one namespace.
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: fence, namespace: dev}
rules:
- apiGroups: [""]
  resources: [pods, configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
"""


class Fence:
    """One proxy, and what its upstream has seen since it was last asked.

    Attributes:
        name: of its set of flags.
        prefix: below which its API is.
        address: where it listens.
        upstream: its upstream's authority, as in ``Host``.
        whole: requests that arrived.
        tunnelled: bytes that came over tunnels.
        faults: what arrived and is no HTTP.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name = name
        self.prefix = prefix
        self.address = ""
        self.upstream = ""
        self.whole: list[Message] = []
        self.tunnelled = b""
        self.faults: list[NotHttpError] = []
        self.bytes = 0

    async def record(self, connection: Connection) -> None:
        """The upstream's script: take down, and answer."""
        data = b""
        while piece := await connection.reader.read(2**16):
            self.bytes += len(piece)
            try:
                messages, data = read(data + piece)
            except NotHttpError as error:
                self.faults.append(error)
                return
            for message in messages:
                self.whole.append(message)
                if b"upgrade" in message.options(b"connection"):
                    await self._tunnel(connection, message, data)
                    return
                length = b"Content-Length: 2\r\n\r\n"
                body = b"" if message.method == b"HEAD" else b"{}"
                await connection.send(b"HTTP/1.1 200 OK\r\n" + length + body)

    async def _tunnel(self, connection: Connection, message: Message, early: bytes) -> None:
        [protocol] = message.values(b"upgrade")
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
            % protocol
        )
        data = early
        while data:
            self.tunnelled += data
            await connection.send(data)
            data = await connection.reader.read(2**16)
        while data := await connection.reader.read(2**16):
            self.tunnelled += data
            await connection.send(data)

    def take(self) -> tuple[list[Message], bytes, int]:
        """What has arrived since the last call: requests, tunnelled bytes, bytes in all."""
        taken, faults = (self.whole, self.tunnelled, self.bytes), self.faults
        self.whole, self.tunnelled, self.bytes, self.faults = [], b"", 0, []
        assert not faults, faults
        return taken


@asynccontextmanager
async def running(
    name: str, authority: Authority, directory: Path, *flags: str, elsewhere: str = ""
) -> AsyncIterator[Fence]:
    """A fence, its proxy a process of its own.

    Args:
        name: of its set of flags.
        authority: of its upstream.
        directory: for files.
        flags: of the proxy.
        elsewhere: the server at the root; the fence's own is a context below a prefix then.
    """
    fence = Fence(name, "/clusters/fenced" if elsewhere else "")
    rules = directory / "role.yaml"
    rules.write_text(ROLE)
    async with ScriptedUpstream(fence.record, authority) as upstream:
        fence.upstream = f"127.0.0.1:{upstream.port}"
        own = cluster(upstream, authority, user={"token": "ours"})
        root = Cluster(elsewhere, authority, user={"token": "of the root"})
        config = contexts({"root": root, "fenced": own} if elsewhere else {"fenced": own})
        path = write(directory / "kubeconfig", config)
        flags = tuple(flag.format(rules=rules) for flag in flags)
        async with proxy_process(f"--kubeconfig={path}", "--port=0", *flags) as proxy:
            fence.address = proxy.address
            reading = [asyncio.ensure_future(_drain(proxy.process.stdout))]
            reading.append(asyncio.ensure_future(_drain(proxy.process.stderr)))
            try:
                yield fence
            finally:
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)
        if upstream.errors:
            raise ExceptionGroup("the upstream's", upstream.errors)  # type: ignore[type-var]


async def _drain(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(2**16):
        pass
