"""Shell completion: the candidates at the cursor, and the scripts for each shell.

Candidates are printed in cobra's protocol (spf13/cobra ``completions.go``): one a line with its
description after a tab, then a colon and a directive. kubectl uses the same protocol for plugins,
through ``kubectl_complete-latch`` on PATH. Nothing heavier than the flags is imported, since
completion runs at each press of TAB.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NoReturn

from ..config.commands import COMMANDS
from ..config.goflags import DIRECTORY, FILE, NAMES, Flag
from ..config.settings import FLAGS
from ..errors import KubelatchError, UsageError
from ..redact import sanitize

# cobra's ShellCompDirective.
_FILES: Final = 0
_NO_SPACE: Final = 2
_NO_FILES: Final = 4
_DIRECTORIES: Final = 16

SHELLS: Final = ("bash", "fish", "zsh")


def script(shell: str) -> str:
    """The completion script for *shell*, to be sourced or installed.

    Raises:
        UsageError: the shell is not supported.
    """
    if shell not in SHELLS:
        msg = f"no completion for {shell!r}"
        raise UsageError(msg, hint=f"say kubelatch completion {'|'.join(SHELLS)}")
    path = os.path.join(os.path.dirname(__file__), "shells", f"kubelatch.{shell}")
    with open(path, encoding="utf-8") as file:
        return file.read()


def kubectl_complete() -> NoReturn:
    """The command ``kubectl_complete-latch``, which kubectl runs for ``kubectl latch``."""
    # As in bin/kubelatch: packages on another program's PYTHONPATH must not shadow ours.
    foreign = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [path for path in sys.path if path not in foreign]
    print_candidates(sys.argv[1:], os.environ)
    sys.exit(0)


def print_candidates(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Print the result of :func:`complete` in cobra's protocol."""
    found, directive = complete(words, environ)
    sys.stdout.write("".join(f"{line}\n" for line in (*found, f":{directive}")))


def complete(words: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], int]:
    """The candidates for the last argument, and cobra's directive.

    A candidate for ``--flag=part`` is the value alone.

    Args:
        words: the arguments typed so far; the last one is incomplete and may be empty.
        environ: the environment, for finding kubeconfig.
    """
    *before, current = words or [""]
    if "--" in before:
        return [], _FILES
    name, equals, part = current.partition("=")
    if equals and current.startswith("--"):
        return _values(_flag(name[2:], before), part, before, environ)
    if waiting := _waiting(before):
        return _values(waiting, current, before, environ)
    if current.startswith("-"):
        names = _flag_names(current, before)
        alone = len(names) == 1 and names[0].partition("\t")[0].endswith("=")
        return names, _NO_FILES | _NO_SPACE if alone else _NO_FILES
    commands = [word for word in before if word in COMMANDS]
    if commands[:1] == ["completion"]:
        return _matching(SHELLS, current), _NO_FILES
    if not commands or commands == ["help"]:
        offered = (f"{name}\t{_first_sentence(c.help)}" for name, c in COMMANDS.items())
        return _matching(offered, current), _NO_FILES
    if commands[:1] == ["check"] and not any(word.startswith("--can-i") for word in before):
        given = before[before.index("check") + 1 :]
        names = _names("context", before, environ)
        left = (name for name in names if name.partition("\t")[0] not in given)
        return _matching(left, current), _NO_FILES
    return [], _NO_FILES


def _flags(before: Sequence[str]) -> tuple[Flag, ...]:
    """The proxy's flags, and those of the command that was typed."""
    command = next((word for word in before if word in COMMANDS), "")
    return (*FLAGS, *COMMANDS[command].flags) if command else FLAGS


def _flag(name: str, before: Sequence[str]) -> Flag | None:
    return next((flag for flag in _flags(before) if flag.name == name), None)


def _waiting(before: Sequence[str]) -> Flag | None:
    """The flag before the cursor, if it still needs its value."""
    last = before[-1] if before else ""
    if last.startswith("--"):
        flag = _flag(last[2:], before)
    elif len(last) == 2 and last[0] == "-":
        flag = next((flag for flag in _flags(before) if flag.shorthand == last[1]), None)
    else:
        return None
    return flag if flag is not None and flag.bare is None else None


def _flag_names(current: str, before: Sequence[str]) -> list[str]:
    used = {word.partition("=")[0] for word in before if word.startswith("--")}
    return _matching(
        (
            f"--{flag.name}{'=' if flag.bare is None else ''}\t{_first_sentence(flag.help)}"
            for flag in _flags(before)
            if not flag.ignored and (flag.repeat or f"--{flag.name}" not in used)
        ),
        current,
    )


def _values(
    flag: Flag | None, part: str, before: Sequence[str], environ: Mapping[str, str]
) -> tuple[list[str], int]:
    if flag is None:
        return [], _NO_FILES
    if flag.completion == FILE:
        return [], _FILES
    if flag.completion == DIRECTORY:
        return [], _DIRECTORIES
    if flag.name == "contexts":
        return _several_contexts(part, before, environ), _NO_FILES
    if flag.completion == NAMES:
        return _matching(_names(flag.name, before, environ), part), _NO_FILES
    words = flag.choices or (("true", "false") if flag.bare is not None else ())
    return _matching(words, part), _NO_FILES


def _several_contexts(part: str, before: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Candidates for ``--contexts``: the names before the last comma stay, and another follows.

    Names that need an alias or quotes there are left out.
    """
    head, comma, last = part.rpartition(",")
    given = head.split(",")
    names = _names("context", before, environ)
    plain = (name for name in names if not set(',="') & set(name.partition("\t")[0]))
    left = (name for name in ("all", *plain) if name.partition("\t")[0] not in given)
    return [f"{head}{comma}{name}" for name in _matching(left, last)]


def _names(kind: str, before: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The names of kubeconfig's contexts, clusters or users; none if it cannot be read.

    Names with line ends, tabs or other control characters are left out, since they would break the
    protocol.
    """
    from ..kubeconfig import DiskFiles  # noqa: PLC0415 -- reads YAML, which most completions do not
    from ..kubeconfig.merge import load_files  # noqa: PLC0415

    files = DiskFiles()
    # A pipe's content is left for the command that is being typed.
    files.settle()
    try:
        merged, _ = load_files(_kubeconfig(before, environ), environ, files)
    except KubelatchError:
        return []
    # One candidate a line: another name cannot be typed either.
    if kind == "context":
        return [
            f"{name}\tcluster {sanitize(context.cluster, 80)}"
            for name, context in sorted(merged.contexts.items())
            if name.isprintable()
        ]
    names = merged.clusters if kind == "cluster" else merged.users
    return sorted(name for name in names if name.isprintable())


def _kubeconfig(before: Sequence[str], environ: Mapping[str, str]) -> str:
    """The kubeconfig file that the arguments name."""
    found = environ.get("KUBELATCH_KUBECONFIG", "")
    for word, following in pairwise([*before, ""]):
        if word.startswith("--kubeconfig="):
            found = word.removeprefix("--kubeconfig=")
        elif word == "--kubeconfig":
            found = following
    return os.path.expanduser(found)


def _matching(candidates: Iterable[str], prefix: str) -> list[str]:
    return [text for text in candidates if text.startswith(prefix)]


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")
