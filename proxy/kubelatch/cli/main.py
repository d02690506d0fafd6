"""The entry point: parses arguments, runs the command, returns its exit code.

Nothing heavy is imported at module level, so that help, version and completion are fast.
"""

import gc
import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from .._version import __version__, is_compiled
from ..config.commands import COMMANDS, reject_arguments, similar_commands, unknown_command
from ..errors import KubelatchError
from ..observe.suggestions import as_called

if TYPE_CHECKING:
    from ..config.settings import Settings


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 after a drained signal, 1 for a failure, 2 for bad usage."""
    _fill_standard_descriptors()
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    from ..config import settings  # noqa: PLC0415 -- slower than the rest of this module

    json = False
    try:
        name, arguments = _split(argv)
        if name in COMMANDS and _asks_help(arguments):
            return _help(name)
        if name == "help":
            return _help_about(arguments)
        if name in {"__complete", "completion", "man"}:
            return _print_generated(name, *arguments)
        if name == "check":
            from .check import check  # noqa: PLC0415

            text, code = check(arguments, os.environ)
            _print(text)
            return code
        if name in {"approve", "deny", "pending"}:
            from .approvals import approvals  # noqa: PLC0415

            text, code = approvals(name, arguments, os.environ)
            _print(text)
            return code
        if name == "wait":
            from .wait import wait  # noqa: PLC0415

            wait(arguments, os.environ)
            return 0
        if name == "kubeconfig":
            return _kubeconfig(arguments)
        command: list[str] = []
        if name == "run":
            _prepare_to_import()
            from .run import parse_run  # noqa: PLC0415

            values, command = parse_run(arguments, os.environ)
        else:
            values = settings.parse(arguments, os.environ)
        if values["help"]:
            return _help()
        if values["version"]:
            _print(f"kubelatch {__version__}{' (compiled)' if is_compiled() else ''}")
            return 0
        json = values["log_format"] == "json"
        return _serve(settings.from_values(values), command)
    except KubelatchError as error:
        _print_error(str(error), json=json)
        return error.exit_code


def _split(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command's name, or an empty one, and the other arguments. Flags may come first, as with
    kubectl.

    Raises:
        UsageError: an argument looks like a command and is none. Other arguments after flags are
            left to the parser: ``--disable-filter true`` works with kubectl, which ignores them.
    """
    from ..config.settings import FLAGS  # noqa: PLC0415

    if argv[:1] == ["__complete"]:
        return argv[0], argv[1:]
    wanting = {f"--{flag.name}" for flag in FLAGS if flag.bare is None}
    wanting |= {f"-{flag.shorthand}" for flag in FLAGS if flag.shorthand and flag.bare is None}
    for at, word in enumerate(argv):
        if word == "--":
            break
        if word.startswith("-") or (at and argv[at - 1] in wanting):
            continue
        if word in COMMANDS:
            return word, [*argv[:at], *argv[at + 1 :]]
        if not at or similar_commands(word):
            raise unknown_command(word, [flag.name for flag in FLAGS])
    return "", argv


def _help_about(arguments: Sequence[str]) -> int:
    positional = _positional(arguments)
    name = positional[0] if positional else ""
    if name and name not in COMMANDS:
        raise unknown_command(name, ())
    reject_arguments("help", positional[1:])
    return _help(name)


def _positional(arguments: Sequence[str]) -> list[str]:
    """The positional arguments of a command that has no flags of its own."""
    from ..config.settings import flag_set  # noqa: PLC0415

    return flag_set().parse(arguments, {})[1]


def _asks_help(arguments: Sequence[str]) -> bool:
    """Whether help is requested; arguments after ``--`` belong to the command that is run."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return bool({"-h", "--help"} & set(own))


def _help(command: str = "") -> int:
    from .manual import command_help, help_text  # noqa: PLC0415

    width = shutil.get_terminal_size().columns
    _print(as_called(command_help(command, width) if command else help_text(width)))
    return 0


def _print_error(text: str, *, json: bool = False) -> None:
    """Print an error; the journal gets it with that priority.

    Args:
        text: sanitized.
        json: print it as an object, as ``--log-format=json`` demands.
    """
    mark = ""
    if "JOURNAL_STREAM" in os.environ:
        import logging  # noqa: PLC0415

        from ..system.systemd import journal_mark, leads_to_journal  # noqa: PLC0415

        mark = journal_mark(logging.ERROR) if leads_to_journal(os.environ) else ""
    line = f"error: {as_called(text)}"
    if json:
        import time  # noqa: PLC0415

        from ..observe.program_log import json_line  # noqa: PLC0415

        line = json_line("error", as_called(text), time.time())
    print(f"{mark}{line}", file=sys.stderr)


def _print_generated(word: str, *more: str) -> int:
    """Run ``__complete``, ``completion`` or ``man``, which need no settings."""
    from . import completion, manual  # noqa: PLC0415

    if word == "__complete":
        completion.print_candidates(more, os.environ)
        return 0
    arguments = _positional(more)
    reject_arguments(word, arguments[word == "completion" :])
    if word == "completion":
        _print(completion.script(arguments[0] if arguments else ""), end="")
    else:
        _print(manual.man_page(), end="")
    return 0


def _kubeconfig(arguments: Sequence[str]) -> int:
    from .kubeconfig import kubeconfig  # noqa: PLC0415

    text, secret = kubeconfig(arguments, os.environ)
    if text:
        _print(text, end="")
    if secret and sys.stdout.isatty():
        print("It has the client token in it: -o FILE writes it for you alone", file=sys.stderr)
    return 0


def _serve(settings: "Settings", command: Sequence[str]) -> int:
    _prepare_to_import()
    import asyncio  # noqa: PLC0415

    from ..observe.access_log import STDERR, LogWriter  # noqa: PLC0415
    from ..observe.console import TRACEBACKS_FROM, set_up_logging  # noqa: PLC0415
    from ..observe.observer import is_interactive  # noqa: PLC0415
    from ..system.event_loop import loop_factory  # noqa: PLC0415
    from ..system.malloc import keep_freed_memory  # noqa: PLC0415
    from ..system.process import forbid_core_dumps, raise_descriptor_limit  # noqa: PLC0415
    from ..system.systemd import (  # noqa: PLC0415
        Notifier,
        journal_mark,
        leads_to_journal,
        take_sockets,
    )
    from . import serve  # noqa: PLC0415

    if not settings.allow_core_dumps:
        forbid_core_dumps()
    notifier = Notifier.from_environment(os.environ)
    sockets = [sock for _, sock in take_sockets(os.environ)]
    stderr = LogWriter(STDERR)
    mark = journal_mark if leads_to_journal(os.environ) else None
    json = settings.log_format == "json"
    set_up_logging(stderr, settings.verbosity, mark=mark, json=json)
    sys.excepthook = partial(
        _crash, tracebacks=settings.verbosity >= TRACEBACKS_FROM and not json, json=json
    )

    def greet(text: str) -> None:
        stderr.write(as_called(text).encode())

    try:
        with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as loop:
            gc.freeze()
            gc.enable()
            keep_freed_memory()
            if command:
                from .run import run  # noqa: PLC0415

                return loop.run(run(settings, os.environ, command, stderr=stderr))
            raise_descriptor_limit()
            loop.run(
                serve.run(
                    settings,
                    os.environ,
                    _announce,
                    greet=greet if stderr.is_terminal and not (settings.quiet or json) else None,
                    reports_start=mark is not None or json,
                    sockets=sockets,
                    notifier=notifier,
                    stderr=stderr,
                    interactive=is_interactive(),
                )
            )
        return 0
    finally:
        # Queued log lines go out before the error message of main().
        stderr.close()


def _prepare_to_import() -> None:
    """Make the imports of a command that serves cheaper; see ``deferred_aiohttp``."""
    from .deferred_aiohttp import import_server  # noqa: PLC0415

    # Imported modules are never garbage. Collecting among them costs a tenth of the start, and of
    # a burst of watches; gc.freeze() in _serve() excludes them for good.
    gc.disable()
    import_server()


def _crash(
    kind: type[BaseException], error: BaseException, _: object, *, tracebacks: bool, json: bool
) -> None:
    """Print an uncaught exception in one line; KeyboardInterrupt is not reported."""
    from ..observe.program_log import sanitized_traceback  # noqa: PLC0415
    from ..redact import sanitize  # noqa: PLC0415

    if tracebacks:
        print(sanitized_traceback(error), end="", file=sys.stderr)
    elif not issubclass(kind, KeyboardInterrupt):
        _print_error(f"internal error: {kind.__name__}: {sanitize(str(error))}", json=json)


def _announce(name: str) -> None:
    from ..redact import printable  # noqa: PLC0415

    _print(f"Starting to serve on {printable(name)}")


def _print(text: str, end: str = "\n") -> None:
    """Print to standard output, and ignore a closed pipe, as in ``kubelatch --help | head -1``."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        # Otherwise Python's flush at exit fails too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fill_standard_descriptors() -> None:
    """Open ``/dev/null`` where stdin, stdout or stderr is closed, as Go does (fds_unix.go).

    Otherwise a socket gets the number, and the start line or a plugin's output goes to its peer.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
