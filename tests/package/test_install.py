"""The wheel, and what people get who install it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from kubelatch import __version__
from kubelatch.cli.manual import man_page

from .conftest import ROOT

pytestmark = pytest.mark.timeout(180)


def run(*words: str | Path, environ: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    result = subprocess.run(
        words, check=False, capture_output=True, text=True, env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL, cwd=cwd,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def by_uv() -> dict[str, str]:
    """uv's environment: it trusts what pip trusts."""
    bundle = os.environ.get("SSL_CERT_FILE", os.environ.get("PIP_CERT", ""))
    return {"SSL_CERT_FILE": bundle} if bundle else {}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are, installed with all they need."""
    if not shutil.which("uv"):
        pytest.skip("uv is not installed: pip install '.[package]'")
    venv = tmp_path_factory.mktemp("installed")
    run("uv", "venv", "--python", sys.executable, venv, environ=by_uv())
    run("uv", "pip", "install", "--python", venv / "bin/python", wheel, environ=by_uv())
    return venv / "bin"


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


def another_program(directory: Path) -> dict[str, str]:
    """The environment of a program that has a Python and packages of its own."""
    for name in ("yaml", "multidict", "ssl", "json", "typing", "kubelatch"):
        (directory / f"{name}.py").write_text('print "Python 2"\n')
    return {
        "PYTHONHOME": "/usr/lib/python2.7", "PYTHONPATH": str(directory),
        "PYTHONIOENCODING": "no-such", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2",
        "PYTHONHASHSEED": "no number", "PYTHONPLATLIBDIR": "lib64", "PYTHONSTARTUP": "/nonexistent",
    }  # fmt: skip


def test_another_programs_python_is_no_obstacle_and_reaches_what_we_start(
    installed: Path, tmp_path: Path
) -> None:
    foreign = another_program(tmp_path)
    # Where Python is, it would take from these before it looks at itself.
    elsewhere = {"PYTHONEXECUTABLE": "/nonexistent", "__PYVENV_LAUNCHER__": "/nonexistent"}
    assert run(installed / "kubelatch", "--version", environ=foreign | elsewhere, cwd=tmp_path)
    # It serves, and the current directory holds modules with the names of the library's.
    shown = run(
        installed / "kubelatch", "run", "--demo", "--", "env", environ=foreign, cwd=tmp_path
    )
    assert set(shown.splitlines()) > {f"{name}={value}" for name, value in foreign.items()}
    assert run(installed / "kubectl-latch", "--version", environ=foreign, cwd=tmp_path)
    path = {"PYTHONPATH": foreign["PYTHONPATH"], "KUBECONFIG": str(tmp_path / "config")}
    (tmp_path / "config").write_text(json.dumps({"contexts": [{"name": "one", "context": {}}]}))
    for name in ("ssl", "json", "typing", "kubelatch"):
        (tmp_path / f"{name}.py").unlink()
    offered = run(installed / "kubectl_complete-latch", "--context", "", environ=path)
    assert offered.startswith("one\t")


def test_a_command_that_is_suggested_works_where_none_of_ours_is_on_path(
    installed: Path, tmp_path: Path
) -> None:
    shell = {"PATH": "/usr/bin:/bin"}
    if shutil.which("kubelatch", path=shell["PATH"]):
        pytest.skip("kubelatch is on PATH")
    for cwd, called in ((tmp_path, f"{installed}/kubelatch"), (installed.parent, "bin/kubelatch")):
        command = [*called.split(), "check", "--demo"]
        refused = subprocess.run(
            command, check=False, capture_output=True, text=True, env=shell, cwd=cwd
        )
        suggested = f"{called} run --demo -- {called} check"
        assert refused.stderr.endswith(f" Say {suggested}.\n")
        assert "it works" in run("sh", "-c", suggested, environ=shell, cwd=cwd)
        assert f"  {called}\n" in run(installed / "kubelatch", "--help", environ=shell, cwd=cwd)


@pytest.mark.parametrize(
    ("directory", "beside", "called"),
    [
        pytest.param("bin", "#!{python}\nimport sys\n", "bin/kubelatch", id="a path"),
        pytest.param("bin", "#!{python} -s\nimport sys\n", "bin/kubelatch", id="and an option"),
        pytest.param("bin", "#!/usr/bin/env {python}\nimport sys\n", "bin/kubelatch", id="env"),
        pytest.param("b n", '#!/bin/sh\n\'\'\'exec\' "{python}" "$0" "$@"\n\' \'\'\'\n',
                     "b n/kubelatch", id="pip, with a space"),
        pytest.param("b n", "#!/bin/sh\n\'\'\'exec\' '{python}' \"$0\" \"$@\"\n\' \'\'\'\n",
                     "b n/kubelatch", id="uv, with a space"),
        pytest.param("bin", "#!/bin/sh\n\'\'\'exec\' \"$(dirname -- \"$(realpath -- \"$0\")\")\""
                     "/'python' \"$0\" \"$@\"\n\' \'\'\'\n", "bin/kubelatch", id="uv, relocatable"),
        pytest.param("bin", "#!{python}\nimport sys\n", "link", id="a link"),
    ],
)  # fmt: skip
def test_the_command_finds_the_python_it_was_installed_for(
    directory: str, beside: str, called: str, tmp_path: Path
) -> None:
    (tmp_path / directory).mkdir()
    python = tmp_path / directory / "python"
    python.write_text("#!/bin/sh\nprintf '%s,' \"$@\"\n")
    python.chmod(0o755)
    shutil.copy(ROOT / "bin/kubelatch", tmp_path / directory)
    (tmp_path / directory / "kubectl_complete-latch").write_text(beside.format(python=python))
    (tmp_path / "link").symlink_to(tmp_path / directory / "kubelatch")
    output = run("sh", "-c", '"$0" "$@"', tmp_path / called, "--www=a b", "*", cwd=tmp_path)
    assert output.endswith("-EP,-m,kubelatch,--www=a b,*,")
    # By way of PATH, and without a slash.
    output = run("sh", "kubelatch", "x", cwd=tmp_path / directory)
    assert output.endswith("-EP,-m,kubelatch,x,")


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "ours last"])
def test_proxy_py_can_be_installed_beside_it(wheel: Path, tmp_path: Path, ours_first: bool) -> None:
    """PyPI's proxy.py, which is a package called ``proxy``."""
    if not shutil.which("uv"):
        pytest.skip("uv is not installed: pip install '.[package]'")
    run("uv", "venv", "--python", sys.executable, tmp_path / "venv", environ=by_uv())
    python = tmp_path / "venv/bin/python"
    pip = ("uv", "pip", "--quiet")
    for what in (wheel, "proxy.py") if ours_first else ("proxy.py", wheel):
        run(*pip, "install", "--no-deps", "--python", python, what, environ=by_uv())
    both = "import kubelatch, proxy; print(kubelatch.KubelatchError.__name__, proxy.Proxy.__name__)"
    assert run(python, "-c", both, environ={"PYTHONPATH": ""}).split() == [
        "KubelatchError",
        "Proxy",
    ]
    run(*pip, "uninstall", "--python", python, "proxy.py", environ=by_uv())
    output = run(tmp_path / "venv/bin/kubelatch", "--version", environ={"PYTHONPATH": ""})
    assert output.split() == ["kubelatch", __version__]


@pytest.mark.parametrize("name", ["proxy.py", "proxy/__init__.py"])
def test_pytest_runs_in_a_project_that_has_a_proxy_of_its_own(
    wheel: Path, tmp_path: Path, name: str
) -> None:
    """As ``python -m pytest``, which puts the project before what is installed."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    project = tmp_path / "project"
    (project / name).parent.mkdir(parents=True)
    (project / name).write_text("OWN = True\n")
    (project / "test_own.py").write_text(
        "import urllib.request, proxy\n"
        "def test_own(kubelatch):\n"
        "    assert proxy.OWN\n"
        "    assert urllib.request.urlopen(f'{kubelatch.url}/version').status == 200\n"
    )
    output = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        environ={"PYTHONPATH": str(site)}, cwd=project,
    )  # fmt: skip
    assert "1 passed" in output


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
    environ = {"UV_TOOL_DIR": f"{tmp_path}/tools", "UV_TOOL_BIN_DIR": f"{tmp_path}/bin"}
    run("uv", "tool", "install", "--python", sys.executable, wheel, environ=by_uv() | environ)
    commands_work(tmp_path / "bin")


def test_pipx_install_gives_the_commands_and_the_manual_page(wheel: Path, tmp_path: Path) -> None:
    if not shutil.which("pipx"):
        pytest.skip("pipx is not installed: pip install '.[package]'")
    # It installs by uv where it finds one.
    environ = by_uv() | {
        "PIPX_HOME": f"{tmp_path}/home",
        "PIPX_BIN_DIR": f"{tmp_path}/bin",
        "PIPX_MAN_DIR": f"{tmp_path}/man",
    }
    run("pipx", "install", "--python", sys.executable, wheel, environ=environ)
    commands_work(tmp_path / "bin")
    assert (tmp_path / "man/man1/kubelatch.1").exists()
