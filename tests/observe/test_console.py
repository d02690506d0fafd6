"""What a person at a terminal is shown, and what everybody else is not."""

import asyncio
import json
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_in_loop, proxy_process
from tests.support.relay import eventually
from tests.support.terminal import Terminal
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

EXEC = "/api/v1/namespaces/a/pods/b/exec"


@pytest.fixture
def config(tmp_path: Path, authority: Authority) -> Callable[[ScriptedUpstream], str]:
    def flag(upstream: ScriptedUpstream) -> str:
        content = kubeconfig(upstream.url, authority, identity=authority.client("alice"))
        return f"--kubeconfig={write(tmp_path / 'config', content)}"

    return flag


async def at_terminal(
    *flags: str, until: str, background: bool = False, environ: dict[str, str] | None = None
) -> tuple[str, str]:
    """The start line, and what was shown besides: of a request, and of one that is refused."""
    terminal = await Terminal.start("--port=0", *flags, background=background, environ=environ)
    line = await terminal.line()
    await ask(line.split()[-1], "/api", EXEC)
    await terminal.until(until)
    terminal.process.terminate()
    assert await terminal.end() == 0
    return line, terminal.shown


def request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def ask(address: str, *targets: str) -> None:
    async with await Client.connect(address) as client:
        for target in targets:
            await client.get(target)


async def test_a_person_is_told_what_is_served_and_sees_requests(
    authority: Authority, config: Callable[[ScriptedUpstream], str], tmp_path: Path
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        line, shown = await at_terminal(config(upstream), until="rule=reject-paths")
    address = line.removeprefix("Starting to serve on ").strip()
    block, log = shown.split("--help\n")
    rows = dict(row.split(maxsplit=1) for row in block.splitlines())
    assert rows["context"] == f"test ({tmp_path / 'config'})"
    assert rows["server"] == upstream.url
    assert re.fullmatch(r"test, by client certificate of alice, until .* UTC", rows["user"])
    assert rows["filter"] == "no exec, no attach"
    # By its path where it is not on PATH.
    assert re.fullmatch(rf"curl http://{address}/version, or (\S+/)?kubelatch ", rows["next"])
    assert re.search(r"\x1b\[32m200\x1b\[0m .* get +/api\n", log)
    assert re.search(r"\x1b\[33m403\x1b\[0m .* get pods/exec +a/b .*\n.* rule=reject-paths", log)


async def test_the_files_of_a_demo_are_named(tmp_path: Path) -> None:
    flags = ("--demo", f"--demo-kubeconfig={tmp_path}/d.yaml")
    _, shown = await at_terminal(*flags, until="rule=reject-paths")
    assert f"demo     kubeconfig {tmp_path}/d.yaml, authority {tmp_path}/d.ca.crt\n" in shown


async def test_what_is_wrong_follows_in_the_start_block(
    authority: Authority, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        config = kubeconfig(f"https://127.0.0.1:{port}", authority, user={"token": "t"})
        path = write(tmp_path / "config", config)
        terminal = await Terminal.start("--port=0", f"--kubeconfig={path}")
        await terminal.line()
        await terminal.until(rf"  problem  connection to 127.0.0.1:{port} refused")
    terminal.process.terminate()
    assert await terminal.end() == 0
    assert terminal.shown.index("  next ") < terminal.shown.index("  problem ")


async def test_a_server_that_hangs_delays_neither_start_nor_end(
    authority: Authority, tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = kubeconfig(f"https://127.0.0.1:{silent.getsockname()[1]}", authority)
        path = write(tmp_path / "config", config)
        terminal = await Terminal.start("--port=0", f"--kubeconfig={path}", "--tls-timeout=5m")
        assert (await terminal.line()).startswith("Starting to serve on ")
        connection, _ = await asyncio.get_running_loop().run_in_executor(None, silent.accept)
        with connection:
            terminal.process.terminate()
            assert await terminal.end() == 0
    assert "problem" not in terminal.shown


@pytest.mark.parametrize(
    ("flag", "meaning"),
    [
        ("--address=0.0.0.0", r"WARNING: \S+ is open to other machines: clients there act as you"),
        ("--disable-filter", "WARNING: --disable-filter: any web page can act as you by DNS"),
        ("--accept-hosts=^dash$", r"WARNING: --accept-hosts=\^dash\$: over http any web page can"),
    ],
)
async def test_a_dangerous_flag_is_explained_in_one_row(
    authority: Authority,
    config: Callable[[ScriptedUpstream], str],
    flag: str,
    meaning: str,
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        terminal = await Terminal.start("--port=0", config(upstream), flag, columns=100)
        await terminal.until("  next ")
        terminal.process.terminate()
        assert await terminal.end() == 0
    (row,) = [row for row in terminal.screen if re.match(meaning, row)]
    assert len(row) < 100
    at = terminal.screen.index(row)
    assert re.match("WARNING|  context", terminal.screen[at + 1])


async def test_the_example_over_tls_names_the_authority(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    flags = ("--demo", "--port=0", "--tls=auto")
    terminal = await Terminal.start(*flags, f"--tls-ca-file={ca}", columns=200)
    name = (await terminal.line()).split()[-1]
    shown = await terminal.until("next .*\n")
    assert f"next     curl --cacert {ca} https://{name}/version, or " in shown
    assert "clients  " in shown
    assert " kubeconfig with the same flags" in shown
    terminal.process.terminate()
    assert await terminal.end() == 0
    # Without the file, there is nothing that could be trusted.
    terminal = await Terminal.start(*flags, columns=200)
    shown = await terminal.until("next .*\n")
    assert "No client can verify --tls=auto" in shown
    assert "curl" not in shown
    terminal.process.terminate()
    assert await terminal.end() == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    "flags",
    [
        ("--address=0.0.0.0",),
        ("--address=::",),
        ("--address=::1",),
        ("--address=127.0.0.2",),
        ("--address=127.0.0.2", "--accept-hosts=^127"),
        ("--accept-hosts=^localhost$",),
        ("--disable-filter",),
        ("--api-prefix=/it's(one)&more/",),
        ("--unix-socket=a socket",),
        ("--unix-socket=@an abstract one",),
        ("--client-token-file=a secret",),
        ("--accept-paths=^/api$",),
        ("--client-token-file=a secret", "--unix-socket=s", "--api-prefix=/k8s", "--read-only"),
    ],
    ids=" ".join,
)
async def test_the_command_that_is_suggested_is_answered(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a secret").write_text("of at least some length\n")
    Path("a secret").chmod(0o600)
    if any(flag.startswith("--unix-socket") for flag in flags):
        flags = (
            "--port=8001",
            *(
                flag.replace("socket=", f"socket={tmp_path}/") if "@" not in flag else flag
                for flag in flags
            ),
        )
    async with ScriptedUpstream(answering(ok(b"it works")), authority) as upstream:
        content = kubeconfig(upstream.url, authority, identity=authority.client("alice"))
        async with proxy_in_loop(tmp_path, content, *flags) as app:
            (row,) = [line for line in app.greeting().splitlines() if line.startswith("  next")]
            command = row.removeprefix("  next").partition(", or kubelatch")[0]
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            out, err = await process.communicate()
    assert out == b"it works", (command, err)


async def test_nothing_is_suggested_that_would_be_refused(
    authority: Authority, tmp_path: Path
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        content = kubeconfig(upstream.url, authority)
        async with proxy_in_loop(tmp_path, content, "--accept-paths=^/none$") as app:
            assert app.greeting().endswith("  next     kubelatch --help\n")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
async def test_colours_can_be_declined(
    authority: Authority, config: Callable[[ScriptedUpstream], str], environ: dict[str, str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        _, shown = await at_terminal(config(upstream), until="reject-paths", environ=environ)
    assert "\x1b" not in shown
    assert re.search(r" 200 .* get +/api\n", shown)


async def test_quiet_shows_what_goes_wrong_and_no_more(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        _, shown = await at_terminal(config(upstream), "--quiet", until="reject-paths")
    [line] = shown.splitlines()
    assert re.match(r"WARNING: \S+Z 403 .*/exec rule=reject-paths", line)


async def test_a_job_in_the_background_does_not_write_over_the_shell(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        _, shown = await at_terminal(config(upstream), until="reject-paths", background=True)
    assert "/api\n" not in shown
    assert "  log      requests that are refused or fail, here" in shown


async def test_elsewhere_only_what_goes_wrong_is_said(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        proxy_process(config(upstream), "--port=0") as process,
    ):
        await ask(process.address, "/api", EXEC)
        process.signal(signal.SIGTERM)
        await process.finish()
    [line] = process.stderr.decode().splitlines()
    assert re.match(r"WARNING: \S+Z 403 .*/exec rule=reject-paths", line)
    assert process.stdout == b""


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        pytest.param("--log-requests=off", [], id="off"),
        pytest.param("--log-requests=-", ["GET /api ", "GET /api/v1/namespaces/a"], id="stderr"),
    ],
)
async def test_standard_error_takes_all_or_nothing_when_told_so(
    authority: Authority,
    config: Callable[[ScriptedUpstream], str],
    flag: str,
    wanted: list[str],
) -> None:
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        proxy_process(config(upstream), "--port=0", flag) as process,
    ):
        await ask(process.address, "/api", EXEC)
        process.signal(signal.SIGTERM)
        await process.finish()
    lines = process.stderr.decode().splitlines()
    assert len(lines) == len(wanted)
    for line, words in zip(lines, wanted, strict=True):
        assert words in line
        assert "\x1b" not in line


@pytest.mark.parametrize(
    ("where", "statuses"), [("-", [200, 403]), ("auto", [403]), ("off", [])], ids=str
)
async def test_json_on_standard_error_is_nothing_but_json(
    authority: Authority,
    config: Callable[[ScriptedUpstream], str],
    where: str,
    statuses: list[int],
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (
            config(upstream),
            "--port=0",
            f"--log-requests={where}",
            "--log-format=json",
            "--cache-dir=none",
        )
        async with proxy_process(*flags) as process:
            await ask(process.address, "/api", EXEC)
            process.signal(signal.SIGTERM)
            await process.finish()
    lines = [json.loads(line) for line in process.stderr.decode().splitlines()]
    own = [line for line in lines if line["event"] == "log"]
    assert [line["level"] for line in own] == ["warning", "info"]
    assert own[0]["message"] == "--cache-dir has no effect: the proxy caches nothing"
    assert own[1]["message"].endswith(f": context test, server {upstream.url}")
    assert [line["status"] for line in lines if line["event"] == "end"] == statuses


async def test_an_error_that_ends_the_proxy_is_json_where_its_log_is() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubelatch", "--demo", "--address=192.0.2.1"),
        "--log-format=json",
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    [line] = [json.loads(line) for line in stderr.splitlines()]
    assert line["level"] == "error"
    assert line["message"].startswith("listen tcp 192.0.2.1:8001: bind: ")


async def test_at_a_terminal_json_has_no_start_block_either(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        _, shown = await at_terminal(config(upstream), "--log-format=json", until="403")
    assert all(json.loads(line) for line in shown.splitlines())


@pytest.mark.parametrize("form", ["text", "json"])
async def test_what_fails_names_the_server(authority: Authority, tmp_path: Path, form: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{closed.getsockname()[1]}"
        config = kubeconfig(f"https://{server}", authority, user={"token": "t"})
        path = write(tmp_path / "config", config)
        flags = (f"--kubeconfig={path}", "--port=0", f"--log-format={form}")
        async with proxy_process(*flags) as process:
            await ask(process.address, "/api")
            process.signal(signal.SIGTERM)
            await process.finish()
    line = process.stderr.decode().splitlines()[-1]
    if form == "json":
        assert json.loads(line)["server"] == server
    else:
        assert f" cause=refused server={server} " in line


async def refused(address: str) -> None:
    """Wait until nobody listens there any more."""
    while True:
        try:
            (await Client.connect(address)).close()
        except OSError:
            return
        await asyncio.sleep(0)


@pytest.mark.parametrize("redirected", [False, True], ids=["at-it", "all-streams-redirected"])
async def test_a_closed_terminal_ends_the_proxy(
    authority: Authority, config: Callable[[ScriptedUpstream], str], redirected: bool
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        terminal = await Terminal.start("--port=0", config(upstream), redirected=redirected)
        line = await terminal.line()
        terminal.close()
        async with asyncio.timeout(20):
            assert await terminal.process.wait() == 0
        await refused(line.split()[-1])


async def test_a_reload_is_one_while_the_terminal_is_there_and_not_used(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        terminal = await Terminal.start("--port=0", config(upstream), redirected=True)
        line = await terminal.line()
        terminal.process.send_signal(signal.SIGHUP)
        await ask(line.split()[-1], "/api")
        terminal.process.terminate()
        assert await terminal.process.wait() == 0
        terminal.close()


async def test_a_hangup_that_is_ignored_stays_ignored(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    """As with nohup, in a window that is then closed."""
    command = ("/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-m", "kubelatch")
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        proxy_process(config(upstream), "--port=0", command=command) as proxy,
    ):
        ignored = re.search(
            r"SigIgn:\t(\w+)", Path(f"/proc/{proxy.process.pid}/status").read_text()
        )
        assert ignored is not None
        assert int(ignored[1], 16) & 1 << signal.SIGHUP - 1
        proxy.signal(signal.SIGHUP)
        await ask(proxy.address, "/api")


async def test_ctrl_c_says_what_it_waits_for_and_how_to_end_it(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async def never(connection: Connection) -> None:
        await connection.request()
        await connection.reader.read()

    async with ScriptedUpstream(never, authority) as upstream:
        terminal = await Terminal.start("--port=0", config(upstream))
        address = (await terminal.line()).split()[-1]
        async with await Client.connect(address) as log, await Client.connect(address) as get:
            await log.send(request("/api/v1/namespaces/a/pods/b/log?follow=true"))
            await get.send(request("/api"))
            await eventually(lambda: len(upstream.requests) == 2)
            terminal.type(b"\x03")
            await terminal.until(
                r"waiting for 1 request \(/api\), 1 followed log \(pods/log a/b\), "
                "for at most 25s; Ctrl-C again ends it at once\n"
            )
            terminal.type(b"\x03")
            assert await terminal.end() == 0


async def test_ctrl_c_says_nothing_if_there_is_nothing_to_wait_for(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        terminal = await Terminal.start("--port=0", config(upstream))
        address = (await terminal.line()).split()[-1]
        async with await Client.connect(address) as client:
            assert (await client.get("/api")).status == 200
            terminal.type(b"\x03")
            assert await terminal.end() == 0
    assert "waiting" not in terminal.shown
