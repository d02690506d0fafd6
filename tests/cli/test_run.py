"""``kubelatch run``, as a process."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from kubelatch.cli.run import parse_run
from kubelatch.config.settings import FLAGS
from kubelatch.errors import UsageError
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.terminal import Terminal
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .processes import ROOT, Config, finish, kubelatch, start

KUBECTL = Path(sys.executable).parent / "kubectl"


async def test_the_command_reaches_the_api_server(authority: Authority, config: Config) -> None:
    get = (
        "import os, urllib.request as u; print(u.urlopen(os.environ['KUBELATCH_URL']+'/x').read())"
    )
    async with ScriptedUpstream(answering(ok(b"hello")), authority) as upstream:
        code, out, err = await kubelatch("run", config(upstream), "--", sys.executable, "-c", get)
    assert (code, out, err) == (0, "b'hello'\n", "")
    assert upstream.requests[0].values("authorization") == ["Bearer t"]


async def test_the_command_gets_nothing_that_is_the_proxys_own(
    authority: Authority, tmp_path: Path
) -> None:
    """Secrets, ways around the proxy, and what a service manager said to the proxy alone."""
    ours = {flag.variable: "" for flag in FLAGS if flag.env}
    ours |= {
        "KUBELATCH_TOKEN": "t",
        "KUBELATCH_PASSWORD": "",
        "KUBELATCH_V": "0",
        "KUBELATCH_CONTEXT": "test",
        "NOTIFY_SOCKET": str(tmp_path / "none"),
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": "1",
        "CREDENTIALS_DIRECTORY": "/nowhere",
        "LISTEN_PID": "1",
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "x",
    }
    show = "import os, json; print(json.dumps([dict(os.environ), os.listdir('/proc/self/fd')]))"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        path = write(tmp_path / "config", kubeconfig(upstream.url, authority))
        ours["KUBELATCH_KUBECONFIG"] = str(path)
        code, out, err = await kubelatch(
            "run", "--", sys.executable, "-c", show, KUBELATCHED="yes", OTHER="yes", **ours
        )
    assert (code, err) == (0, "")
    environ, descriptors = json.loads(out)
    assert ours.keys() & environ.keys() == set()
    assert {"KUBELATCHED", "OTHER", "KUBELATCH_URL", "KUBECONFIG", "PATH"} <= environ.keys()
    assert environ["KUBECONFIG"] != str(path)
    # The last is that of the directory that is listed.
    assert len(descriptors) == 4


async def test_kubectl_needs_to_know_nothing(tmp_path: Path) -> None:
    code, out, err = await kubelatch(
        *("run", "--demo", "--", str(KUBECTL), "get", "pods", "-A", "-o", "name"),
        HOME=str(tmp_path),
    )
    assert (code, err) == (0, "")
    assert "pod/" in out


async def test_the_kubeconfig_keeps_names_and_is_private(
    authority: Authority, config: Config
) -> None:
    show = "ls -l $KUBECONFIG; ls -ld $(dirname $KUBECONFIG); echo $KUBELATCH_URL; cat $KUBECONFIG"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        code, out, _ = await kubelatch("run", config(upstream), "--", "sh", "-c", show)
    file, directory, url, content = out.split("\n", 3)
    assert code == 0
    assert file.startswith("-rw-------")
    assert directory.startswith("drwx------")
    shown = json.loads(content)
    # The second is what @kubernetes/client-node wants of an http server.
    cluster = {"server": url, "insecure-skip-tls-verify": True}
    assert shown["clusters"][0]["cluster"] == cluster
    assert shown["current-context"] == shown["contexts"][0]["name"] == "test"
    assert shown["contexts"][0]["context"]["namespace"] == "shop"
    assert shown["users"][0]["user"] == {}
    # Gone, with its directory, when the command is.
    assert not Path(file.split()[-1]).parent.exists()


async def test_caches_of_the_command_go_with_it(tmp_path: Path) -> None:
    """kubectl's name host and port alone: the next proxy on this port is another cluster's."""
    code, out, err = await kubelatch(
        "run", "--demo", "--", "sh", "-c", "kubectl get pods >/dev/null; echo $KUBECACHEDIR/*",
        HOME=str(tmp_path), KUBECACHEDIR=str(tmp_path / "shared"),
    )  # fmt: skip
    assert (code, err) == (0, "")
    caches = [Path(path) for path in out.split()]
    assert {path.name for path in caches} == {"discovery", "http"}
    assert not any(path.exists() for path in caches)
    assert list(tmp_path.iterdir()) == []


async def test_a_signal_that_is_ignored_is_ignored_by_the_command(
    authority: Authority, config: Config
) -> None:
    """As with nohup."""
    script = "grep SigIgn /proc/$$/status"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-m", "kubelatch"),
            *("run", config(upstream), "--", "/bin/sh", "-c", script),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert int(out.split()[-1], 16) & 1 << signal.SIGHUP - 1


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        pytest.param("exit 0", 0, id="success"),
        pytest.param("exit 7", 7, id="failure"),
        pytest.param("kill -TERM $$", 128 + 15, id="ended by a signal"),
        pytest.param("kill -KILL $$", 128 + 9, id="killed"),
    ],
)
async def test_the_exit_code_is_the_commands(
    authority: Authority, config: Config, script: str, wanted: int
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        code, out, err = await kubelatch("run", config(upstream), "--", "sh", "-c", script)
    assert (code, out, err) == (wanted, "", "")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT]
)
async def test_signals_are_the_commands(
    authority: Authority, config: Config, number: signal.Signals, loop: str
) -> None:
    name = number.name.removeprefix("SIG")
    # The shell looks at signals between two commands.
    script = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        process = await start("run", config(upstream), f"--loop={loop}", "--", "sh", "-c", script)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        code, out, err = await finish(process)
    assert (code, out, err) == (5, f"got {name}\n", "")


async def test_a_signal_while_a_credential_is_waited_for_ends_it(
    tmp_path: Path, authority: Authority
) -> None:
    running, ran = tmp_path / "running", tmp_path / "ran"
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\ntouch {running}\nexec sleep 60\n")
    plugin.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        path = write(tmp_path / "config", kubeconfig(upstream.url, authority, user=user))
        process = await start("run", f"--kubeconfig={path}", "--", "touch", str(ran))
        async with asyncio.timeout(10):
            while not running.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert await finish(process) == (128 + 15, "", "")
    assert not ran.exists()


async def test_an_interrupt_from_the_terminal_reaches_the_command_once(
    authority: Authority, config: Config
) -> None:
    """The terminal sends it to every process in the foreground, the command included."""
    count = (
        "import signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
        "print('ready', flush=True)\n"
        "while not got: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "print('interrupts', len(got), flush=True)\n"
    )
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        arguments = ("run", config(upstream), "--", sys.executable, "-c", count)
        terminal = await Terminal.start(*arguments, whole=True)
        await terminal.until("ready")
        terminal.type(b"\x03")
        assert await terminal.end() == 0
    assert "interrupts 1" in terminal.shown


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        pytest.param("no-such-command-here", 127, "command not found", id="not there"),
        pytest.param("./no/such/command", 127, "command not found", id="no such path"),
        pytest.param("/etc/passwd", 126, "not executable", id="not executable"),
        pytest.param("/etc", 126, "not executable", id="a directory"),
        pytest.param("plain-file", 126, "not executable", id="not executable on PATH"),
    ],
)
async def test_a_command_that_cannot_be_run(
    tmp_path: Path, authority: Authority, config: Config, command: str, code: int, words: str
) -> None:
    """As a shell has it."""
    (tmp_path / "plain-file").touch()
    path = f"{os.environ['PATH']}:{tmp_path}"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        ended, out, err = await kubelatch("run", config(upstream), "--", command, PATH=path)
    assert (ended, out) == (code, "")
    assert err.startswith("error: ")
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param((), "after two dashes", id="no command"),
        pytest.param(("--",), "after two dashes", id="nothing behind the dashes"),
        pytest.param(("true",), "after two dashes", id="no dashes"),
        pytest.param(("--nosuch", "--", "true"), "unknown flag: --nosuch", id="unknown flag"),
        pytest.param(("--unix-socket=/s", "--", "true"), "no use for --unix-socket", id="socket"),
        pytest.param(
            ("--client-token-file=/f", "--", "true"), "no use for --client-token", id="token"
        ),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_run(arguments, {})


async def test_bad_usage_is_one_line_and_exit_code_2() -> None:
    code, out, err = await kubelatch("run", "true")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "after two dashes" in err


async def test_what_follows_the_dashes_is_the_commands(
    authority: Authority, config: Config
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        code, out, _ = await kubelatch("run", config(upstream), "--", "echo", "--port", "--", "-h")
    assert (code, out) == (0, "--port -- -h\n")


async def test_without_a_credential_the_command_is_not_run(
    tmp_path: Path, authority: Authority
) -> None:
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "false",
            "interactiveMode": "Never",
        }
    }
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        path = write(tmp_path / "config", kubeconfig(upstream.url, authority, user=user))
        ran = tmp_path / "ran"
        code, out, err = await kubelatch("run", f"--kubeconfig={path}", "--", "touch", str(ran))
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert not ran.exists()


async def test_a_watch_that_is_left_behind_does_not_delay_the_end(
    authority: Authority, config: Config
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await connection.reader.read()

    leave = (
        "import os, socket\n"
        "host, port = os.environ['KUBELATCH_URL'][7:].split(':')\n"
        "if os.fork() == 0:\n"
        "    s = socket.create_connection((host, int(port)))\n"
        "    s.sendall(b'GET /api/v1/pods?watch=1 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "    s.recv(100)\n"
        "    print('watching', flush=True)\n"
        "    s.recv(100)\n"
        "    os._exit(0)\n"
        "os.read(0, 1)\n"
    )
    async with ScriptedUpstream(script, authority) as upstream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kubelatch", "run", config(upstream), "--"),
            *(sys.executable, "-c", leave),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert await process.stdout.readline() == b"watching\n"
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        await process.communicate()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_who_reads_the_output_does_not_wait_for_what_has_let_go_of_it(
    authority: Authority, config: Config, loop: str
) -> None:
    """A daemon that closes its standard streams, as daemons do."""
    leave = "sleep 60 <&- >&- 2>&- & echo $!"
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        code, out, err = await kubelatch(
            "run", config(upstream), f"--loop={loop}", "--", "sh", "-c", leave
        )
    os.kill(int(out), signal.SIGKILL)
    assert (code, err) == (0, "")


async def test_requests_do_not_go_astray_through_a_proxy_for_the_world(
    authority: Authority, config: Config
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        code, out, _ = await kubelatch(
            *("run", config(upstream), "--", "sh", "-c", "echo $NO_PROXY $no_proxy"),
            HTTP_PROXY="http://proxy.example:3128",
            NO_PROXY="corp.example",
        )
    assert (code, out) == (0, "corp.example,127.0.0.1 127.0.0.1\n")
