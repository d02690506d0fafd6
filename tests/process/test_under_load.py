"""Sixteen clients that ask again and again, while things change under them."""

import asyncio
import contextlib
import json
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import ProxyProcess, proxy_process
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream, ok

CLIENTS = 16
# What a client may be told while nobody listens at the API server's port, or is just going.
WHILE_IT_IS_AWAY = {"refused", "reset", "tls-closed"}


class Load:
    """Clients in a loop, each on a connection of its own."""

    def __init__(self, address: str) -> None:
        self.count = 0
        self.failures: list[tuple[str, int]] = []
        self._address = address
        self._over = False

    async def run(self) -> None:
        """Until :meth:`stop`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._ask())

    def stop(self) -> None:
        self._over = True

    async def _ask(self) -> None:
        async with await Client.connect(self._address) as client:
            while not self._over:
                answer = await client.get("/api")
                self.count += 1
                if answer.status != 200:
                    self.failures.append((cause_of(answer), answer.status))

    async def go_on(self, requests: int) -> None:
        """Wait until so many more have been answered."""
        goal = self.count + requests
        await eventually(lambda: self.count >= goal, 20)


def cause_of(answer: Answer) -> str:
    causes: list[dict[str, str]] = json.loads(answer.body)["details"]["causes"]
    return causes[0]["reason"]


@contextlib.asynccontextmanager
async def loaded(proxy: ProxyProcess) -> AsyncIterator[Load]:
    load = Load(proxy.address)
    running = asyncio.create_task(load.run())
    try:
        await load.go_on(100)
        yield load
    finally:
        load.stop()
        await running


def reset(connection: Connection) -> None:
    sock = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.abort()


class Busy:
    """An API server that knows which of its connections have nothing to do."""

    def __init__(self, authority: Authority, tmp_path: Path) -> None:
        self.idle: dict[int, Connection] = {}
        self.doomed: set[int] = set()
        self.server = ScriptedUpstream(self._script, authority)
        self._authority = authority
        self._path = tmp_path / "busy"

    def config(self, token: str = "t") -> str:
        """The flag that names its kubeconfig, which is written anew."""
        config = kubeconfig(self.server.url, self._authority, user={"token": token})
        return f"--kubeconfig={write(self._path, config)}"

    async def _script(self, connection: Connection) -> None:
        try:
            while True:
                await connection.request()
                self.idle.pop(connection.number, None)
                if connection.number in self.doomed:
                    reset(connection)
                    return
                await connection.send(ok())
                self.idle[connection.number] = connection
        finally:
            self.idle.pop(connection.number, None)


def close(busy: Busy, connection: Connection) -> None:
    connection.close()


def kill(busy: Busy, connection: Connection) -> None:
    reset(connection)


def forget(busy: Busy, connection: Connection) -> None:
    """What was rebooted, or lies behind another network now, says so when it is asked."""
    busy.doomed.add(connection.number)


@pytest.fixture
def busy(tmp_path: Path, authority: Authority) -> Busy:
    return Busy(authority, tmp_path)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(close, id="closed"),
        pytest.param(kill, id="reset"),
        pytest.param(forget, id="reset when used again"),
    ],
)
async def test_no_client_notices_that_idle_connections_are_ended(
    busy: Busy, end: Callable[[Busy, Connection], None]
) -> None:
    async with busy.server, proxy_process(busy.config(), "--port=0") as proxy:
        async with loaded(proxy) as load:
            for _ in range(10):
                for connection in list(busy.idle.values()):
                    end(busy, connection)
                await load.go_on(100)
        assert load.failures == []
    # One connection for each client, and again for each time that they were ended.
    assert len(busy.server.connections) > CLIENTS


async def test_a_restart_of_the_api_server_is_over_when_it_is_over(busy: Busy) -> None:
    async with busy.server, proxy_process(busy.config(), "--port=0") as proxy:
        async with loaded(proxy) as load:
            assert load.failures == []
            await busy.server.stop()
            await eventually(lambda: ("refused", 502) in load.failures)
            await busy.server.start(busy.server.port)
            # What was on its way before is of before.
            await load.go_on(2 * CLIENTS)
            failed = list(load.failures)
            await load.go_on(300)
        assert load.failures == failed
        assert {status for _, status in failed} == {502}
        assert {cause for cause, _ in failed} <= WHILE_IT_IS_AWAY


async def test_reloads_lose_no_request(busy: Busy) -> None:
    async with busy.server, proxy_process(busy.config("0"), "--port=0") as proxy:
        async with loaded(proxy) as load:
            for count in range(1, 11):
                busy.config(f"{count}")
                proxy.signal(signal.SIGHUP)
                await load.go_on(50)
            async with asyncio.timeout(20):
                while busy.server.requests[-1].values("authorization") != ["Bearer 10"]:
                    await load.go_on(50)
        assert load.failures == []
    assert busy.server.requests[0].values("authorization") == ["Bearer 0"]
