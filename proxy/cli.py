"""The command: arguments in, exit code out. The only room that prints.

Nothing heavy is imported here: help, version and completion must answer at once.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from ._version import __version__
from .errors import KubelatchError

if TYPE_CHECKING:
    from .settings import Settings

_COMMANDS: Final = frozenset({"check", "completion", "man", "run", "wait"})


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 after a drained signal, 1 for a failure, 2 for bad usage."""
    _fill_standard_descriptors()
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    from . import settings  # noqa: PLC0415 -- its imports are paid for only here

    try:
        if argv and _asks_help(argv):
            return _help()
        if argv and argv[0] in {"__complete", "completion", "man"}:
            return _tell(*argv)
        if argv and argv[0] == "check":
            from .check import check  # noqa: PLC0415

            text, code = check(argv[1:], os.environ)
            print(text)
            return code
        if argv and argv[0] == "wait":
            from .runner import wait  # noqa: PLC0415

            wait(argv[1:], os.environ)
            return 0
        command: list[str] = []
        if argv and argv[0] == "run":
            from .runner import parse_run  # noqa: PLC0415

            values, command = parse_run(argv[1:], os.environ)
        else:
            values = settings.parse(argv, os.environ)
        if values["help"]:
            return _help()
        if values["version"]:
            print(f"kubelatch {__version__}")
            return 0
        return _serve(settings.from_values(values), command)
    except KubelatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _asks_help(argv: Sequence[str]) -> bool:
    """A command is followed by ``--help``; what stands behind ``--`` is another's."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    return argv[0] in _COMMANDS and bool({"-h", "--help"} & set(own))


def _help() -> int:
    from .manual import help_text  # noqa: PLC0415

    print(help_text(shutil.get_terminal_size().columns))
    return 0


def _tell(word: str, *more: str) -> int:
    """Print what needs no settings."""
    from . import completion, manual  # noqa: PLC0415

    if word == "__complete":
        completion.print_candidates(more, os.environ)
    elif word == "completion":
        print(completion.script(more[0] if more else ""), end="")
    else:
        print(manual.man_page(), end="")
    return 0


def _serve(settings: "Settings", command: Sequence[str]) -> int:
    import asyncio  # noqa: PLC0415

    from . import app  # noqa: PLC0415
    from .access_log import STDERR, Sink  # noqa: PLC0415
    from .console import set_up_logging  # noqa: PLC0415
    from .loops import loop_factory  # noqa: PLC0415
    from .observation import is_attended  # noqa: PLC0415
    from .systemd import Notifier, take_sockets  # noqa: PLC0415

    notifier = Notifier.from_environment(os.environ)
    sockets = [sock for _, sock in take_sockets(os.environ)]
    stderr = Sink(STDERR)
    set_up_logging(stderr, settings.verbosity)

    def greet(text: str) -> None:
        stderr.write(text.encode())

    try:
        with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as loop:
            if command:
                from . import runner  # noqa: PLC0415

                return loop.run(runner.run(settings, os.environ, command, stderr=stderr))
            loop.run(
                app.run(
                    settings,
                    os.environ,
                    _announce,
                    greet=greet if stderr.is_terminal and not settings.quiet else None,
                    sockets=sockets,
                    notifier=notifier,
                    stderr=stderr,
                    attended=is_attended(),
                )
            )
        return 0
    finally:
        # What the log has to say comes before our last words.
        stderr.close()


def _announce(name: str) -> None:
    try:
        print(f"Starting to serve on {name}", flush=True)
    except OSError:
        # Nobody reads it. At exit Python would flush once more, and fail for that.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fill_standard_descriptors() -> None:
    """Open ``/dev/null`` where stdin, stdout or stderr is closed, as Go does (fds_unix.go).

    Otherwise a socket gets the number, and the start line or a plugin's words go to its peer.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
