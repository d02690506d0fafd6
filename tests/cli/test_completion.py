"""Completion: what is offered, and that bash, zsh, fish and kubectl offer it."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kubelatch.cli import completion
from kubelatch.config.commands import COMMANDS
from kubelatch.config.goflags import DIRECTORY, FILE, NAMES
from kubelatch.config.settings import FLAGS
from kubelatch.errors import UsageError
from tests.package.conftest import ROOT

ARN = "arn:aws:eks:eu-west-1:123:cluster/staging"
# Names that a shell would run, expand or split, each with a beginning of its own.
HOSTILE = (
    "k$(touch ran)", "b`touch ran`", "c;touch ran", "d'$(touch ran)", 'e"f', "g:$(touch ran)",
    "h\\i", "j*",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with a kubeconfig, and the commands on its ``bin``."""
    names = ["prod", ARN, "with space", *HOSTILE, "line\nend", "tab\t", "escape\x1b[2J"]
    config = {
        "contexts": [{"name": n, "context": {"cluster": "c1", "user": "u1"}} for n in names],
        "clusters": [{"name": "c1", "cluster": {"server": "https://c1.example"}}],
        "users": [{"name": "u1", "user": {"token": "secret"}}],
    }
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(yaml.safe_dump(config))
    (tmp_path / "bin").mkdir()
    for name, function in {
        "kubelatch": "cli.main:main",
        "kubectl-latch": "cli.main:main",
        "kubectl_complete-latch": "cli.completion:kubectl_complete",
    }.items():
        module, _, call = function.partition(":")
        script = tmp_path / "bin" / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'proxy')!r})\n"
            f"from kubelatch.{module} import {call}\n{call}()\n"
        )
        script.chmod(0o755)
    (tmp_path / "notes.yaml").touch()
    return tmp_path


def environ(home: Path) -> dict[str, str]:
    path = f"{home}/bin:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8"}


@pytest.mark.parametrize(
    ("words", "offered", "directive"),
    [
        pytest.param(
            [""],
            [
                "approve",
                "check",
                "completion",
                "deny",
                "help",
                "kubeconfig",
                "man",
                "pending",
                "run",
                "wait",
            ],
            4,
            id="commands",
        ),
        pytest.param(["completion", ""], ["bash", "fish", "zsh"], 4, id="shells"),
        pytest.param(["--read"], ["--read-only"], 4, id="a-switch"),
        pytest.param(
            ["--certificate-a"], ["--certificate-authority="], 6, id="a-flag-with-a-value"
        ),
        pytest.param(["--context=p"], ["prod"], 4, id="context-behind-equals"),
        pytest.param(["--context", "arn:aws"], [ARN], 4, id="context-as-next-word"),
        pytest.param(["--contexts=a"], ["all", ARN], 4, id="contexts"),
        pytest.param(["--contexts=prod,w"], ["prod,with space"], 4, id="contexts-after-a-comma"),
        pytest.param(["--contexts=prod,p"], [], 4, id="contexts-given-already"),
        pytest.param(["--contexts", "e"], [], 4, id="contexts-that-need-quotes"),
        pytest.param(["--write-contexts="], ["all"], 4, id="write-contexts"),
        pytest.param(["--service-hosts="], ["all"], 4, id="service-hosts"),
        pytest.param(["check", "p"], ["prod"], 4, id="context-of-check"),
        pytest.param(["check", "prod", "p"], [], 4, id="context-given-to-check"),
        pytest.param(["check", "--can-i", "list", "p"], [], 4, id="no-context-of-can-i"),
        pytest.param(["--cluster="], ["c1"], 4, id="cluster"),
        pytest.param(["--user", ""], ["u1"], 4, id="user"),
        pytest.param(["--loop=u"], ["uvloop"], 4, id="choices"),
        pytest.param(["check", "--can"], ["--can-i="], 6, id="a-flag-of-the-command-alone"),
        pytest.param(["check", "-o", "j"], ["json"], 4, id="its-shorthand"),
        pytest.param(["wait", "--timeo"], ["--timeout="], 6, id="another-commands-flag"),
        pytest.param(["--timeo"], [], 4, id="no-command-no-flag-of-its"),
        pytest.param(["--demo="], ["true", "false"], 4, id="boolean"),
        pytest.param(["--kubeconfig="], [], 0, id="files"),
        pytest.param(["-w", ""], [], 16, id="directories-behind-a-shorthand"),
        pytest.param(["--port="], [], 4, id="nothing-to-offer"),
        pytest.param(["run", "--", ""], [], 0, id="somebody-elses-command"),
        pytest.param(["--nonsense="], [], 4, id="unknown-flag"),
        pytest.param(["--kubeconfig=/nowhere", "--context="], [], 4, id="no-such-kubeconfig"),
    ],
)
def test_what_is_offered(home: Path, words: list[str], offered: list[str], directive: int) -> None:
    found, offered_text = completion.complete(words, {"HOME": str(home)})
    assert [item.partition("\t")[0] for item in found] == offered
    assert offered_text == directive


def test_a_flag_is_not_offered_twice_unless_it_may_be_repeated() -> None:
    found, _ = completion.complete(["--context=a", "--as-group=a", "--"], {})
    names = {item.partition("\t")[0] for item in found}
    assert "--context=" not in names
    assert "--as-group=" in names


def test_the_kubeconfig_of_the_line_is_the_one_that_is_read(home: Path) -> None:
    other = home / "other"
    other.write_text("contexts: [{name: elsewhere, context: {cluster: c1, user: u1}}]")
    for words in (["--kubeconfig", str(other)], [f"--kubeconfig={other}"]):
        found, _ = completion.complete([*words, "--context="], {"HOME": str(home)})
        assert [item.partition("\t")[0] for item in found] == ["elsewhere"]


def test_what_completion_knows_of_flags_is_true() -> None:
    own = [flag for command in COMMANDS.values() for flag in command.flags]
    for flag in (*FLAGS, *own):
        for word in flag.choices:
            flag.parse(word)
        assert flag.choices or flag.completion in {"", FILE, DIRECTORY, NAMES}, flag
        assert flag.completion != NAMES or flag.name in {"context", "contexts", "cluster", "user"}


def test_there_is_no_script_for_other_shells() -> None:
    with pytest.raises(UsageError, match=r"bash\|fish\|zsh"):
        completion.script("powershell")


def test_nothing_heavy_is_imported_for_it(home: Path) -> None:
    code = (
        "import sys; sys.argv[1:] = ['__complete', '--context=']\n"
        "from kubelatch.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={"HOME": str(home)}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "prod" in out
    assert not {"aiohttp", "asyncio", "ssl", "cryptography"} & set(out.split())


def after_tab(home: Path, shell: list[str], setup: str, line: str) -> list[str]:
    """The words of a line after TAB was pressed behind it, as an interactive shell has them."""
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not installed")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        shell, stdin=slave, stdout=slave, stderr=slave, cwd=home, env=environ(home),
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    # Ctrl-A goes to the beginning of the line; the completed line becomes arguments of printf.
    keys = f"{setup}\n{line}\t\x01printf '<%s>\\n' \nexit\n"
    os.write(master, keys.encode())
    output = b""
    try:
        while chunk := os.read(master, 65536):
            output += chunk
    except OSError:
        pass  # the shell has closed the terminal
    finally:
        process.wait(timeout=20)
        os.close(master)
    words = re.findall(r"^<([^%].*)>\s*$", output.decode().replace("\r", ""), re.MULTILINE)
    assert words, output.decode()
    return words


BASH = ["bash", "--norc", "--noprofile", "-i"]
ZSH = ["zsh", "-f", "-i"]
_BASH_SETUP = "PS1='> '; source <(kubelatch completion bash)"
_ZSH_SETUP = "PS1='> '; autoload -Uz compinit; compinit -u -D; source <(kubelatch completion zsh)"


@pytest.mark.parametrize(
    ("shell", "setup"),
    [pytest.param(BASH, _BASH_SETUP, id="bash"), pytest.param(ZSH, _ZSH_SETUP, id="zsh")],
)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("kubelatch comp", ["kubelatch", "completion"], id="command"),
        pytest.param("kubelatch --conn", ["kubelatch", "--connect-timeout="], id="flag"),
        pytest.param("kubelatch --context=pr", ["kubelatch", "--context=prod"], id="context"),
        pytest.param("kubelatch --context pr", ["kubelatch", "--context", "prod"], id="next-word"),
        pytest.param("kubelatch --context=arn", ["kubelatch", f"--context={ARN}"], id="colons"),
        pytest.param(
            "kubelatch --context=arn:aws:e", ["kubelatch", f"--context={ARN}"], id="within-colons"
        ),
        pytest.param(
            "kubelatch --kubeconfig=not", ["kubelatch", "--kubeconfig=notes.yaml"], id="file"
        ),
        pytest.param(
            "kubelatch --kubeconfig not", ["kubelatch", "--kubeconfig", "notes.yaml"], id="path"
        ),
        pytest.param("kubelatch --www=.ku", ["kubelatch", "--www=.kube"], id="directory"),
    ],
)
def test_a_shell_completes(
    home: Path, shell: list[str], setup: str, line: str, words: list[str]
) -> None:
    # A slash behind a directory is there in bash, and until the next key in zsh.
    assert [word.rstrip("/") for word in after_tab(home, shell, setup, line)] == words


@pytest.mark.parametrize(
    ("name", "place"),
    [*((name, "--context=") for name in HOSTILE), (HOSTILE[0], "--context ")],
)
@pytest.mark.parametrize(
    ("shell", "setup"),
    [pytest.param(BASH, _BASH_SETUP, id="bash"), pytest.param(ZSH, _ZSH_SETUP, id="zsh")],
)
def test_a_shell_runs_nothing_of_a_contexts_name(
    home: Path, shell: list[str], setup: str, name: str, place: str
) -> None:
    words = after_tab(home, shell, setup, f"kubelatch {place}{name[0]}")
    assert "".join(words[1:]) == place.strip() + name
    assert len(words) == 2 + place.count(" ")
    assert not (home / "ran").exists()


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(
    ("shell", "setup"),
    [pytest.param(BASH, _BASH_SETUP, id="bash"), pytest.param(ZSH, _ZSH_SETUP, id="zsh")],
)
def test_nor_within_quotes(home: Path, shell: list[str], setup: str, quote: str) -> None:
    words = after_tab(home, shell, setup, f"kubelatch --context {quote}k")
    assert words == ["kubelatch", "--context", HOSTILE[0]]
    assert not (home / "ran").exists()


def test_what_is_quoted_already_is_completed_further(home: Path) -> None:
    words = after_tab(home, BASH, _BASH_SETUP, r"kubelatch --context=k\$\(tou")
    assert words == ["kubelatch", f"--context={HOSTILE[0]}"]


def test_names_with_control_characters_are_not_offered(home: Path) -> None:
    found, _ = completion.complete(["--context="], {"HOME": str(home)})
    names = [item.partition("\t")[0] for item in found]
    assert names == sorted(["prod", ARN, "with space", *HOSTILE])


@pytest.mark.parametrize("name", HOSTILE[:4])
def test_fish_runs_nothing_of_a_contexts_name(home: Path, name: str) -> None:
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    line = f"kubelatch --context={name[0]}"
    code = f"kubelatch completion fish | source; complete -C --escape '{line}'"
    result = subprocess.run(
        ["fish", "--no-config", "-c", code],
        cwd=home, env=environ(home), check=True, capture_output=True, text=True,
    )  # fmt: skip
    # What fish would put into the line.
    completed = result.stdout.partition("\t")[0]
    printed = subprocess.run(
        ["fish", "--no-config", "-c", f"printf '%s' {completed}"],
        cwd=home, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert printed.stdout == f"--context={name}"
    assert not (home / "ran").exists()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("kubelatch comp", "completion\tPrint", id="command"),
        pytest.param("kubelatch --read", "--read-only\t", id="flag"),
        pytest.param("kubelatch --context=pr", "--context=prod\t", id="context"),
        pytest.param("kubelatch --context arn", f"{ARN}\t", id="next-word"),
        pytest.param("kubelatch --kubeconfig=not", "--kubeconfig=notes.yaml", id="file"),
    ],
)
def test_fish_completes(home: Path, line: str, offered: str) -> None:
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    result = subprocess.run(
        ["fish", "--no-config", "-c", f'kubelatch completion fish | source; complete -C "{line}"'],
        cwd=home, env=environ(home), check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert result.stdout.startswith(offered)


def test_kubectl_completes_the_plugin(home: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    result = subprocess.run(
        ["kubectl", "__complete", "latch", "--context=pr"],
        env=environ(home), check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert result.stdout.splitlines()[0] == "prod\tcluster c1"


def test_shellcheck_has_nothing_to_say() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: pip install '.[package]'")
    scripts = [
        ROOT / ".ci/newest",
        ROOT / ".ci/run",
        ROOT / "bin/kubelatch",
        ROOT / "proxy/kubelatch/cli/shells/kubelatch.bash",
        ROOT / "tests/package/machine_boot.sh",
    ]
    result = subprocess.run(["shellcheck", *scripts], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")
