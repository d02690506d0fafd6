"""What becomes of what is in flight at a signal; of each kind of it, tests/relay/test_drain.py."""

import signal
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.draining import (
    EVENT,
    EXEC,
    JSON,
    LOG,
    NEVER,
    SOON,
    UPGRADE,
    WATCH,
    Server,
    begin,
    chunk,
    head,
    received,
    refuses,
)
from tests.support.proxies import proxy_process
from tests.support.relay import eventually
from tests.support.upstream import ok

both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Server:
    return Server(tmp_path, authority)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@both_loops
async def test_a_watch_between_two_events_ends_cleanly_and_at_once(
    server: Server, number: signal.Signals, loop: str
) -> None:
    server.answers[WATCH] = head(JSON) + chunk(EVENT)
    flags = (f"--loop={loop}", "--port=0", NEVER)
    async with server.server, proxy_process(server.config, *flags) as proxy:
        async with await begin(proxy.address, WATCH) as client:
            await received(client, EVENT + b"\r\n")
            proxy.signal(number)
            assert await client.to_end() == (b"0\r\n\r\n", True)
        assert await proxy.finish() == 0


@both_loops
async def test_what_is_not_over_in_time_is_cut(server: Server, loop: str) -> None:
    server.answers[LOG] = head("text/plain") + chunk(b"a whole line\n")
    flags = (f"--loop={loop}", "--port=0", SOON)
    async with server.server, proxy_process(server.config, *flags) as proxy:
        async with await begin(proxy.address, LOG, "1.0") as client:
            await received(client, b"line\n")
            proxy.signal(signal.SIGTERM)
            assert await client.to_end() == (b"", False)
        assert await proxy.finish() == 0


async def test_what_was_asked_before_the_signal_is_answered(server: Server) -> None:
    """Requests that wait in the kernel: on a connection that is not accepted yet, and on one
    that is."""
    server.answers["/api"] = ok(b"here")
    async with server.server, proxy_process(server.config, "--port=0", NEVER) as proxy:
        async with await begin(proxy.address, "/api") as old:
            await old.answer()
            status = Path(f"/proc/{proxy.process.pid}/status")
            proxy.signal(signal.SIGSTOP)
            await eventually(lambda: "stopped" in status.read_text())
            await old.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with await begin(proxy.address, "/api") as new:
                proxy.signal(signal.SIGTERM)
                proxy.signal(signal.SIGCONT)
                for client in (old, new):
                    answer = await client.answer()
                    assert (answer.status, answer.body) == (200, b"here")
        assert await proxy.finish() == 0


@both_loops
async def test_a_second_signal_lets_nothing_look_whole(server: Server, loop: str) -> None:
    server.answers |= {
        LOG: head("text/plain") + chunk(b"a line\n"),
        EXEC: b"HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    }
    flags = (f"--loop={loop}", "--reject-paths=", NEVER, "--port=0")
    async with server.server, proxy_process(server.config, *flags) as proxy:
        async with (
            await begin(proxy.address, LOG, "1.0") as log,
            await Client.connect(proxy.address) as tunnel,
        ):
            await received(log, b"a line\n")
            await tunnel.send(UPGRADE)
            await received(tunnel, b"\r\n\r\n")
            proxy.signal(signal.SIGTERM)
            await refuses(proxy.address)
            proxy.signal(signal.SIGTERM)
            assert await log.to_end() == (b"", False)
            assert await tunnel.to_end() == (b"", False)
        assert await proxy.finish() == 0
