"""The help text and the manual page, both generated from the table of flags. Pure."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .._version import __version__
from ..config.commands import COMMANDS, Subcommand
from ..config.goflags import DIRECTORY, FILE, Flag, parse_int, parse_level
from ..config.settings import FLAGS

_SUMMARY: Final = "the Kubernetes API on localhost, with the latch on"
_DESCRIPTION: Final = """\
kubelatch serves the Kubernetes API on localhost, with your kubeconfig's credentials. It takes \
every flag of 'kubectl proxy', and is called as kubelatch or kubectl latch."""
_EXAMPLES: Final = (
    (
        "Serve the current context's cluster on http://127.0.0.1:8001",
        ("kubelatch", "curl localhost:8001/api/v1/namespaces/default/pods"),
    ),
    ("No cluster at hand? Explore a small one that lives inside the proxy", ("kubelatch --demo",)),
    (
        "Another context, a free port, and nothing that changes anything",
        ("kubelatch --context=staging --port=0 --read-only",),
    ),
    ("Let kubectl exec, attach and cp through", ("kubelatch --reject-paths=''",)),
    (
        "Which cluster is it, as whom, and does it work?",
        ("kubelatch check --context=staging",),
    ),
    (
        "A proxy for as long as one command takes",
        ("kubelatch run --read-only -- kubectl get pods",),
    ),
    (
        "Complete flags and contexts on TAB, in this shell (bash; also zsh and fish)",
        ("source <(kubelatch completion bash)",),
    ),
)
_EXIT_CODES: Final = (
    ("0", "It was asked to stop, and finished what was in flight."),
    ("1", "It could not start or go on."),
    ("2", "A flag, a kubeconfig or another file cannot be used; a restart would not help."),
)
_LEFT: Final = 32


def help_text(width: int = 80) -> str:
    """What ``--help`` prints: commands, examples, and every flag by group.

    Args:
        width: columns of the terminal.
    """
    width = max(60, min(width, 100))
    parts = [textwrap.fill(_DESCRIPTION, width), "", "Usage:"]
    parts += ["  kubelatch [flags]", "  kubelatch COMMAND [flags]", "", "Commands:"]
    for name, command in COMMANDS.items():
        parts += _row(f"  {name}", command.help, width)
    parts += ["", "Flags of a command: kubelatch COMMAND --help", "", "Examples:"]
    for title, commands in _EXAMPLES:
        parts += [f"  # {title}", *(f"  {command}" for command in commands), ""]
    for group, flags in _groups().items():
        parts.append(f"{group}:")
        if all(flag.ignored for flag in flags):
            parts += [textwrap.fill(
                ", ".join(f"--{flag.name}" for flag in flags), width,
                initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False,
            )]  # fmt: skip
            continue
        for flag in flags:
            parts += _row(f"  {_spelling(flag)}", _explanation(flag), width)
        parts.append("")
    parts += ["", textwrap.fill(_environment(), width)]
    return "\n".join(parts)


def command_help(name: str, width: int = 80) -> str:
    """What ``--help`` prints for a command.

    Args:
        name: of the command.
        width: columns of the terminal.
    """
    width = max(60, min(width, 100))
    command = COMMANDS[name]
    parts = [command.help, "", "Usage:", *(f"  {line}" for line in _usage(name, command))]
    if command.flags:
        parts += ["", "Flags:"]
        for flag in command.flags:
            parts += _row(f"  {_spelling(flag)}", _explanation(flag), width)
    if any("[flags]" in line for line in command.usage):
        parts += ["", "The proxy's flags, which it takes too: kubelatch --help"]
    return "\n".join(parts)


def man_page() -> str:
    """The manual page, section 1, for ``man``."""
    lines = [
        f'.TH KUBELATCH 1 "" "kubelatch {__version__}" "User Commands"',
        ".SH NAME",
        f"kubelatch \\- {_roff(_SUMMARY)}",
        ".SH SYNOPSIS",
        ".B kubelatch",
        "[\\fIcommand\\fR] [\\fIflags\\fR]",
        ".SH DESCRIPTION",
        _roff(_DESCRIPTION),
        ".SH COMMANDS",
        "Without a command, it serves.",
    ]
    for name, command in COMMANDS.items():
        lines += [f".SS {name}", _roff(command.help), ".PP", ".nf", ".RS"]
        lines += [*map(_roff, _usage(name, command)), ".RE", ".fi"]
        for flag in command.flags:
            lines += [".TP", f".B {_roff(_spelling(flag).strip())}", _roff(_explanation(flag))]
    lines.append(".SH OPTIONS")
    for group, flags in _groups().items():
        lines.append(f".SS {_roff(group)}")
        for flag in flags:
            text = f"{flag.help} Without effect: {flag.ignored}." if flag.ignored else ""
            lines += [
                ".TP",
                f".B {_roff(_spelling(flag).strip())}",
                _roff(text or _explanation(flag)),
            ]
    lines += [".SH ENVIRONMENT", _roff(_environment()), ".SH EXIT STATUS"]
    for code, meaning in _EXIT_CODES:
        lines += [".TP", f".B {code}", _roff(meaning)]
    lines.append(".SH EXAMPLES")
    for title, commands in _EXAMPLES:
        lines += [".PP", f"{_roff(title)}:", ".PP", ".nf", ".RS"]
        lines += [*map(_roff, commands), ".RE", ".fi"]
    lines += [".SH SEE ALSO", ".BR kubectl (1)"]
    return "\n".join(lines) + "\n"


def _usage(name: str, command: Subcommand) -> list[str]:
    return [f"kubelatch {name} {way}".rstrip() for way in command.usage]


def _groups() -> Mapping[str, list[Flag]]:
    groups: dict[str, list[Flag]] = {}
    for flag in FLAGS:
        groups.setdefault(flag.group, []).append(flag)
    return groups


def _row(left: str, text: str, width: int) -> Iterable[str]:
    """Two columns; a long left one gets a line of its own."""
    lines = textwrap.wrap(text, width - _LEFT, break_long_words=False, break_on_hyphens=False)
    if len(left) > _LEFT - 2:
        yield left
        left = ""
    for line in lines or [""]:
        yield f"{left:<{_LEFT}}{line}".rstrip()
        left = ""


def _spelling(flag: Flag) -> str:
    short = f"-{flag.shorthand}, " if flag.shorthand else "    "
    return f"{short}--{flag.name}{_placeholder(flag)}"


def _placeholder(flag: Flag) -> str:
    if flag.value_name:
        return f"[={flag.value_name}]" if flag.bare is not None else f"={flag.value_name}"
    if flag.bare is not None:
        return f"[={'|'.join(flag.choices)}]" if flag.choices else ""
    if flag.choices:
        return f"={'|'.join(flag.choices)}"
    if flag.completion == FILE:
        return "=FILE"
    if flag.completion == DIRECTORY:
        return "=DIR"
    if flag.parse in {parse_int, parse_level}:
        return "=N"
    return "=DURATION" if flag.is_duration else "=TEXT"


def _explanation(flag: Flag) -> str:
    default = _default(flag)
    return f"{flag.help} [{default}]" if default else flag.help


def _default(flag: Flag) -> str:
    value: Any = flag.default
    # A zero counts as False.
    if value in ("", None, False, (), "off"):
        return ""
    return f"{value:g}s" if isinstance(value, float) else str(value)


def _environment() -> str:
    return (
        "Each of these flags but --help and --version can be set by an environment variable: "
        "KUBELATCH_PORT=8002 stands for --port=8002. A flag takes precedence over its variable."
    )


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped
