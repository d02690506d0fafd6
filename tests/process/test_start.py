"""What it takes to start, what is said when that is wrong, and what must never be said."""

import asyncio
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubelatch.config.settings import FLAGS, parse
from kubelatch.errors import UsageError
from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process
from tests.support.upstream import ScriptedUpstream

from .running import COMMAND, refused, refused_by_both, run

SECRET = "s3cr3t-v4lu3"
# A server and a token, and a socket in no directory: an end right behind the notes.
_NOWHERE = ("--server=https://127.0.0.1:1", "--token=t", "-u/nonexistent/s")


def _without(key: str) -> dict[str, Any]:
    config = kubeconfig("https://127.0.0.1:1", user={"token": "t"})
    del config[key]
    return config


KUBECONFIGS: dict[str, str | dict[str, Any]] = {
    "empty file": "",
    "not YAML": "{a: [",
    "not a mapping": "- a\n- b\n",
    "binary": "\0\1\2",
    "nothing in it": "{}",
    "no context chosen": _without("current-context"),
    "no contexts": _without("contexts"),
    "no clusters": _without("clusters"),
    "no users": _without("users"),
    "no server": kubeconfig("", user={"token": "t"}),
    "server is no URL": kubeconfig("ht!tp://x y", user={"token": "t"}),
    "server of another scheme": kubeconfig("ftp://127.0.0.1", user={"token": "t"}),
    "CA missing": kubeconfig(
        "https://127.0.0.1:1",
        user={"token": "t"},
        cluster={"certificate-authority": "/nonexistent/ca.crt"},
    ),
    "CA is no certificate": kubeconfig(
        "https://127.0.0.1:1",
        user={"token": "t"},
        cluster={"certificate-authority-data": "bm90IGEgY2VydGlmaWNhdGU="},
    ),
    "CA is no base64": kubeconfig(
        "https://127.0.0.1:1",
        user={"token": "t"},
        cluster={"certificate-authority-data": "%%%"},
    ),
    "client certificate missing": kubeconfig(
        "https://127.0.0.1:1",
        user={"client-certificate": "/nonexistent/c", "client-key": "/nonexistent/k"},
    ),
    "key is no key": kubeconfig(
        "https://127.0.0.1:1",
        user={"client-certificate-data": "YQ==", "client-key-data": "YQ=="},
    ),
    "plugin of no version": kubeconfig(
        "https://127.0.0.1:1", user={"exec": {"command": "true", "apiVersion": "v0"}}
    ),
    "auth provider of old": kubeconfig(
        "https://127.0.0.1:1", user={"auth-provider": {"name": "gcp"}}
    ),
}


@pytest.mark.parametrize("content", KUBECONFIGS.values(), ids=KUBECONFIGS)
async def test_a_kubeconfig_that_cannot_be_used_is_one_line(
    tmp_path: Path, content: str | dict[str, Any]
) -> None:
    path = tmp_path / "config"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    ended = await refused(f"--kubeconfig={path}", "--port=0")
    assert ended.code == 2
    assert len(ended.error) > len("error: ")


@pytest.mark.parametrize(
    "flag",
    [
        "--kubeconfig=/nonexistent/config",
        "--kubeconfig=/",
        "--context=none",
        "--cluster=none",
        "--user=none",
        "--certificate-authority=/nonexistent/ca.crt",
        "--client-certificate=/nonexistent/c",
        "--as-group=g",
        "--request-timeout=soon",
        "--www-prefix=nonsense/%",
        "--loop=none",
        "--nosuch",
    ],
)
async def test_a_flag_that_cannot_be_used_is_one_line(config: str, flag: str) -> None:
    ended = await refused(config, "--port=0", "--www=/tmp", flag)
    assert ended.code == 2
    assert ended.error


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("--kubeconfig=/nonexistent/config",), id="kubeconfig"),
        pytest.param(("--nosuch",), id="flag"),
        pytest.param((*_NOWHERE[:2], "--address=192.0.2.1"), id="listener"),
    ],
)
async def test_the_command_prints_one_line_and_exits(flags: tuple[str, ...]) -> None:
    ended = await run("--port=0", *flags, stdin_open=True)
    output = await refused("--port=0", *flags)
    assert (ended.code, ended.out, ended.error) == (output.code, "", output.error)


@pytest.mark.parametrize("flag", ["--context=none", "--cluster=none", "--user=none"])
async def test_names_that_do_not_exist_are_told_in_kubectls_words(config: str, flag: str) -> None:
    ours, theirs = await refused_by_both(config, "--port=0", flag)
    assert ours.error.startswith(theirs.error)


async def test_no_kubeconfig_at_all_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    ended = await run("--port=0", home=tmp_path, stdin_open=True)
    assert (ended.code, ended.out) == (2, "")
    assert str(tmp_path / ".kube" / "config") in ended.error
    assert "kubelatch --demo" in ended.error


async def test_nothing_is_ever_asked_for(
    tmp_path: Path, authority: Authority, upstream: ScriptedUpstream
) -> None:
    path = write(tmp_path / "c", kubeconfig(upstream.url, authority))
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        f"--kubeconfig={path}",
        "--port=0",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"Starting to serve on ")
    process.terminate()
    await process.communicate()


async def status_through(
    config: dict[str, Any], directory: Path, *flags: str
) -> tuple[Answer, str]:
    """The answer to one request, and all that was said on stderr."""
    path = write(directory / "c", config)
    async with (
        proxy_process(f"--kubeconfig={path}", "--port=0", *flags) as proxy,
        await Client.connect(proxy.address) as client,
    ):
        answer = await client.get("/api")
        proxy.process.terminate()
        await proxy.finish()
    return answer, proxy.stderr.decode()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("fault", ["refused", "unresolvable", "another CA", "another name"])
async def test_an_api_server_out_of_reach_is_a_status_with_its_cause(
    tmp_path: Path,
    authority: Authority,
    upstream: ScriptedUpstream,
    closed_port: int,
    fault: str,
) -> None:
    user = {"token": "t"}
    config, output = {
        "refused": (
            kubeconfig(f"https://127.0.0.1:{closed_port}", authority, user=user),
            "refused",
        ),
        "unresolvable": (
            kubeconfig("https://no.such.host.invalid:6443", authority, user=user),
            "no.such.host.invalid",
        ),
        "another CA": (kubeconfig(upstream.url, Authority(), user=user), "certificate"),
        "another name": (
            kubeconfig(
                upstream.url, authority, user=user, cluster={"tls-server-name": "x.example.test"}
            ),
            "x.example.test",
        ),
    }[fault]
    answer, stderr = await status_through(config, tmp_path)
    status = json.loads(answer.body)
    assert (answer.status, status["kind"], status["code"]) == (502, "Status", 502)
    assert output in status["message"]
    assert status["details"]["causes"][0]["reason"]
    assert "Traceback" not in stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert not upstream.requests


async def test_environment_sets_flags(config: str) -> None:
    path = config.partition("=")[2]
    async with (
        proxy_process(
            environ={
                "KUBELATCH_KUBECONFIG": path,
                "KUBELATCH_PORT": "0",
                "KUBELATCH_REJECT_PATHS": "^/api",
                "KUBELATCH_DISABLE_FILTER": "false",
            }
        ) as proxy,
        await Client.connect(proxy.address) as client,
    ):
        assert (await client.get("/api")).status == 403


async def test_flags_beat_the_environment_and_empty_is_unset(config: str) -> None:
    async with (
        proxy_process(
            config,
            "--port=0",
            "--reject-paths=",
            environ={
                "KUBELATCH_PORT": "99999",
                "KUBELATCH_REJECT_PATHS": "^/api",
                "KUBELATCH_AS": "",
            },
        ) as proxy,
        await Client.connect(proxy.address) as client,
    ):
        assert (await client.get("/api")).status == 200


async def test_kubeconfig_variable_is_kubectls(config: str) -> None:
    path = config.partition("=")[2]
    async with (
        proxy_process("--port=0", environ={"KUBECONFIG": path}) as proxy,
        await Client.connect(proxy.address) as client,
    ):
        assert (await client.get("/api")).status == 200


async def test_a_bad_variable_is_named() -> None:
    ended = await run(KUBELATCH_PORT="many")
    assert (ended.code, ended.out) == (2, "")
    assert '"many"' in ended.error
    assert "KUBELATCH_PORT" in ended.error


async def test_flags_without_effect_say_so() -> None:
    ignored = [flag for flag in FLAGS if flag.ignored]
    assert ignored
    values = {str: "a", bool: "true", float: "5s"}
    ended = await run(
        *_NOWHERE, *(f"--{flag.name}={values[type(flag.default)]}" for flag in ignored)
    )
    assert ended.code == 1
    for flag in ignored:
        assert f"--{flag.name} has no effect: {flag.ignored}" in ended.err


@pytest.mark.parametrize("level", [0, 10])
async def test_every_level_of_kubectl_is_taken(level: int) -> None:
    assert [parse([f"-v={n}"], {})["verbosity"] for n in range(11)] == list(range(11))
    ended = await run(f"-v={level}", *_NOWHERE)
    assert ended.code == 1
    assert "listen unix" in ended.err


async def test_help_tells_of_every_flag() -> None:
    ended = await run("--help")
    assert (ended.code, ended.err) == (0, "")
    for flag in FLAGS:
        assert re.search(rf"--{re.escape(flag.name)}\b", ended.out), flag.name


@pytest.mark.parametrize("flag", ["--help", "-h", "--version"])
async def test_help_and_version_exit(flag: str) -> None:
    ended = await run(flag, "--kubeconfig=/nonexistent/config")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out


HEAVY = (
    *("aiohttp", "asyncio", "cryptography", "yaml", "re2", "uvloop", "ssl", "httptools"),
    # A third of the time of --help.
    *("dataclasses", "inspect", "pathlib"),
)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["completion", "bash"], ["--nosuch"]], ids=str
)
async def test_help_version_and_bad_usage_load_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys, atexit\n"
        "from kubelatch.cli.main import main\n"
        f"atexit.register(lambda: print('LOADED', *[n for n in {HEAVY} if n in sys.modules]))\n"
        "main(sys.argv[1:])\n"
    )
    ended = await run(*arguments, command=(sys.executable, "-c", script))
    assert ended.out.splitlines()[-1] == "LOADED"


# What has been loaded when it serves; then it ends.
LOADED = """
import os, sys, signal
from kubelatch.cli import main as cli
def announce(name):
    print(*(name for name in sys.argv.pop().split(",") if name in sys.modules), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
cli._announce = announce
cli.main(sys.argv[1:-1])
"""


async def test_serving_without_need_of_it_loads_no_cryptography_nor_aiohttps_client(
    config: str,
) -> None:
    # 190 ms, for a kubeconfig that holds nothing but a token; aiohttp's applications, 10; and its
    # client 60, on any machine.
    heavy = "aiohttp.client,aiohttp.web,cryptography,kubelatch.demo.boot"
    ended = await run(config, "--port=0", heavy, command=(sys.executable, "-c", LOADED))
    assert (ended.code, ended.out) == (0, "\n"), ended


async def test_nothing_that_can_be_served_loads_aiohttps_client(tmp_path: Path) -> None:
    flags = (
        *("--demo", "--port=0", f"--www={tmp_path}", "--admin-address=127.0.0.1:0", "--inspect"),
        *("--ask", "--contexts=all", "--service-hosts=all", f"--write-rules={tmp_path / 'r'}"),
    )
    looked = "aiohttp.client,aiohttp.web"
    ended = await run(*flags, looked, command=(sys.executable, "-c", LOADED))
    assert (ended.code, ended.out) == (0, "aiohttp.web\n"), ended


IDENTITIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "token by flag": ((f"--token={SECRET}",), {}),
    "password by flag": (("--username=u", f"--password={SECRET}"), {}),
    "token of kubeconfig": ((), {"token": SECRET}),
    "password of kubeconfig": ((), {"username": "u", "password": SECRET}),
    "token of a plugin": (
        (),
        {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": "echo",
                "args": [
                    json.dumps(
                        {
                            "apiVersion": "client.authentication.k8s.io/v1",
                            "kind": "ExecCredential",
                            "status": {"token": SECRET},
                        }
                    )
                ],
                "interactiveMode": "Never",
            }
        },
    ),
}


@pytest.mark.parametrize(("flags", "user"), IDENTITIES.values(), ids=IDENTITIES)
async def test_a_secret_is_never_said(
    tmp_path: Path,
    authority: Authority,
    upstream: ScriptedUpstream,
    flags: tuple[str, ...],
    user: dict[str, Any],
) -> None:
    path = write(tmp_path / "c", kubeconfig(upstream.url, authority, user=user))
    async with (
        proxy_process(f"--kubeconfig={path}", "--port=0", "-v=10", *flags) as proxy,
        await Client.connect(proxy.address) as client,
        await Client.connect(proxy.address) as other,
    ):
        answers = [
            await client.get("/api"),
            await client.get("/api/v1/pods/a/exec"),
            await client.get("/a%20b"),
            await client.get("/api", "Connection: Upgrade", "Upgrade: websocket"),
        ]
        await upstream.stop()
        answers.append(await other.get("/api"))
        proxy.process.terminate()
        await proxy.finish()
    assert answers[0].status == 200
    assert upstream.requests[0].values("authorization")
    assert [answer.status for answer in answers[1:]] == [403, 200, 502, 502]
    output = b"".join(answer.head + answer.body for answer in answers)
    assert SECRET.encode() not in proxy.stdout + proxy.stderr + output


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((f"--token={SECRET}", "--username=u", "--password=p"), id="two methods"),
        pytest.param((f"--token={SECRET}\n",), id="token with a line end"),
        pytest.param((f"--password={SECRET}", "--username=u", "--nosuch"), id="bad usage"),
    ],
)
async def test_a_secret_is_not_said_when_it_cannot_be_used(flags: tuple[str, ...]) -> None:
    ended = await run(_NOWHERE[0], _NOWHERE[2], *flags)
    assert ended.code != 0
    assert SECRET not in ended.out + ended.err


def service_links(name: str, port: int, protocol: str = "tcp") -> dict[str, str]:
    """What the kubelet tells every pod of a Service (pkg/kubelet/envvars/envvars.go)."""
    prefix, host = name.upper().replace("-", "_"), "10.96.7.7"
    url = f"{protocol}://{host}:{port}"
    link = f"{prefix}_PORT_{port}_{protocol.upper()}"
    return {
        f"{prefix}_SERVICE_HOST": host,
        f"{prefix}_SERVICE_PORT": str(port),
        f"{prefix}_SERVICE_PORT_HTTP": str(port),
        f"{prefix}_PORT": url,
        link: url,
        f"{link}_PROTO": protocol,
        f"{link}_PORT": str(port),
        f"{link}_ADDR": host,
    }


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_a_service_of_any_name_is_no_obstacle(protocol: str) -> None:
    for name in ("kubelatch", *(f"kubelatch-{flag.name}" for flag in FLAGS), "kubelatch-no-flag"):
        assert parse([], service_links(name, 8001, protocol)) == parse([], {}), name


def test_a_service_with_an_ipv6_address_is_no_obstacle() -> None:
    environ = {"KUBELATCH_PORT": "tcp://[fd00::7]:8001", "KUBELATCH_SERVICE_HOST": "fd00::7"}
    assert parse([], environ) == parse([], {})


@pytest.mark.parametrize("text", ["tcp:", "http://10.96.7.7:8001", "many"])
def test_what_no_service_sets_is_still_told_of(text: str) -> None:
    with pytest.raises(UsageError, match=r"\$KUBELATCH_PORT"):
        parse([], {"KUBELATCH_PORT": text})
    assert parse([], {"KUBELATCH_ADMIN_PORT": text})["notes"] == (
        "$KUBELATCH_ADMIN_PORT has no effect: it is the variable of no flag; "
        "did you mean $KUBELATCH_ADMIN_ADDRESS?",
    )
