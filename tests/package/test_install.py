"""The wheel, and what people get who install it."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from kubelatch import __version__
from kubelatch.manual import man_page

from .conftest import ROOT

pytestmark = pytest.mark.timeout(180)


def run(*words: str | Path, environ: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        words, check=False, capture_output=True, text=True, env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_wheel_holds_what_it_should_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    stem = f"kubelatch-{__version__}"
    assert top == {"kubelatch", f"{stem}.dist-info", f"{stem}.data"}
    share = f"{stem}.data/data/share"
    for name in (
        "kubelatch/py.typed",
        f"{stem}.dist-info/licenses/LICENSE",
        f"{share}/man/man1/kubelatch.1",
        f"{share}/bash-completion/completions/kubelatch",
        f"{share}/fish/vendor_completions.d/kubelatch.fish",
        f"{share}/zsh/site-functions/_kubelatch",
    ):
        assert name in names
    sources = {str(path.relative_to(ROOT / "proxy")) for path in (ROOT / "proxy").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


def test_the_metadata_is_complete(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = Parser().parsestr(
        archive.read(f"kubelatch-{__version__}.dist-info/METADATA").decode()
    )
    assert metadata["Name"] == "kubelatch"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Summary"]
    assert metadata["Author"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()


def test_pyproject_keeps_the_standards() -> None:
    if not shutil.which("validate-pyproject"):
        pytest.skip("validate-pyproject is not installed: pip install '.[package]'")
    run("validate-pyproject", ROOT / "pyproject.toml")


def test_the_manual_page_is_up_to_date() -> None:
    committed = (ROOT / "docs/kubelatch.1").read_text()
    assert committed == man_page(), "run: kubelatch man > docs/kubelatch.1"


def test_man_can_read_the_manual_page() -> None:
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    page = ROOT / "docs/kubelatch.1"
    result = subprocess.run(
        ["man", "--warnings", "-l", page], check=True, capture_output=True, text=True,
        env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-c"},
    )  # fmt: skip
    assert result.stderr == ""
    assert "--reject-paths" in result.stdout
    assert "EXIT STATUS" in result.stdout


def test_the_changelog_begins_with_this_version() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert next(line for line in lines if line.startswith("## ")).startswith(f"## {__version__}")


def commands_work(directory: Path) -> None:
    """What everybody does first, with the commands of this directory."""
    # No other kubectl-latch may be near, such as that of the environment the tests run in.
    environ = {"PATH": f"{directory}:/usr/bin:/bin"}
    kubectl = shutil.which("kubectl")
    if kubectl:
        (directory / "kubectl").symlink_to(kubectl)
    assert run("kubelatch", "--version", environ=environ).split() == ["kubelatch", __version__]
    assert "kubelatch --demo" in run("kubelatch", "--help", environ=environ)
    if kubectl:
        listed = run("kubectl", "plugin", "list", environ=environ)
        assert f"{directory}/kubectl-latch" in listed
        assert __version__ in run("kubectl", "latch", "--version", environ=environ)
        offered = run("kubectl", "__complete", "latch", "--dem", environ=environ)
        assert offered.startswith("--demo\t")


def test_uv_tool_install_gives_the_commands(wheel: Path, tmp_path: Path) -> None:
    if not shutil.which("uv"):
        pytest.skip("uv is not installed: pip install '.[package]'")
    environ = {
        "UV_TOOL_DIR": f"{tmp_path}/tools",
        "UV_TOOL_BIN_DIR": f"{tmp_path}/bin",
        "SSL_CERT_FILE": os.environ.get("SSL_CERT_FILE", os.environ.get("PIP_CERT", "")),
    }
    if not environ["SSL_CERT_FILE"]:
        del environ["SSL_CERT_FILE"]
    run("uv", "tool", "install", "--python", sys.executable, wheel, environ=environ)
    commands_work(tmp_path / "bin")


def test_pipx_install_gives_the_commands_and_the_manual_page(wheel: Path, tmp_path: Path) -> None:
    if not shutil.which("pipx"):
        pytest.skip("pipx is not installed: pip install '.[package]'")
    environ = {
        "PIPX_HOME": f"{tmp_path}/home",
        "PIPX_BIN_DIR": f"{tmp_path}/bin",
        "PIPX_MAN_DIR": f"{tmp_path}/man",
    }
    run("pipx", "install", "--python", sys.executable, wheel, environ=environ)
    commands_work(tmp_path / "bin")
    assert (tmp_path / "man/man1/kubelatch.1").exists()
