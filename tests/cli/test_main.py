"""Commands and their help, as somebody meets them who has read nothing."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubelatch.cli.main import main
from kubelatch.cli.manual import command_help, help_text
from kubelatch.config.commands import COMMANDS
from kubelatch.errors import UsageError
from kubelatch.system.event_loop import loop_factory
from tests.package.conftest import ROOT
from tests.support.leaks import checkout


def ran(*words: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubelatch", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=30, env={"PATH": os.environ["PATH"], "HOME": str(home), **checkout(), **environ},
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


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["man"], ["completion", "bash"], ["check", "--help"]],
    ids=str,
)
def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        ended = subprocess.run(
            [sys.executable, "-m", "kubelatch", *words],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=nobody, stderr=subprocess.PIPE, text=True,
            check=False, timeout=30,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **checkout()},
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_flag_goes_before_its_variable_even_if_that_is_nonsense(tmp_path: Path) -> None:
    flag = ran("--port=0", "--version", home=tmp_path, KUBELATCH_PORT="tcp://10.0.0.7:8001")
    assert (flag.returncode, flag.stderr) == (0, "")


@pytest.mark.parametrize("command", [[], ["run"]], ids=["serve", "run"])
def test_a_misspelt_variable_does_not_fail_open_in_silence(
    tmp_path: Path, command: list[str]
) -> None:
    # An address that cannot be: it ends by itself, after the warnings.
    flags = ["--demo", "--address=192.0.2.1", *(["--", "true"] if command else [])]
    ended = ran(
        *command, *flags, home=tmp_path, KUBELATCH_READONLY="true", KUBELATCH_URL="http://x",
        KUBELATCH_SERVICE_HOST="10.0.0.7",
    )  # fmt: skip
    assert (
        "$KUBELATCH_READONLY has no effect: it is the variable of no flag; "
        "did you mean $KUBELATCH_READ_ONLY?"
    ) in ended.stderr
    assert ended.stderr.count("has no effect") == 1


def test_uvloop_that_is_not_there_is_bad_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(UsageError, match="--loop=uvloop: uvloop is not installed"):
        loop_factory("uvloop")
    loop = loop_factory("auto")()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


def test_a_context_may_have_the_name_of_a_command(tmp_path: Path) -> None:
    ended = ran("--context", "check", home=tmp_path)
    assert ended.returncode == 2
    assert 'context "check" does not exist' in ended.stderr


def test_what_stands_behind_two_dashes_is_no_command(tmp_path: Path) -> None:
    ended = ran("--nosuch", "--", "man", home=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc"], 'unknown command "chekc" for "kubelatch". Did you mean kubelatch check?'),
        (["chek", "--demo"], "Did you mean kubelatch check?"),
        (["--demo", "chekc"], "Did you mean kubelatch check?"),
        (["--disable-filter", "true", "chekc"], "Did you mean kubelatch check?"),
        (["rnu", "--", "ls"], "Did you mean kubelatch run?"),
        (["version"], "Did you mean kubelatch --version?"),
        (["proxy"], "Leave the word out: without a command it serves."),
        (["nonsense"], "See 'kubelatch --help' for usage; without a command it serves."),
        (["help", "chekc"], "Did you mean kubelatch check?"),
        (["wait", "prod"], 'unknown argument "prod" for kubelatch wait.'),
        (["man", "check"], 'unknown argument "check" for kubelatch man.'),
        (["completion", "bash", "zsh"], 'unknown argument "zsh" for kubelatch completion.'),
    ],
    ids=" ".join,
)
def test_a_word_that_is_no_command_serves_nothing(
    tmp_path: Path, words: list[str], message: str
) -> None:
    ended = ran(*words, home=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert message in ended.stderr


def test_a_word_behind_a_switch_is_ignored_as_by_kubectl(tmp_path: Path) -> None:
    # An address that cannot be: it ends by itself, after the warnings.
    ended = ran("--demo", "--disable-filter", "true", "--address=192.0.2.1", home=tmp_path)
    assert 'WARNING: "true" has no effect: it is neither a flag nor a command' in ended.stderr


@pytest.mark.parametrize("words", [["help"], ["help", "check"], ["--port=0", "help"]], ids=" ".join)
def test_help_is_a_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    about = COMMANDS["check"].help if "check" in words else "kubelatch serves"
    assert capsys.readouterr().out.startswith(about)


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
        assert f"--{flag.name}{' ' if flag.bare else '='}" in text
    assert "--accept-paths" not in text
    assert f"\n  {name} " in help_text()


@pytest.mark.parametrize("width", [80, 100])
def test_help_fits_the_terminal_and_breaks_no_flag(width: int) -> None:
    texts = [help_text(width), *(command_help(name, width) for name in COMMANDS)]
    for line in "\n".join(texts).splitlines():
        assert not line.endswith("-"), line
        assert len(line) <= width or line.startswith("  kubelatch "), line
