"""The commands beside serving: what each does, how it is called, and the flags of its own.

One table for the parser, the help, the manual page and completion. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import UsageError
from .goflags import Flag, parse_limit, quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        help: what it does, in one sentence.
        usage: what stands behind its name; one for each way to call it.
        flags: its own. With ``[flags]`` in its usage it takes the proxy's besides.
    """

    help: str
    usage: tuple[str, ...] = ("",)
    flags: tuple[Flag, ...] = ()


COMMANDS: Final[Mapping[str, Command]] = {
    "check": Command(
        help="Say which cluster, as whom, and whether it works.",
        usage=("[flags]", "--allow-rules=FILE --can-i=VERB RESOURCE[/NAME]|/URL [-n NAMESPACE]"),
        flags=(
            Flag(name="output", field="output", shorthand="o", default="text", env=False,
                 completion=("text", "json"), help="How to print it."),
            Flag(name="can-i", field="can_i", default="", env=False, value_name="VERB",
                 help="Ask the --allow-rules about VERB RESOURCE[/NAME] or VERB /URL."),
            Flag(name="subresource", field="subresource", default="", env=False,
                 help="With --can-i: such as log."),
        ),
    ),
    "completion": Command(
        help="Print the completion script of a shell.", usage=("bash|fish|zsh",)
    ),
    "help": Command(help="Print the help, or that of a command.", usage=("[COMMAND]",)),
    "man": Command(help="Print the manual page."),
    "run": Command(
        help="Run a command with the proxy at its side.",
        usage=("[flags] -- COMMAND [ARGUMENTS]",),
    ),
    "wait": Command(
        help="Wait until a proxy is ready.",
        usage=("[flags]",),
        flags=(
            Flag(name="timeout", field="timeout", default=30.0, parse=parse_limit, env=False,
                 help="How long to wait."),
        ),
    ),
}  # fmt: skip

# That of difflib: "chekc" is like "check", and "true" like nothing.
_LIKE: Final = 0.6


def similar_commands(word: str) -> list[str]:
    """The commands that *word* may have been meant for, the likeliest first."""
    from difflib import get_close_matches  # noqa: PLC0415 -- for what is no command alone

    begun = [name for name in COMMANDS if word and name.startswith(word)]
    return begun or get_close_matches(word.lower(), COMMANDS, cutoff=_LIKE)


def unknown_command(word: str, flags: Sequence[str]) -> UsageError:
    """The error for a word that stands where a command would.

    Args:
        word: as it was given.
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
    """Raise UsageError if a command was given words that it has no use for.

    Args:
        name: of the command.
        words: what is left beside its flags.
        hint: what to do instead.
    """
    if words:
        msg = f"unknown argument {quote(words[0])} for kubelatch {name}"
        raise UsageError(msg, hint=hint or f"see 'kubelatch {name} --help' for usage")
