"""Random faults on both sides of the proxy, and every byte of either side checked:
``python -m tests.load.soak --minutes 10``.

An answer that reaches the client is whole and right, or it is visibly cut and right so far, or it
says whose fault it was; a request that reaches the upstream is exactly what was sent, and one that
may not be repeated comes once.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import socket
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process
from tests.support.upstream import Connection, ScriptedUpstream

from .plans import Fault, Plan, plan
from .process import descriptors

_PATIENCE = 30.0
_BREATH = 0.002
_GONE = (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError)
_LEAVING = {Fault.LEAVE_REQUEST, Fault.LEAVE_ANSWER, Fault.HALF_CLOSE, Fault.STALL}
_SWITCH = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class WrongBytesError(AssertionError):
    """A byte that should not be there, or one that is missing."""


@dataclass
class Soak:
    """A run.

    Attributes:
        seed: all plans follow from it.
        seen: how often each request has reached the upstream with its head.
        outcomes: how many requests came to which end.
        problems: what was wrong at the upstream's side.
    """

    seed: int
    seen: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    async def script(self, connection: Connection) -> None:
        """Answer as planned; see ScriptedUpstream."""
        try:
            while await self._serve(connection):
                connection.requests.clear()
        except WrongBytesError as exc:
            self.problems.append(str(exc))
            connection.abort()

    async def _serve(self, connection: Connection) -> bool:
        """Answer one request; False if it was the connection's last."""
        request = await connection.head()
        numbers = request.values("x-soak")
        _check(len(numbers) == 1, f"which one is it? {request.head!r}")
        todo = plan(self.seed, int(numbers[0]))
        self.seen[todo.number] += 1
        _check(request.line == todo.request.split(b"\r\n", 1)[0].decode(), f"{request.line}")
        if todo.tunnel:
            await self._tunnel(connection, todo)
            return False
        content = bytearray()
        try:
            await _read_body(connection.reader, request.head, content, to_end=False)
        except _GONE:
            _check(todo.fault in _LEAVING, f"{todo.number}: the request ends early")
            _check(todo.content.startswith(content), f"{todo.number}: other bytes were sent")
            raise
        _check(content == todo.content, f"{todo.number}: other bytes were sent")
        return await self._answer(connection, todo)

    async def _answer(self, connection: Connection, todo: Plan) -> bool:
        if todo.fault is Fault.RESET:
            _end(connection.writer, clean=todo.clean)
            return False
        if todo.fault is Fault.GARBAGE:
            await connection.send(b"HTTP/1.1 twohundred\r\n\r\n")
            return False
        if todo.fault is Fault.STALL:
            await connection.reader.read()
            return False
        if todo.fault is Fault.CUT:
            await _send(connection.writer, todo.within(todo.response), todo.pauses)
            _end(connection.writer, clean=todo.clean)
            return False
        await _send(connection.writer, todo.response, todo.pauses)
        return not todo.close

    async def _tunnel(self, connection: Connection, todo: Plan) -> None:
        """Echo what comes, to the end of it or to the cut."""
        if todo.fault in {Fault.RESET, Fault.GARBAGE, Fault.STALL}:
            await self._answer(connection, todo)
            return
        await connection.send(_SWITCH)
        left = len(todo.within(todo.content) if todo.fault is Fault.CUT else todo.content)
        heard = bytearray()
        while left:
            data = await connection.reader.read(min(left, 65536))
            if not data:
                break
            heard += data
            left -= len(data)
            _check(todo.content.startswith(heard), f"{todo.number}: other bytes were tunnelled")
            await connection.send(data)
        if todo.fault is Fault.CUT:
            _end(connection.writer, clean=False)

    async def client(self, address: str, numbers: Iterator[int]) -> None:
        """Carry out plans, one after another, on connections that are used as long as they last."""
        client: Client | None = None
        try:
            for number in numbers:
                if client is None:
                    client = await Client.connect(address)
                todo = plan(self.seed, number)
                try:
                    async with asyncio.timeout(_PATIENCE):
                        goes_on = await self._ask(client, todo)
                except WrongBytesError as exc:
                    raise WrongBytesError(f"seed {self.seed}, {exc}; {_short(todo)}") from exc
                except TimeoutError as exc:
                    raise WrongBytesError(
                        f"seed {self.seed}, no end comes; {_short(todo)}"
                    ) from exc
                if not goes_on:
                    client.close()
                    client = None
        finally:
            if client is not None:
                client.close()

    async def _ask(self, client: Client, todo: Plan) -> bool:
        """Carry out one plan; False if the connection is at its end."""
        got = _Got()
        request = todo.request
        leaves = todo.fault in {Fault.LEAVE_ANSWER, Fault.STALL}
        sending = asyncio.ensure_future(self._send(client, todo, request))
        try:
            if todo.fault is Fault.LEAVE_REQUEST:
                await sending
                self.outcomes["left"] += 1
                _end(client.writer, clean=todo.clean)
                return False
            if todo.fault is Fault.SLOW:
                await asyncio.sleep(0.1)
            right = todo.content if todo.tunnel else todo.answer
            limit = len(todo.within(right)) if todo.fault is Fault.LEAVE_ANSWER else None
            patience = 0.2 if todo.fault is Fault.STALL else _PATIENCE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await got.read(client.reader, limit, tunnel=todo.tunnel)
        finally:
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if leaves:
            _end(client.writer, clean=todo.clean)
        self._judge(todo, got)
        return got.whole and not got.closes and not leaves and todo.fault is not Fault.HALF_CLOSE

    async def _send(self, client: Client, todo: Plan, request: bytes) -> None:
        with contextlib.suppress(*_GONE):
            if todo.fault is Fault.LEAVE_REQUEST:
                request = todo.within(request)
            await _send(client.writer, request, todo.pauses)
            if todo.fault is Fault.HALF_CLOSE:
                client.writer.write_eof()

    def _judge(self, todo: Plan, got: "_Got") -> None:
        what = f"{todo.number}: status {got.status}, {len(got.body)} bytes, whole: {got.whole}"
        if todo.method != "GET" and not todo.tunnel:
            _check(self.seen[todo.number] <= 1, f"{what}, sent {self.seen[todo.number]} times")
        if got.status in {502, 503, 504}:
            _check(got.whole, what)
            _check(json.loads(got.body)["code"] == got.status, what)
            # A connection that was closed just then takes along what may not be repeated.
            lost = not self.seen[todo.number] and todo.method != "GET" and not todo.tunnel
            _check(todo.fault.of_upstream or lost, what)
            self.outcomes["lost" if lost else "told"] += 1
            return
        right = todo.content if todo.tunnel else todo.answer
        if got.status:
            _check(got.status == (101 if todo.tunnel else 200), what)
            _check(right.startswith(got.body), f"{what}: other bytes came")
        if got.whole:
            _check(not todo.fault.of_upstream, what)
            # asyncio's TLS, at the upstream, sends nothing more when it has been told the end.
            ended = todo.tunnel and todo.fault is Fault.HALF_CLOSE
            _check(ended or got.body == right, f"{what}: bytes are missing")
            self.outcomes["whole"] += 1
        else:
            _check(todo.fault not in {Fault.NONE, Fault.SLOW}, what)
            self.outcomes["cut" if got.status else "unanswered"] += 1


@dataclass
class _Got:
    """What came of an answer."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    closes: bool = False

    async def read(self, reader: asyncio.StreamReader, limit: int | None, *, tunnel: bool) -> None:
        """Read one answer to its end, or *limit* bytes of its body."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.status = int(head.split(b" ", 2)[1])
            self.closes = b"connection: close" in head.lower() or self.status == 101
            if limit is not None and self.status < 500:
                await reader.readexactly(limit)
                return
            await _read_body(reader, head, self.body, to_end=True)
        except _GONE:
            return
        self.whole = True


async def _read_body(
    reader: asyncio.StreamReader, head: bytes, into: bytearray, *, to_end: bool
) -> None:
    """Read the body that *head* announces; raises one of ``_GONE`` at a cut, with all that came
    before it in *into*."""
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
            await _read_exactly(reader, size, into)
            _check(await reader.readexactly(2) == b"\r\n", "a chunk has another size than it says")
        _check(await reader.readexactly(2) == b"\r\n", "there are trailers")
    elif b"content-length: " in lowered:
        await _read_exactly(reader, int(lowered.split(b"content-length: ")[1].split()[0]), into)
    elif to_end:
        while data := await reader.read(65536):
            into += data


async def _read_exactly(reader: asyncio.StreamReader, size: int, into: bytearray) -> None:
    try:
        into += await reader.readexactly(size)
    except asyncio.IncompleteReadError as exc:
        into += exc.partial
        raise


async def _send(writer: asyncio.StreamWriter, data: bytes, pauses: int) -> None:
    """Send *data*, with pauses at places that do not fit its structure."""
    step = len(data) // (pauses + 1) + 1
    for at in range(0, len(data), step):
        writer.write(data[at : at + step])
        await writer.drain()
        if pauses:
            await asyncio.sleep(_BREATH)


def _end(writer: asyncio.StreamWriter, *, clean: bool) -> None:
    if not clean:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
    else:
        writer.close()


def _check(condition: bool, words: str) -> None:
    if not condition:
        raise WrongBytesError(words)


def _short(todo: Plan) -> str:
    kind = "tunnel" if todo.tunnel else f"{todo.method}, {todo.framing.value}"
    return (
        f"{kind}, {len(todo.content)} bytes up, {len(todo.answer)} down, zipped: {todo.zipped}, "
        f"fault: {todo.fault.value} at {todo.cut_at:.3f}, clean: {todo.clean}, "
        f"pauses: {todo.pauses}, close: {todo.close}"
    )


async def soaking(
    directory: Path,
    authority: Authority,
    soak: Soak,
    numbers: Iterator[int],
    *flags: str,
    clients: int,
) -> None:
    """Carry out the plans of *numbers* through the command, and see that nothing of them is left.

    Raises:
        AssertionError: something was wrong, or is left over.
    """

    async def script(connection: Connection) -> None:
        try:
            await soak.script(connection)
        finally:
            upstream.connections.remove(connection)

    admin = directory / "admin"
    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "soak"})
        flags += (f"--kubeconfig={write(directory / 'kubeconfig', config)}", "--port=0")
        flags += ("--log-requests=off", "--drain-timeout=1s", f"--admin-address=unix:{admin}")
        async with proxy_process(*flags) as proxy:
            pid = proxy.process.pid
            before = await _settled(pid, admin, upstream)
            async with asyncio.TaskGroup() as group:
                for _ in range(clients):
                    group.create_task(soak.client(proxy.address, numbers))
            await _settled(pid, admin, upstream, before)
            proxy.process.terminate()
            assert await proxy.finish() == 0
        assert proxy.stderr.decode() == ""
        assert soak.problems == []
        assert upstream.errors == []


async def _settled(
    pid: int, admin: Path, upstream: ScriptedUpstream, most: int | None = None
) -> int:
    """Wait until nothing is under way, and no more than *most* descriptors are open beside idle
    connections; how many that are."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            gauges = await _gauges(admin)
            under_way = sum(n for name, n in gauges.items() if "requests_in_flight" in name)
            # Those that the upstream has closed still count as idle until somebody asks for one.
            idle = gauges["kubelatch_upstream_connections_idle"]
            still_open = descriptors(pid) - len(upstream.connections)
            settled = not under_way and len(upstream.connections) <= idle
            if settled and (most is None or still_open <= most):
                return still_open
            await asyncio.sleep(0.05)


async def _gauges(admin: Path) -> dict[str, float]:
    async with await Client.connect(str(admin)) as client:
        text = (await client.get("/metrics", "Connection: close")).body.decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def main() -> None:
    """Soak for as long as wanted, and tell the seed first."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--loop", default="auto", choices=("auto", "asyncio", "uvloop"))
    options = parser.parse_args()
    sys.stdout.write(f"--seed {options.seed}\n")
    sys.stdout.flush()
    soak = Soak(options.seed)
    end = time.monotonic() + options.minutes * 60
    numbers = itertools.takewhile(lambda _: time.monotonic() < end, itertools.count())
    with tempfile.TemporaryDirectory() as directory:
        flags = (f"--loop={options.loop}",)
        asyncio.run(
            soaking(Path(directory), Authority(), soak, numbers, *flags, clients=options.clients)
        )
    sys.stdout.write(f"{soak.outcomes.total()} requests: {dict(soak.outcomes)}\n")


if __name__ == "__main__":
    main()
