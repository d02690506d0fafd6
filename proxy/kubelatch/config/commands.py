"""The table of commands beside serving, with their flags.

Parser, help, manual page and completion are made from it. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ..errors import UsageError
from .goflags import FILE, Flag, parse_bool, parse_limit, quote, similar_names


class Subcommand(NamedTuple):
    """One command.

    Attributes:
        help: what it does, in one sentence.
        usage: its arguments, one text for each way to call it.
        flags: its own flags. With ``[flags]`` in its usage it also takes the proxy's.
    """

    help: str
    usage: tuple[str, ...] = ("",)
    flags: tuple[Flag, ...] = ()


COMMANDS: Final[Mapping[str, Subcommand]] = {
    "approve": Subcommand(
        help="Approve requests that wait for an answer (--ask).",
        usage=("--inspect-secret-file=FILE [flags] ID[@VERSION]...",),
    ),
    "check": Subcommand(
        help="Show which cluster it is, as whom, and whether it works.",
        usage=(
            "[flags] [CONTEXT...]",
            "--allow-rules=FILE --can-i=VERB RESOURCE[/NAME]|/URL [-n NAMESPACE]",
        ),
        flags=(
            Flag(name="output", field="output", shorthand="o", default="text", env=False,
                 completion=("text", "json"), help="How to print it."),
            Flag(name="can-i", field="can_i", default="", env=False, value_name="VERB",
                 help="Ask the --allow-rules about VERB RESOURCE[/NAME] or VERB /URL."),
            Flag(name="subresource", field="subresource", default="", env=False,
                 help="With --can-i: such as log."),
        ),
    ),
    "completion": Subcommand(
        help="Print the completion script of a shell.", usage=("bash|fish|zsh",)
    ),
    "deny": Subcommand(
        help="Deny a request that waits for an answer, with a reason.",
        usage=("--inspect-secret-file=FILE [flags] ID [REASON]",),
    ),
    "help": Subcommand(help="Print the help, or that of a command.", usage=("[COMMAND]",)),
    "kubeconfig": Subcommand(
        help="Print a kubeconfig for clients of a proxy with the same flags.",
        usage=("[flags]",),
        flags=(
            Flag(name="output", field="output", shorthand="o", default="", env=False,
                 completion=FILE, value_name="FILE",
                 help="Write it to this file, for this user alone, instead of printing it."),
            Flag(name="url", field="url", default="", env=False, value_name="URL",
                 help="Where clients reach the proxy, if not at --address and --port."),
        ),
    ),
    "man": Subcommand(help="Print the manual page."),
    "pending": Subcommand(
        help="List the requests that wait for an answer, or show one.",
        usage=("--inspect-secret-file=FILE [flags] [ID [--diff]]",),
        flags=(
            Flag(name="diff", field="diff", default=False, parse=parse_bool, bare=True, env=False,
                 help="With ID: also ask the API server what would change, by a dry run."),
            Flag(name="output", field="output", shorthand="o", default="text", env=False,
                 completion=("text", "json"), help="How to print it."),
        ),
    ),
    "run": Subcommand(
        help="Run a command with the proxy at its side.",
        usage=("[flags] -- COMMAND [ARGUMENTS]",),
    ),
    "wait": Subcommand(
        help="Wait until a proxy is ready.",
        usage=("[flags]",),
        flags=(
            Flag(name="timeout", field="timeout", default=30.0, parse=parse_limit, env=False,
                 help="How long to wait."),
        ),
    ),
}  # fmt: skip


def similar_commands(word: str) -> list[str]:
    """The commands that *word* may be a mistyped form of, the likeliest first."""
    return similar_names(word, list(COMMANDS))


def unknown_command(word: str, flags: Sequence[str]) -> UsageError:
    """The error for an argument in the place of a command.

    Args:
        word: the argument.
        flags: names of flags, one of which may have been meant.
    """
    if word == "proxy":
        hint = "leave the word out: without a command it serves"
    elif word in flags:
        hint = f"did you mean kubelatch --{word}?"
    elif like := similar_commands(word):
        hint = f"did you mean kubelatch {' or kubelatch '.join(like)}?"
    else:
        hint = "see 'kubelatch --help' for usage; without a command it serves"
    return UsageError(f'unknown command {quote(word)} for "kubelatch"', hint=hint)


def reject_arguments(name: str, words: Sequence[str], hint: str = "") -> None:
    """Raise UsageError if a command got positional arguments, of which it takes none.

    Args:
        name: of the command.
        words: the positional arguments.
        hint: what to do instead.
    """
    if words:
        msg = f"unknown argument {quote(words[0])} for kubelatch {name}"
        raise UsageError(msg, hint=hint or f"see 'kubelatch {name} --help' for usage")
