"""The commands beside serving: what each does, how it is called, and the flags of its own.

One table for the parser, the help, the manual page and completion. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .goflags import Flag, parse_limit


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
            Flag(name="output", shorthand="o", default="text", env=False, help="How to print it."),
            Flag(name="can-i", default="", env=False, value_name="VERB",
                 help="Ask the --allow-rules about VERB RESOURCE[/NAME] or VERB /URL."),
            Flag(name="subresource", default="", env=False, help="With --can-i: such as log."),
        ),
    ),
    "completion": Command(
        help="Print the completion script of a shell.", usage=("bash|fish|zsh",)
    ),
    "man": Command(help="Print the manual page."),
    "run": Command(
        help="Run a command with the proxy at its side.",
        usage=("[flags] -- COMMAND [ARGUMENTS]",),
    ),
    "wait": Command(
        help="Wait until a proxy is ready.",
        usage=("[flags]",),
        flags=(
            Flag(name="timeout", default=30.0, parse=parse_limit, env=False,
                 help="How long to wait."),
        ),
    ),
}  # fmt: skip
