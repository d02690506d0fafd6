"""Commands and their help, as somebody meets them who has read nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli import main
from proxy.commands import COMMANDS
from proxy.manual import command_help, help_text

from .conftest import ROOT


def ran(*words: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=30, env={"PATH": os.environ["PATH"], "HOME": str(home), **environ},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        pytest.param(["--demo=false", "man"], ".TH KUBELATCH", id="a-switch"),
        pytest.param(["--context", "check", "man"], ".TH KUBELATCH", id="a-value-named-as-one"),
        pytest.param(["-p", "0", "man"], ".TH KUBELATCH", id="a-letter"),
        pytest.param(["--port=0", "wait", "-h"], COMMANDS["wait"].help, id="help"),
        pytest.param(
            ["--demo", "run", "--", sys.executable, "-c", "print('ran')"], "ran", id="run"
        ),
    ],
)
def test_a_command_behind_flags_does_not_start_a_server(
    tmp_path: Path, words: list[str], begins: str
) -> None:
    ended = ran(*words, home=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(begins)


def test_a_context_may_have_the_name_of_a_command(tmp_path: Path) -> None:
    ended = ran("--context", "check", home=tmp_path)
    assert ended.returncode == 2
    assert 'context "check" does not exist' in ended.stderr


def test_what_stands_behind_two_dashes_is_no_command(tmp_path: Path) -> None:
    ended = ran("--nosuch", "--", "man", home=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")


def test_a_mistyped_command_is_told_of(tmp_path: Path) -> None:
    # A port that cannot be: it ends by itself, after the warnings.
    ended = ran("chek", "--demo", "--address=192.0.2.1", home=tmp_path)
    assert 'WARNING: "chek" has no effect: it is neither a flag nor a command' in ended.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_about_that_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(COMMANDS[name].help)
    assert f"\n  kubelatch {name}" in text
    for flag in COMMANDS[name].flags:
        assert f"--{flag.name}=" in text
    assert "--accept-paths" not in text
    assert f"\n  {name} " in help_text()


@pytest.mark.parametrize("width", [80, 100])
def test_help_fits_the_terminal_and_breaks_no_flag(width: int) -> None:
    texts = [help_text(width), *(command_help(name, width) for name in COMMANDS)]
    for line in "\n".join(texts).splitlines():
        assert not line.endswith("-"), line
        assert len(line) <= width or line.startswith("  kubelatch "), line
