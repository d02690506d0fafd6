"""``kubelatch wait``, as a process."""

import socket
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.upstream import ScriptedUpstream, answering, ok

from .processes import Config, finish, kubelatch, start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("admin", [False, True], ids=["through it", "its admin address"])
async def test_wait_returns_once_the_proxy_is_there(
    tmp_path: Path, authority: Authority, config: Config, admin: bool
) -> None:
    port, path = free_port(), tmp_path / "admin.sock"
    where = f"--admin-address={path}" if admin else f"--port={port}"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        waiting = await start("wait", where)
        # It has not found anything yet: nothing is there.
        serving = await start(config(upstream), f"--port={port}", f"--admin-address={path}")
        assert await finish(waiting) == (0, "", "")
        serving.terminate()
        await finish(serving)
    assert bool(upstream.requests) is not admin


@pytest.mark.parametrize(
    "flag", ["--unix-socket={}", "--admin-address={}", "--admin-address=unix:{}"]
)
@pytest.mark.parametrize("name", ["{}/proxy.sock", "@{}"], ids=["path", "abstract"])
async def test_wait_on_a_unix_socket(
    tmp_path: Path, authority: Authority, config: Config, flag: str, name: str
) -> None:
    where = flag.format(name.format(tmp_path))
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        waiting = await start("wait", where)
        serving = await start(config(upstream), where, *() if "unix-s" in flag else ("--port=0",))
        assert await finish(waiting) == (0, "", "")
        serving.terminate()
        await finish(serving)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(None, "connection refused", id="nothing is there"),
        pytest.param(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "it answers 502", id="502"),
    ],
)
async def test_wait_gives_up(answer: bytes | None, words: str) -> None:
    async with ScriptedUpstream(answering(answer or b"")) as upstream:
        port = upstream.port if answer else free_port()
        code, out, err = await kubelatch("wait", f"--port={port}", "--timeout=300ms")
    assert (code, out) == (1, "")
    assert f"the proxy at 127.0.0.1:{port} is not ready after 0.3s" in err
    assert words in err


async def test_a_refusal_has_come_through_as_well() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with ScriptedUpstream(answering(refusal)) as upstream:
        assert await kubelatch("wait", f"--port={upstream.port}") == (0, "", "")
    assert upstream.requests[0].line == "GET /version HTTP/1.1"
    assert upstream.requests[0].values("host") == ["localhost"]
