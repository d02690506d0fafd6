"""Where it listens, what it says of it, and what it says when it cannot."""

import asyncio
import errno
import functools
import itertools
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kubelatch.config.settings import from_values, parse
from kubelatch.context.listening import allowed_clients
from kubelatch.errors import ListenError
from kubelatch.system.listeners import adopt, closed_to_others, listen_unix
from tests.support.client import Client
from tests.support.proxies import proxy_process, serving

from .running import KUBECTL, ROOT, refused, refused_by_both

NOBODY = 65534
_NUMBERS = itertools.count()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
needs_abstract = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


async def status(address: str) -> int:
    async with await Client.connect(address) as client:
        return (await client.get("/api")).status


async def status_as(uid: int, address: str | Path) -> bytes:
    """The status that a process of this user and group gets; 000 if it cannot connect."""
    flags = ("--unix-socket", address)
    if str(address).startswith("@"):
        flags = ("--abstract-unix-socket", str(address)[1:])
    process = await asyncio.create_subprocess_exec(
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *flags, "http://localhost/api",
        user=uid, group=uid, extra_groups=(), cwd="/", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out


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
    async with serving(config, "--port=0", f"--address={address}") as proxy:
        host, _, port = proxy.name.rpartition(":")
        assert name is None or host == name
        for place in reached_at:
            assert await status(f"{place}:{port}") == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "0.0.0.0", "", "localhost"])
@needs_ipv6
async def test_addresses_are_named_as_by_kubectl(config: str, address: str) -> None:
    flags = (config, "--port=0", f"--address={address}")
    async with serving(*flags) as ours, proxy_process(*flags, command=KUBECTL) as theirs:
        assert ours.name.rpartition(":")[0] == theirs.address.rpartition(":")[0]


async def test_port_in_use(config: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ours, theirs = await refused_by_both(config, f"--port={port}")
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
    ours, theirs = await refused_by_both(config, *flags)
    assert ours.code == theirs.code == 1
    assert ours.out == ""
    assert ours.error.startswith(theirs.error)


async def test_address_that_is_no_address(config: str) -> None:
    ended = await refused(config, "--port=0", "--address=no.such.host.invalid")
    assert (ended.code, ended.out) == (1, "")
    assert ended.error.startswith("error: listen tcp: lookup no.such.host.invalid")


@pytest.mark.parametrize("port", ["-1", "65536", "70000"])
async def test_port_that_is_no_port(config: str, port: str) -> None:
    ours, theirs = await refused_by_both(config, f"--port={port}")
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
    async with serving(config, f"-u{path}"):
        assert await status(str(path)) == 200


async def test_unix_socket_in_use_is_left_alone(config: str, path: Path) -> None:
    async with serving(config, f"-u{path}"):
        ended = await refused(config, f"-u{path}")
        assert (ended.code, ended.out) == (1, "")
        assert ended.error.startswith(f"error: listen unix {path}: bind: address already in use")
        assert await status(str(path)) == 200


async def test_another_unix_socket_at_its_path_is_not_removed_at_exit(
    config: str, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as another:
        async with serving(config, f"-u{path}"):
            path.unlink()
            another.bind(str(path))
    assert path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(config: str, path: Path) -> None:
    path.write_text("precious")
    ours, theirs = await refused_by_both(config, f"-u{path}")
    assert ours.code == theirs.code == 1
    assert ours.error.startswith(theirs.error)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("text", "mode"),
    [("0660", 0o660), ("660", 0o660), ("0o666", 0o666), ("0600", 0o600), ("0", 0), ("0777", 0o777)],
)
async def test_unix_socket_mode(config: str, path: Path, text: str, mode: int) -> None:
    """Whatever the umask; kubectl's mode is 0700, and ours without the flag."""
    before = os.umask(0o027)
    try:
        async with serving(config, f"-u{path}", f"--unix-socket-mode={text}"):
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert path.stat().st_gid == os.getegid()
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("rw-rw----", "must be a file mode in octal, such as 0660", id="letters"),
        pytest.param("0680", "must be a file mode in octal, such as 0660", id="no octal digit"),
        pytest.param("-660", "must be a file mode in octal, such as 0660", id="negative"),
        pytest.param("0x1b0", "must be a file mode in octal, such as 0660", id="hexadecimal"),
        pytest.param("", "must be a file mode in octal, such as 0660", id="empty"),
        pytest.param("٠٦٦٠", "must be a file mode in octal, such as 0660", id="other digits"),
        pytest.param("4755", "must be a file mode from 0000 to 0777", id="more than permissions"),
    ],
)
async def test_unix_socket_mode_that_is_none(
    config: str, path: Path, text: str, words: str
) -> None:
    ended = await refused(config, f"-u{path}", f"--unix-socket-mode={text}")
    assert (ended.code, ended.out) == (2, "")
    assert "--unix-socket-mode" in ended.error
    assert words in ended.error
    assert not path.exists()


@needs_root
@pytest.mark.parametrize("group", ["nogroup", str(NOBODY)])
async def test_unix_socket_group_may_connect(
    config: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As nginx would, whose user is another."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory, "s")
        async with serving(config, f"-u{path}", f"--unix-socket-group={group}"):
            found = path.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, NOBODY)
            assert await status_as(NOBODY, path) == b"200"
            # Root without its powers: another user, of another group.
            assert await status_as(12345, path) == b"000"
        assert caplog.text == ""


@needs_root
async def test_unix_socket_is_never_more_open_than_it_will_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode before each step, and at the end."""
    seen: list[tuple[int, int]] = []

    def note() -> None:
        seen.append((stat.S_IMODE(path.stat().st_mode), path.stat().st_gid))

    def noting(step: Callable[..., None], *args: object) -> None:
        note()
        step(*args)

    for name in ("chown", "chmod"):
        monkeypatch.setattr(os, name, functools.partial(noting, getattr(os, name)))
    listener = listen_unix(str(path), mode=0o660, gid=NOBODY)
    note()
    listener.close()
    assert seen == [(0o600, os.getegid()), (0o600, NOBODY), (0o660, NOBODY)]


async def test_unix_socket_group_that_is_none(config: str, path: Path) -> None:
    ended = await refused(config, f"-u{path}", "--unix-socket-group=no-such-group")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error == "error: --unix-socket-group=no-such-group: there is no such group"
    assert not path.exists()


def test_unix_socket_group_that_we_may_not_give(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(ListenError, match="change group: operation not permitted") as caught:
        listen_unix(str(path), mode=0o660, gid=0)
    assert "--unix-socket-group" in caught.value.hint
    assert not path.exists()


def test_a_link_in_the_place_of_a_unix_socket_is_not_followed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory where others may write, one of them may be that fast."""
    precious = tmp_path / "precious"
    precious.touch(mode=0o600)
    umask = os.umask

    def replace(mask: int) -> int:
        if path.exists():
            path.unlink()
            path.symlink_to(precious)
        return umask(mask)

    monkeypatch.setattr(os, "umask", replace)
    with pytest.raises(ListenError):
        listen_unix(str(path), mode=0o666)
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


@pytest.mark.parametrize("flag", ["--unix-socket-mode=0660", "--unix-socket-group=0"])
async def test_mode_without_a_unix_socket_has_no_effect(
    config: str, flag: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(config, "--port=0", flag):
        pass
    assert "--unix-socket-mode and --unix-socket-group have no effect" in caplog.text


@pytest.mark.parametrize(
    ("mode", "directory", "words"),
    [
        pytest.param("0660", 0o700, "lets its group not through", id="group, private directory"),
        pytest.param("0666", 0o750, "lets others not through", id="others, their directory"),
        pytest.param("0644", 0o755, "its group may not write to it", id="reading alone"),
        pytest.param("0660", 0o750, "", id="group, its directory"),
        pytest.param("0600", 0o700, "", id="nobody else is meant"),
    ],
)
def test_who_is_let_in_by_the_mode_and_not_by_the_directory(
    mode: str, directory: int, words: str
) -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(directory)
        listener = listen_unix(f"{parent}/s", mode=int(mode, 8))
        try:
            why = closed_to_others(listener.path)
        finally:
            listener.close()
    assert words in why
    assert bool(why) is bool(words)


@pytest.fixture
def abstract() -> str:
    return f"@kubelatch test/{os.getpid()}.{next(_NUMBERS)}"


@needs_abstract
async def test_abstract_unix_socket_is_named_as_by_kubectl(
    config: str, abstract: str, tmp_path: Path
) -> None:
    async with (
        proxy_process(config, f"--unix-socket={abstract}.ours") as ours,
        proxy_process(config, f"--unix-socket={abstract}.theirs", command=KUBECTL) as theirs,
    ):
        assert ours.address == f"{abstract}.ours"
        assert theirs.address == f"{abstract}.theirs"
        assert await status(ours.address) == await status(theirs.address) == 200
        # It was no file's name.
        assert not Path(ROOT, ours.address).exists()
        ours.process.terminate()
        assert await ours.finish() == 0
    with pytest.raises(ConnectionRefusedError):
        await status(ours.address)


@needs_abstract
async def test_abstract_unix_socket_in_use(config: str, abstract: str) -> None:
    async with serving(config, f"-u{abstract}"):
        ours, theirs = await refused_by_both(config, f"-u{abstract}")
        assert ours.code == theirs.code == 1
        assert ours.error.startswith(theirs.error)
        assert await status(abstract) == 200


@needs_abstract
@pytest.mark.parametrize("size", [107, 108])
async def test_abstract_unix_socket_name_as_long_as_can_be(config: str, size: int) -> None:
    name = f"@{os.getpid()}".ljust(size + 1, "x")
    if size == 107:
        async with serving(config, f"-u{name}") as proxy:
            assert proxy.name == name
        return
    ours, theirs = await refused_by_both(config, f"-u{name}")
    assert ours.code == theirs.code == 1
    assert ours.error.startswith(theirs.error)


@needs_abstract
async def test_abstract_unix_socket_has_no_mode(config: str, abstract: str) -> None:
    for flag in ("--unix-socket-mode=0660", "--unix-socket-group=0"):
        ended = await refused(config, f"-u{abstract}", flag)
        assert ended.code == 2
        assert "neither mode nor group" in ended.error
        assert "--clients" in ended.error


@needs_abstract
@needs_root
@pytest.mark.parametrize(
    ("clients", "wanted", "warned"),
    [
        pytest.param((), b"403", False, id="by default its user's alone"),
        pytest.param((f"--clients={NOBODY}",), b"200", False, id="who is named"),
        pytest.param(("--clients=any",), b"200", True, id="anybody, when asked for"),
    ],
)
async def test_who_may_connect_to_an_abstract_unix_socket(
    config: str,
    abstract: str,
    clients: tuple[str, ...],
    wanted: bytes,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(config, f"-u{abstract}", *clients):
        assert await status_as(NOBODY, abstract) == wanted
    assert ("is open to every user of this machine" in caplog.text) is warned


@needs_abstract
async def test_an_abstract_unix_socket_that_was_handed_over(tmp_path: Path, config: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0{tmp_path}")
        sock.listen()
        listener = adopt(sock)
        assert (listener.name, listener.abstract) == (f"@{tmp_path}", True)
        values = parse([], {})
        assert allowed_clients(from_values(values), [listener]) == frozenset({os.geteuid()})


async def test_unix_socket_path_too_long(config: str, tmp_path: Path) -> None:
    ours, theirs = await refused_by_both(config, f"-u{tmp_path / ('x' * 120)}")
    assert ours.code == theirs.code == 1
    assert ours.error.startswith(theirs.error)
    assert "107 bytes" in ours.error


async def test_unix_socket_with_a_port(config: str, path: Path) -> None:
    ours, theirs = await refused_by_both(config, f"-u{path}", "--port=0")
    assert (ours.code, theirs.code, ours.out) == (2, 1, "")
    assert ours.error.startswith(theirs.error)
    assert not path.exists()
