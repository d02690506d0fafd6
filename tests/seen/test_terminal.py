"""What a person at a terminal is shown, and what everybody else is not."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from kubelatch.assembly import build_generation, load_configuration
from kubelatch.console import greeting
from kubelatch.kubeconfig import DISK, SeenFiles
from kubelatch.settings import from_values, parse
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process
from tests.support.upstream import ScriptedUpstream, answering, ok

from .terminals import Terminal

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
    assert rows["next"] == f"curl http://{address}/version, or kubelatch "
    assert re.search(r"\x1b\[32m200\x1b\[0m .* get .* GET /api", log)
    assert re.search(r"\x1b\[33m403\x1b\[0m .* get pods/exec .* rule=reject-paths", log)


@pytest.mark.parametrize(
    ("address", "flags"),
    [("/run/a.sock", "--unix-socket /run/a.sock"), ("a", "--unix-socket a"),
     ("@a", "--abstract-unix-socket a")],
)  # fmt: skip
def test_a_person_is_told_how_to_ask_a_unix_socket(
    address: str, flags: str, tmp_path: Path, authority: Authority
) -> None:
    path = write(tmp_path / "config", kubeconfig("https://127.0.0.1:1", authority))
    settings = from_values(parse([f"--kubeconfig={path}"], {}))
    config = load_configuration(settings, {}, SeenFiles(DISK))
    status = build_generation(config, settings, {}).credentials.describe()
    shown = greeting(settings, config, status, name=address, unix=True, admin="")
    assert f"curl {flags} http://localhost/version, or" in shown


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
async def test_colours_can_be_declined(
    authority: Authority, config: Callable[[ScriptedUpstream], str], environ: dict[str, str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        _, shown = await at_terminal(config(upstream), until="reject-paths", environ=environ)
    assert "\x1b" not in shown
    assert "GET /api " in shown


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
    assert "GET /api " not in shown


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


async def test_json_on_standard_error_is_nothing_but_json(
    authority: Authority, config: Callable[[ScriptedUpstream], str]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        flags = (config(upstream), "--port=0", "--log-requests=-", "--log-format=json")
        async with proxy_process(*flags) as process:
            await ask(process.address, "/api", EXEC)
            process.signal(signal.SIGTERM)
            await process.finish()
    told = [json.loads(line) for line in process.stderr.decode().splitlines()]
    assert [each["status"] for each in told] == [200, 403]
