"""Whatever happens to held requests in whatever order: each reaches the API server once or not at
all, and only if somebody let it."""

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import eventually
from tests.support.upstream import Connection, ok

from .support import PODS, Asking, asking

RULES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: r}}
rules: [{{apiGroups: [''], resources: [pods], verbs: [{verbs}]}}]
"""
REQUESTS = 8


class Interleaving:
    """One random order of events.

    Attributes:
        statuses: what the client of each request got; 0 for nothing.
        approved: the requests to which a yes was taken.
    """

    def __init__(self, proxy: Asking, rules: Path, seed: int) -> None:
        self._proxy = proxy
        self._rules = rules
        self._random = random.Random(seed)
        self.statuses: dict[str, int] = {}
        self.approved: Counter[str] = Counter()
        self._answers: list[asyncio.Task[None]] = []

    async def _ask(self, name: str) -> None:
        """Send one request, in pieces, and perhaps leave at some time."""
        body = json.dumps({"metadata": {"name": name}}).encode()
        method = self._random.choice(["POST", "PUT", "DELETE"])
        head = f"{method} {PODS}/{name} HTTP/1.1\r\nHost: localhost\r\n"
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        at = self._random.randrange(len(data))
        leaves = self._random.random() < 0.3
        self.statuses[name] = 0
        async with await Client.connect(self._proxy.app.name) as client:
            await client.send(data[:at])
            await self._turns()
            await client.send(data[at:])
            if leaves:
                await self._turns()
                client.close()
                return
            try:
                self.statuses[name] = (await client.answer()).status
            except (OSError, asyncio.IncompleteReadError):
                return

    async def _turns(self) -> None:
        for _ in range(self._random.randrange(30)):
            await asyncio.sleep(0)

    async def _approve(self, shown: dict[str, str]) -> None:
        value = {"digest": shown["digest"]}
        if (await self._proxy.post(f"pending/{shown['id']}/approve", value)).status == 200:
            self.approved[shown["target"].rpartition("/")[2]] += 1

    async def _deny(self, shown: dict[str, str]) -> None:
        await self._proxy.post(f"pending/{shown['id']}/deny", {"reason": "no"})

    async def _reload(self) -> None:
        verbs = self._random.choice(["get", "get, list", "get, watch"])
        self._rules.write_text(RULES.format(verbs=verbs))
        await self._proxy.app.reload()

    async def run(self, *, drains: bool) -> None:
        """Let it happen."""
        asking = [asyncio.create_task(self._ask(f"p{number}")) for number in range(REQUESTS)]
        for _ in range(12):
            await self._turns()
            listed = (await self._proxy.json("pending"))["pending"]
            if not listed:
                continue
            shown = self._random.choice(listed)
            for step in self._random.choices(
                [self._approve, self._deny], weights=[3, 1], k=self._random.randrange(1, 4)
            ):
                self._answers.append(asyncio.create_task(step(shown)))
            if self._random.random() < 0.2:
                await self._reload()
        if drains:
            await self._proxy.app.drain()
        # What is left ends with its time-out.
        await asyncio.gather(*asking, *self._answers)


@pytest.mark.parametrize("seed", range(6))
async def test_each_held_request_is_carried_out_once_or_not_at_all(
    tmp_path: Path, authority: Authority, seed: int
) -> None:
    chance = random.Random(seed)

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            if chance.random() < 0.3:
                connection.abort()
                return
            await connection.send(ok())

    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.format(verbs="get"))
    flags = (f"--allow-rules={rules}", "--ask-timeout=1s")
    async with asking(tmp_path, authority, script, *flags) as (proxy, upstream):
        order = Interleaving(proxy, rules, seed)
        async with asyncio.timeout(20):
            await order.run(drains=seed % 3 == 2)
        # One whose client has left may be on its way still.
        await eventually(lambda: not proxy.app._registry)
        reached = Counter(each.line.split()[1].rpartition("/")[2] for each in upstream.requests)
        assert set(reached.values()) <= {1}
        assert set(order.approved.values()) <= {1}
        assert set(reached) <= set(order.approved)
        for name, status in order.statuses.items():
            if status in {200, 502}:
                assert reached[name] == 1
            elif status:
                assert (status in {403, 429, 503}, reached[name]) == (True, 0)
