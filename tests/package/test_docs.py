"""The documentation does what it says: its commands run, its links lead somewhere.

A block of commands is run here, in a home directory with a kubeconfig and the project's files,
or says in its first line why it is not. Two kinds of blocks are run line by line: those whose
commands serve until they are stopped, and those that ask a proxy on port 8001.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from _pytest.mark import ParameterSet

from kubelatch.config.commands import COMMANDS
from kubelatch.config.settings import FLAGS
from kubelatch.demo import DemoServer
from kubelatch.relay.states import TRANSITIONS
from tests.support.proxies import proxy_process

from .conftest import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Where names of network namespaces are nobody else's, and gone when it ends.
APART = "unshare --mount --propagation private"
_FENCE = re.compile(r"^```(sh\b[^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    name: str
    heading: str
    commands: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for number, found in enumerate(_FENCE.finditer(page.read_text()), start=1):
            yield Block(f"{page.relative_to(ROOT)}-{number}", found[1], found[2])


def lines(kind: str) -> list[ParameterSet]:
    """The single commands of the blocks of a kind."""
    return [
        pytest.param(line, id=f"{block.name}-{number}")
        for block in blocks()
        if block.heading == f"sh {kind}"
        for number, line in enumerate(block.commands.splitlines(), start=1)
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory in which the commands are there, and the project's files."""
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("bin/kubelatch", "bin/kubectl-latch", ".venv/bin/kubelatch"):
        script = tmp_path / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'proxy')!r})\n"
            "from kubelatch.cli.main import main\nmain()\n"
        )
        script.chmod(0o755)
    # What changes the machine, and is told to by nobody but its administrator.
    (tmp_path / "bin/sudo").write_text("#!/bin/sh\n")
    (tmp_path / "bin/sudo").chmod(0o755)
    for name in ("deploy", "docs", "examples", "proxy", "systemd",
                 "LICENSE", "README.md", "hatch_build.py", "pyproject.toml"):  # fmt: skip
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "deploy/components/allow-rules/rules.yaml", tmp_path / "role.yaml")
    (tmp_path / "secret").write_text("of at least some length")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    """That of somebody who has the commands on PATH; how pip reaches its index is theirs too."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_")) or name.lower().endswith("_proxy")
    }
    return kept | {
        "HOME": str(home),
        # Of most modules that are installed, nothing is imported.
        "PIP_NO_COMPILE": "1",
        "PATH": f"{home}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        **more,
    }


def held(commands: str) -> str:
    """The commands, where those after an exclamation mark have to fail: bash lets them succeed."""
    return re.sub(r"^! (.+)$", r"if \1; then exit 1; fi", commands, flags=re.MULTILINE)


def start(home: Path, commands: str, **more: str) -> subprocess.Popen[str]:
    """Start commands as at a prompt, with job control; see :func:`end`."""
    (home / "commands").write_text(f"set -e -m\n{held(commands)}\n")
    return subprocess.Popen(
        ["bash", "commands"],
        cwd=home, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(home, **more),
    )  # fmt: skip


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to what it has started: each job has a group, their session is this one's."""
    for stray in _session(process.pid):
        if stray != process.pid:
            os.kill(stray, number)


def run(home: Path, commands: str) -> str:
    """Run commands as at a prompt, and return what they printed."""
    addopts = f"-p no:cacheprovider -c {os.devnull} --rootdir={home} -W ignore"
    process = start(home, commands, PYTHONPATH=f"{ROOT}/proxy:{ROOT}", PYTEST_ADDOPTS=addopts)
    try:
        output, _ = process.communicate(timeout=40)
    finally:
        end(process, signal.SIGKILL)
        process.kill()
    assert process.returncode == 0, output
    return output


def serve_and_stop(home: Path, command: str) -> list[str]:
    """Run a command until it serves, stop it, and return what it printed."""
    process = start(home, command, KUBELATCH_PORT="0")
    assert process.stdout is not None
    printed = []
    with process.stdout:
        try:
            for line in process.stdout:
                printed.append(line)
                if line.startswith("Starting to serve on "):
                    end(process, signal.SIGTERM)
            assert process.wait(timeout=20) == 0, printed
        finally:
            end(process, signal.SIGKILL)
            process.kill()
    return printed


def _session(leader: int) -> list[int]:
    """The processes of a session; field 6 of proc(5)'s stat."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[3] == str(leader):
                found.append(int(stat.parent.name))
    return found


def need(commands: str, *more: str) -> None:
    for tool in ("kubectl", "curl", "bash", *more):
        if tool in commands and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=b.name) for b in blocks() if b.heading == "sh"]
)
async def test_the_commands_run(block: Block, home: Path) -> None:
    need(block.commands)
    if "plain_http" in block.commands:
        pytest.importorskip("requests")
        pytest.importorskip("httpx")
    async with DemoServer() as access:
        (home / ".kube").mkdir()
        (home / ".kube/config").write_text(yaml.safe_dump(access.kubeconfig()))
        await asyncio.to_thread(run, home, block.commands)


def lacking() -> str:
    """What commands of root lack here; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root"
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    for command, why in (
        (f"{APART} unshare --net true", "namespaces cannot be made here"),
        (f"{nobody} kubectl version --client", "nobody may not run kubectl here"),
    ):
        if subprocess.run(command.split(), check=False, capture_output=True).returncode:
            return why
    return ""


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=b.name) for b in blocks() if b.heading == "sh needs-root"]
)
async def test_the_commands_of_root_run(block: Block, home: Path) -> None:
    need(block.commands, "ip", "nsenter", "setpriv", "systemd-socket-activate")
    if why := lacking():
        pytest.skip(why)
    prepare = "mkdir -p /run/netns; mount -t tmpfs netns /run/netns; exec bash -e -m block"
    (home / "block").write_text(held(block.commands))
    async with DemoServer() as access:
        (home / ".kube").mkdir()
        (home / ".kube/config").write_text(yaml.safe_dump(access.kubeconfig()))
        await asyncio.to_thread(run, home, f"{APART} sh -c '{prepare}'")


# Installs from the package index, as test_install.py does.
@pytest.mark.timeout(180)
@pytest.mark.parametrize("command", lines("serves"))
async def test_the_commands_that_serve_do(command: str, home: Path) -> None:
    async with DemoServer() as access:
        (home / ".kube").mkdir()
        (home / ".kube/config").write_text(yaml.safe_dump(access.kubeconfig()))
        printed = await asyncio.to_thread(serve_and_stop, home, command)
    told = [line for line in printed if line.startswith("Starting to serve on 127.0.0.1:")]
    assert len(told) == (0 if "kubelatch check" in command else 1), printed


@pytest.mark.parametrize("sudo", [True, False], ids=["sudo", "no sudo"])
def test_packages_are_installed_with_sudo_where_there_is_one(tmp_path: Path, sudo: bool) -> None:
    """Minimal Debian has none, and whoever is there is root."""
    commands = [b.commands.split(" && ")[0] for b in blocks() if "apt-get update" in b.commands]
    assert len(commands) == 2
    for name in ("apt-get", "sudo") if sudo else ("apt-get",):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho {name} >> said\n[ $1 = apt-get ] && "$@"\n:\n'
        )
        (tmp_path / name).chmod(0o755)
    for command in commands:
        environ = {"PATH": str(tmp_path)}
        subprocess.run(["/bin/sh", "-c", command], check=True, cwd=tmp_path, env=environ)
    said = (tmp_path / "said").read_text().split()
    assert said == (["sudo", "apt-get"] if sudo else ["apt-get"]) * 4


@pytest.mark.parametrize("command", lines("needs-8001"))
async def test_the_commands_for_another_terminal_are_answered(command: str, home: Path) -> None:
    need(command)
    assert "localhost:8001" in command
    async with proxy_process("--demo", "--port=0") as proxy:
        command = command.replace("localhost:8001", proxy.address)
        if "watch=true" in command:
            # It has no end: what comes first will do.
            command = f"head -n 1 < <({command.partition(' #')[0]} 2>/dev/null)"
        output = await asyncio.to_thread(run, home, command)
    assert re.search(r"gitVersion|PodList|\bRunning\b|ADDED", output), output


def test_what_is_not_run_says_why() -> None:
    for block in blocks():
        kinds = r"sh( serves| needs-8001| needs-root| not-run: \w.{15,})?"
        assert re.fullmatch(kinds, block.heading), block


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_flags_that_are_named_exist(page: Path) -> None:
    """A long option after ``kubelatch`` or alone in backquotes is one of ours."""
    own = [flag for command in COMMANDS.values() for flag in command.flags]
    ours = {f"--{flag.name}" for flag in (*FLAGS, *own)}
    text = page.read_text()
    named = set(re.findall(r"`(--[a-z-]+)[=` ]", text))
    for line in text.splitlines():
        if re.match(r"(.*bin/)?kubelatch ", line):
            named |= set(re.findall(r"(?<= )--[a-z-]+", line.partition(" -- ")[0]))
    # Said of other programs.
    others = {"--flatten", "--flag", "--kubelatch-context", "--kubelatch-kubeconfig", "--init",
              "--write-docs"}  # fmt: skip
    assert named - others <= ours


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading of a page."""
    section = (ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def packages(*, files: bool) -> set[str]:
    """What there is at the top; *files*: single files too."""
    here = [path for path in (ROOT / "proxy/kubelatch").iterdir() if path.stem[:1] != "_"]
    return {path.stem for path in here if (path / "__init__.py").exists()
            or (files and path.suffix == ".py")}  # fmt: skip


def test_every_package_has_its_row() -> None:
    rows = table("docs/architecture.md", "Packages")
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(packages(files=True))


def test_every_package_has_its_tests() -> None:
    rows = table("CONTRIBUTING.md", "Tests")
    assert sorted(row[0].strip("`") for row in rows) == sorted(packages(files=False))
    named = re.findall(r"`((?:tests|proxy)/[^`]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_hooks_and_workflow_run_what_ci_runs() -> None:
    ci = (ROOT / ".ci/run").read_text()
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    for hook in config["repos"][0]["hooks"]:
        tool = hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude")
        assert re.search(rf"^\s*(\.venv/bin/)?{tool}\b", ci, re.MULTILINE), hook
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert {"run": ".ci/run"} in jobs["linux"]["steps"]


def test_the_table_of_states_is_that_of_the_code() -> None:
    drawn = {
        re.sub("`", "", state): dict(re.findall(r"`(\w+)` → `(\w+)`", ways))
        for state, ways in table("docs/architecture.md", "The states of a client's connection")
    }
    assert drawn == {
        state.name: {event.name: following.name for event, following in ways.items()}
        for state, ways in TRANSITIONS.items()
    }


def test_what_the_architecture_names_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "proxy/kubelatch").rglob("*.py"))
    drawn = re.search(r"^App .*?^```", text, re.MULTILINE | re.DOTALL)
    assert drawn
    # In the tree: capitalized words before the explanation, which two spaces set off.
    names = {
        name
        for line in drawn[0].splitlines()
        for name in re.findall(r"\b[A-Z]\w+", line.lstrip("│├└─ ").partition("  ")[0])
    }
    assert len(names) > 15
    for name in names | set(re.findall(r"`([A-Z]\w+[a-z]\w*)(?:\.\w+)?`", text)):
        assert re.search(rf"^class {name}\b", code, re.MULTILINE), name
    for name in re.findall(r"`[A-Z]\w+\.(\w+)`", text):
        assert re.search(rf"\b(def {name}\(|self\.{name}\b)", code), name
    for path in re.findall(r"`((?:\w+/)+\w+(?:\.py)?|\w+\.py)`", text):
        places = (ROOT / path, ROOT / "proxy/kubelatch" / path)
        assert any(place.exists() for place in places), path


def test_decisions_are_numbered_dated_and_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    named = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+?)(?: \(superseded\))? \| (\S+) \|$",
                       index, re.MULTILINE)  # fmt: skip
    found = []
    for page in sorted((ROOT / "docs/decisions").glob("0*.md")):
        head = re.match(r"# (\d{4})\. (.+)\n\nDate: ([\d-]{10})", page.read_text())
        assert head, page
        found.append((head[1], page.name, head[2], head[3]))
        assert re.fullmatch(rf"{head[1]}(-[a-z0-9]+)+\.md", page.name)
    assert named == found
    assert [int(number) for number, *_ in found] == list(range(1, len(found) + 1))


def test_variables_that_are_named_exist() -> None:
    ours = {flag.variable for flag in FLAGS if flag.env}
    # Of the command of `kubelatch run`, and of the build.
    ours |= {"KUBELATCH_URL", "KUBELATCH_CA_FILE", "KUBELATCH_COMPILE"}
    places = [*PAGES, ROOT / "Dockerfile", *(ROOT / "systemd").rglob("*.*"),
              *(ROOT / "deploy").rglob("*.yaml")]  # fmt: skip
    for place in places:
        if place.is_file():
            assert set(re.findall(r"KUBELATCH_[A-Z_]+[A-Z]", place.read_text())) <= ours, place
