"""The command line is kubectl's: flags, defaults, value syntax, and words for errors."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kubelatch.config import settings
from kubelatch.config.settings import FLAGS
from kubelatch.errors import UsageError
from tests.support.kubectl import SHORT_LIVED

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
_FLAG = re.compile(r"^ +(?:-(?P<short>\w), )?--(?P<name>[\w-]+)=(?P<default>.*):$", re.MULTILINE)
# kubectl's own directory, or said by its kind alone.
_DEFAULT_ELSEWHERE = {"cache-dir"}


def kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KUBECTL, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **SHORT_LIVED},
        timeout=30,
        check=False,
    )


def flags_of_kubectl() -> dict[str, tuple[str, str]]:
    """Shorthand and default of each flag, by name."""
    text = kubectl("proxy", "--help").stdout + kubectl("options").stdout
    return {m["name"]: (m["short"] or "", m["default"]) for m in _FLAG.finditer(text)}


def test_kubectl_lists_its_flags_as_expected() -> None:
    assert len(flags_of_kubectl()) > 40


def test_every_flag_of_kubectl_is_known_by_name_and_letter() -> None:
    ours = {flag.name: flag.shorthand for flag in FLAGS}
    theirs = {name: short for name, (short, _) in flags_of_kubectl().items()}
    assert {name: ours.get(name) for name in theirs} == theirs


def test_every_default_is_kubectls() -> None:
    ours = {f.name: _as_pflag("" if f.secret else f.default) for f in FLAGS}
    for name, (_, default) in flags_of_kubectl().items():
        if name not in _DEFAULT_ELSEWHERE:
            assert (name, ours[name]) == (name, default or "''")


def _as_pflag(value: object) -> str:
    """A default as kubectl's help writes it."""
    match value:
        case None | False:
            return "false"
        case ():
            return "[]"
        case float():
            return f"{value:g}s"
        case int():
            return str(value)
        case _:
            return f"'{value}'" if value else "''"


def test_no_flag_of_ours_changes_the_meaning_of_a_letter() -> None:
    theirs = {short for short, _ in flags_of_kubectl().values()} | {"h"}
    assert {flag.shorthand for flag in FLAGS} - {""} <= theirs


# Each is kubectl's to judge: what it accepts we must, and what it refuses we refuse in its words.
ARGUMENTS = {
    "nothing": [],
    "positional": ["one", "two"],
    "not UTF-8": ["--port=\udcff"],
    "positional between": ["one", "--port=1", "two"],
    "two dashes": ["--", "--nosuch"],
    "one dash": ["-"],
    "three dashes": ["---port=1"],
    "dash and equals": ["-=1"],
    "dashes and equals": ["--=1"],
    "unknown": ["--nosuch"],
    "unknown with value": ["--nosuch=1"],
    "unknown letter": ["-z"],
    "unknown letter in a bundle": ["-p1", "-wz", "-zw"],
    "no prefix is guessed": ["--por=1"],
    "case matters": ["--Port=1"],
    "underscore": ["--api_prefix=/a"],
    "unknown with underscore": ["--no_such=1"],
    "unknown letter behind a switch": ["-hzx"],
    "letter and equals only, switch": ["-h="],
    "needs an argument": ["--port"],
    "underscore needs an argument": ["--api_prefix"],
    "letter needs an argument behind a switch": ["-hp"],
    "letter needs an argument": ["-p"],
    "letter, space": ["-p", "1"],
    "letter, nothing between": ["-p1"],
    "letter, equals": ["-p=1"],
    "letter, empty": ["-p="],
    "name, space": ["--port", "1"],
    "a flag as an argument": ["--www", "--port=1"],
    "empty argument": ["--www="],
    "empty argument, space": ["--www", ""],
    "argument with equals": ["--www=a=b"],
    "bool bare": ["--disable-filter"],
    "bool, space: a positional": ["--disable-filter", "nonsense"],
    "bool in letters": ["-h=false"],
    "negative port": ["--port=-1", "--unix-socket="],
    "negative, space": ["--port", "-1"],
    "repeated": ["--port=1", "--port=2"],
    "list repeated": ["--as-group=a", "--as-group=b"],
    "list with commas": ["--as-group=a,b"],
    "list empty": ["--as-group="],
    "version of one dash": ["-version"],
    "kubeconfig empty": ["--context="],
    "user-extra": ["--as-user-extra=a=b"],
    "user-extra without equals": ["--as-user-extra=a"],
    "vmodule": ["--vmodule=a=1"],
    "v bundled": ["-v6"],
    "v, space": ["-v", "6"],
    "v words": ["-v=high"],
    "v negative": ["-v=-1"],
    "v empty": ["--v="],
    "v hexadecimal": ["--v=0x2"],
    "v too large": ["--v=99999999999"],
    "profile": ["--profile=none"],
}
INTEGERS = (
    "8001", "+8001", "-0", "00", "08", "010", "0o17", "0O17", "0x1F", "0X1f", "0b11", "0B1",
    "1_000", "1__0", "_1", "1_", "0_7", "0x_1", "0x1_f", "0_x1", "", " 1", "1 ", "1.0", "1e3",
    "abc", "-", "+", "0x", "0b2", "0o8", "--1", "+-1", "٣", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "99999999999999999999", "0xFFFFFFFFFFFFFFFFFF",
    "1\n", "\x7f", "\u200b", "é", 'a"b', "a\tb",
)  # fmt: skip
BOOLEANS = (
    "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False", "", "yes",
    "no", "on", "tRue", " true", "2", "-1", "y",
)  # fmt: skip
DURATIONS = (
    "0", "+0", "-0", "0s", "10s", "1h30m", "1.5h", ".5s", "5.s", "-1s", "+1s", "1ns", "1us", "1µs",
    "1μs", "1ms", "1m1s1ms", "1h1h", "10", "", "s", "1d", "1 s", "1s1", "1e3s", ".s", "1..s", ".",
    "-", "+", "--1s", "1S", "1.2.3s", "2562047h", "2562048h", "9223372036854775807ns",
    "9223372036854775808ns", "99999999999999999999s", "0.000000000000000000001s", "٣s", "1min",
    " 1s", "1s ", "0x1s", "1_000s", "inf", "nan",
)  # fmt: skip
ARGUMENTS |= {f"int {text!r}": ["--port=1", f"--port={text}"] for text in INTEGERS}
ARGUMENTS |= {f"bool {text!r}": [f"--disable-filter={text}"] for text in BOOLEANS}
ARGUMENTS |= {f"duration {text!r}": [f"--keepalive={text}"] for text in DURATIONS}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_are_judged_as_by_kubectl(arguments: list[str]) -> None:
    # A kubeconfig that is missing is what kubectl stops at when it likes the flags.
    done = kubectl("proxy", "--kubeconfig=/nonexistent", *arguments)
    theirs = done.stderr.splitlines()[:1]
    liked = (
        "stat /nonexistent" in done.stderr or done.returncode == 0 or "listen tcp" in done.stderr
    )
    ours = []
    try:
        settings.parse(arguments, {})
    except UsageError as error:
        ours = f"error: {error.message}".splitlines()[:1]
    assert ours == ([] if liked else theirs)


@pytest.mark.parametrize(
    "text", ["0x11171", "0o210561", "0210561", "0b10001000101110001", "70_001"]
)
def test_integers_mean_what_they_mean_to_kubectl(text: str) -> None:
    # kubectl says which number it understood, since there is no such port.
    done = kubectl("proxy", "--server=https://127.0.0.1:1", "--token=t", f"--port={text}")
    assert done.stderr == "error: listen tcp: address 70001: invalid port\n"
    assert settings.parse([f"--port={text}"], {})["port"] == 70001


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--port=70000"], id="port too large"),
        pytest.param(["--port=-1"], id="port negative"),
        pytest.param(["--port=0", "--unix-socket=/nonexistent/s"], id="port 0 and socket"),
        pytest.param(["--port=8002", "-u", "/nonexistent/s"], id="port and socket"),
    ],
)
def test_values_that_cannot_be_are_refused_in_kubectls_words(arguments: list[str]) -> None:
    done = kubectl("proxy", "--server=https://127.0.0.1:1", "--token=t", *arguments)
    with pytest.raises(UsageError) as raised:
        settings.from_values(settings.parse(arguments, {}))
    assert done.stderr == f"error: {raised.value.message}\n"
    assert raised.value.hint


def test_default_port_goes_with_a_socket() -> None:
    values = settings.parse(["--port=8001", "--unix-socket=/s"], {})
    assert settings.from_values(values).unix_socket == "/s"


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--prot=1", "did you mean --port?"),
        ("--Port=1", "did you mean --port?"),
        ("--readonly", "did you mean --read-only?"),
        ("--read_onyl", "did you mean --read-only?"),
        ("--kube", "did you mean --kubeconfig or --kuberc?"),
        ("--no-cluster", "did you mean --in-cluster or --no-in-cluster or --cluster?"),
        ("-context=staging", "did you mean --context or --contexts?"),
        ("--nosuch", "see 'kubelatch --help' for usage"),
        ("--vmodul", "see 'kubelatch --help' for usage"),
        ("-x", "see 'kubelatch --help' for usage"),
    ],
)
def test_an_unknown_flag_has_a_suggestion_where_one_is_similar(argument: str, hint: str) -> None:
    with pytest.raises(UsageError, match=r"unknown (shorthand )?flag: ") as caught:
        settings.parse([argument], {})
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "name", ["accept-hosts", "accept-paths", "address", "as", "as-group", "server", "token"]
)
def test_bytes_that_are_no_text_are_an_error_and_not_a_fault_of_ours(name: str) -> None:
    with pytest.raises(UsageError, match=f'--{name}" flag: it is not UTF-8'):
        settings.parse([f"--{name}=a\udc80"], {})
    with pytest.raises(UsageError, match="it is not UTF-8"):
        settings.parse([], {f"KUBELATCH_{name.replace('-', '_').upper()}": "a\udc80"})


def test_the_name_of_a_file_may_be_any_bytes() -> None:
    assert settings.parse(["--kubeconfig=a\udc80"], {})["kubeconfig"] == "a\udc80"
