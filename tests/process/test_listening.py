"""Where it listens, what it says of it, and what it says when it cannot."""

import os
import socket
import stat
from pathlib import Path

import pytest

from ..support.client import Client
from ..support.proxies import proxy_process
from .running import KUBECTL, run, run_both

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


async def status(address: str) -> int:
    async with await Client.connect(address) as client:
        return (await client.get("/api")).status


async def test_one_line_says_where_it_serves_and_nothing_follows(config: str) -> None:
    async with proxy_process(config, "--port=0") as proxy:
        host, _, port = proxy.address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert await status(proxy.address) == 200
        proxy.process.terminate()
        await proxy.finish()
    assert proxy.stdout == b""


async def test_it_accepts_when_the_line_is_printed(config: str) -> None:
    async with proxy_process(config, "--port=0") as proxy:
        host, _, port = proxy.address.rpartition(":")
        # Without another turn of the event loop, and so without waiting for anything.
        socket.create_connection((host, int(port))).close()


@pytest.mark.parametrize(
    ("address", "name", "reached_at"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", ["127.0.0.1"], id="v4"),
        pytest.param("::1", "[::1]", ["[::1]"], id="v6", marks=needs_ipv6),
        pytest.param("[::1]", "[::1]", ["[::1]"], id="v6 in brackets", marks=needs_ipv6),
        pytest.param("0.0.0.0", "[::]", ["127.0.0.1", "[::1]"], id="all", marks=needs_ipv6),
        pytest.param("", "[::]", ["127.0.0.1", "[::1]"], id="empty", marks=needs_ipv6),
        pytest.param("::", "[::]", ["127.0.0.1", "[::1]"], id="all of v6", marks=needs_ipv6),
        pytest.param("localhost", None, ["localhost"], id="name"),
    ],
)
async def test_addresses(
    config: str, address: str, name: str | None, reached_at: list[str]
) -> None:
    async with proxy_process(config, "--port=0", f"--address={address}") as proxy:
        host, _, port = proxy.address.rpartition(":")
        assert name is None or host == name
        for place in reached_at:
            assert await status(f"{place}:{port}") == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "0.0.0.0", "", "localhost"])
@needs_ipv6
async def test_addresses_are_named_as_by_kubectl(config: str, address: str) -> None:
    flags = (config, "--port=0", f"--address={address}")
    async with proxy_process(*flags) as ours, proxy_process(*flags, command=KUBECTL) as theirs:
        assert ours.address.rpartition(":")[0] == theirs.address.rpartition(":")[0]


async def test_port_in_use(config: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ours, theirs = await run_both(config, f"--port={port}")
    assert ours.code == theirs.code == 1
    assert ours.out == ""
    assert ours.error.startswith(theirs.error)
    assert "--port" in ours.error.removeprefix(theirs.error)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("--address=192.0.2.1", "--port=0"), id="address of another machine"),
        pytest.param(("--unix-socket=/nonexistent/s",), id="directory missing"),
    ],
)
async def test_places_that_cannot_be_listened_on(config: str, flags: tuple[str, ...]) -> None:
    ours, theirs = await run_both(config, *flags)
    assert ours.code == theirs.code == 1
    assert ours.out == ""
    assert ours.error.startswith(theirs.error)


async def test_address_that_is_no_address(config: str) -> None:
    ended = await run(config, "--port=0", "--address=no.such.host.invalid")
    assert (ended.code, ended.out) == (1, "")
    assert ended.error.startswith("error: listen tcp: lookup no.such.host.invalid")


@pytest.mark.parametrize("port", ["-1", "65536", "70000"])
async def test_port_that_is_no_port(config: str, port: str) -> None:
    ours, theirs = await run_both(config, f"--port={port}")
    assert (ours.code, ours.out) == (2, "")
    assert ours.error.startswith(theirs.error)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_unix_socket_is_for_its_owner_alone(config: str, path: Path) -> None:
    before = os.umask(0)
    try:
        async with proxy_process(config, f"--unix-socket={path}") as proxy:
            assert proxy.address == str(path)
            mode = path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert not mode & 0o077
            assert await status(str(path)) == 200
    finally:
        os.umask(before)


async def test_unix_socket_is_removed_at_exit(config: str, path: Path) -> None:
    async with proxy_process(config, f"-u{path}") as proxy:
        proxy.process.terminate()
        assert await proxy.finish() == 0
    assert not path.exists()


async def test_stale_unix_socket_is_replaced(config: str, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with proxy_process(config, f"-u{path}"):
        assert await status(str(path)) == 200


async def test_unix_socket_in_use_is_left_alone(config: str, path: Path) -> None:
    async with proxy_process(config, f"-u{path}"):
        ended = await run(config, f"-u{path}")
        assert (ended.code, ended.out) == (1, "")
        assert ended.error.startswith(f"error: listen unix {path}: bind: address already in use")
        assert await status(str(path)) == 200


async def test_another_unix_socket_at_its_path_is_not_removed_at_exit(
    config: str, path: Path
) -> None:
    async with proxy_process(config, f"-u{path}") as proxy:
        path.unlink()
        with socket.socket(socket.AF_UNIX) as another:
            another.bind(str(path))
            proxy.process.terminate()
            await proxy.finish()
    assert path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(config: str, path: Path) -> None:
    path.write_text("precious")
    ours, theirs = await run_both(config, f"-u{path}")
    assert ours.code == theirs.code == 1
    assert ours.error.startswith(theirs.error)
    assert path.read_text() == "precious"


async def test_unix_socket_path_too_long(config: str, tmp_path: Path) -> None:
    ours, theirs = await run_both(config, f"-u{tmp_path / ('x' * 120)}")
    assert ours.code == theirs.code == 1
    assert ours.error.startswith(theirs.error)
    assert "107 bytes" in ours.error


async def test_unix_socket_with_a_port(config: str, path: Path) -> None:
    ours, theirs = await run_both(config, f"-u{path}", "--port=0")
    assert (ours.code, theirs.code, ours.out) == (2, 1, "")
    assert ours.error.startswith(theirs.error)
    assert not path.exists()
