"""The documentation does what it says: its commands run, its links lead somewhere.

A block of commands is either run here, in a home directory with a kubeconfig, or says in its
first line why it is not.
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

from proxy.demo import DemoServer
from proxy.settings import FLAGS

from .conftest import ROOT

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
_FENCE = re.compile(r"^```(sh\b[^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    name: str
    heading: str
    commands: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for number, found in enumerate(_FENCE.finditer(page.read_text()), start=1):
            yield Block(f"{page.name}-{number}", found[1], found[2])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory in which the commands are there, and the project's files."""
    (tmp_path / "bin").mkdir()
    for name in ("kubelatch", "kubectl-latch"):
        script = tmp_path / "bin" / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from proxy.cli import main\nmain()\n"
        )
        script.chmod(0o755)
    for name in ("deploy", "examples", "systemd"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(home: Path, commands: str) -> str:
    """Run commands as at a prompt, and return what they printed."""
    # From a file and with job control: blocks start and end processes in the background.
    (home / "commands").write_text(f"set -e -m\n{commands}")
    process = subprocess.Popen(
        ["bash", "commands"],
        cwd=home, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            "HOME": str(home),
            "PATH": f"{home}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTEST_ADDOPTS": f"-p no:cacheprovider -c {os.devnull} --rootdir={home} -W ignore",
        },
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=40)
    finally:
        # Job control gives each job a group of its own; their session is this one's.
        for stray in _session(process.pid):
            os.kill(stray, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


def _session(leader: int) -> list[int]:
    """The processes of a session; field 6 of proc(5)'s stat."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[3] == str(leader):
                found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=b.name) for b in blocks() if "not-run" not in b.heading]
)
async def test_the_commands_run(block: Block, home: Path) -> None:
    for tool in ("kubectl", "curl", "bash"):
        if tool in block.commands and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if "plain_http" in block.commands:
        pytest.importorskip("requests")
        pytest.importorskip("httpx")
    async with DemoServer() as access:
        (home / ".kube").mkdir()
        (home / ".kube/config").write_text(yaml.safe_dump(access.kubeconfig()))
        await asyncio.to_thread(run, home, block.commands)


def test_what_is_not_run_says_why() -> None:
    for block in blocks():
        assert block.heading == "sh" or re.fullmatch(r"sh not-run: \w.{20,}", block.heading), block


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_flags_that_are_named_exist(page: Path) -> None:
    """A long option after ``kubelatch`` or alone in backquotes is one of ours."""
    ours = {f"--{flag.name}" for flag in FLAGS} | {"--timeout"}
    text = page.read_text()
    named = set(re.findall(r"`(--[a-z-]+)[=` ]", text))
    for line in text.splitlines():
        if re.match(r"kubelatch ", line):
            named |= set(re.findall(r"(?<= )--[a-z-]+", line.partition(" -- ")[0]))
    # Said of other programs.
    others = {"--flatten", "--flag", "--kubelatch-context", "--kubelatch-kubeconfig", "--init"}
    assert named - others <= ours


def test_variables_that_are_named_exist() -> None:
    # The last one is given to the command of `kubelatch run`.
    ours = {flag.variable for flag in FLAGS if flag.env} | {"KUBELATCH_URL"}
    places = [*PAGES, ROOT / "Dockerfile", *(ROOT / "systemd").rglob("*.*"),
              *(ROOT / "deploy").rglob("*.yaml")]  # fmt: skip
    for place in places:
        if place.is_file():
            assert set(re.findall(r"KUBELATCH_[A-Z_]+[A-Z]", place.read_text())) <= ours, place
