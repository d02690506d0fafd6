"""``kubelatch run``: a proxy for as long as a command runs.

It serves on a free port, gives the command a kubeconfig for it, and behaves as the command itself
would: its output, its signals, its exit code. With ``--tls`` none but the command has the client
token, which is made for it unless one is given.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..app import App
from ..config.addresses import split_host_port
from ..config.settings import Settings, complete, flag_set
from ..context.access import ClientAccess
from ..errors import KubelatchError, UsageError
from ..observe.access_log import LogWriter
from ..system.process import child_environment, original_core_limit, raise_descriptor_limit
from .kubeconfig import content, reject_unusable

# Added to the signal's number in the exit code, as by shells.
_SIGNALLED: Final = 128
# The terminal sends these to every process in the foreground, the command included.
_FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
_PASSED_ON: Final = _FROM_TERMINAL | {
    signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
}  # fmt: skip
# Beside the kubeconfig.
_CA_FILE: Final = "ca.crt"


class CommandNotFoundError(KubelatchError):
    """The command of ``kubelatch run`` does not exist (POSIX shell, "Exit Status for Commands")."""

    exit_code = 127
    default_cause = "command"


class CommandNotExecutableError(KubelatchError):
    """The command of ``kubelatch run`` exists, but cannot be executed."""

    exit_code = 126
    default_cause = "command"


def parse_run(
    arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The values of ``run``'s flags, and the command after ``--``.

    Raises:
        UsageError: a flag cannot be used, or there is no command.
    """
    hint = "say kubelatch run [FLAGS] -- COMMAND [ARGUMENTS]"
    flags, command = list(arguments), []
    if "--" in flags:
        at = flags.index("--")
        flags, command = flags[:at], flags[at + 1 :]
    given, positional = flag_set().parse(flags, environ)
    values = complete({"port": 0, **given}, environ=environ)
    if values["help"] or values["version"]:
        return values, command
    if positional or not command:
        msg = "the command to run goes after two dashes"
        raise UsageError(msg, hint=hint)
    reject_unusable(values, "run")
    return values, command


async def run(
    settings: Settings,
    environ: Mapping[str, str],
    command: Sequence[str],
    *,
    stderr: LogWriter | None = None,
) -> int:
    """Serve while *command* runs.

    Args:
        settings: of the proxy.
        environ: the environment. The command gets that of
            :func:`~kubelatch.system.process.child_environment` with ``KUBECONFIG``,
            ``KUBECACHEDIR``, ``KUBELATCH_URL`` and, with ``--tls``, ``KUBELATCH_CA_FILE`` added.
        command: program and arguments.
        stderr: writes to standard error, for the log.

    Returns:
        The command's exit code; 128 and more if a signal ended it.

    Raises:
        KubelatchError: the proxy, or the command, cannot start.
    """
    signals = _SignalForwarder()
    with contextlib.ExitStack() as stack:
        stack.callback(signals.release)
        # Of mode 0700: tools write caches and locks beside a kubeconfig.
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="kubelatch-", ignore_cleanup_errors=True)
            )
        )
        if settings.tls and not settings.client_token_file:
            # Without one, kubectl asks for a user name where the server speaks TLS.
            token = _write(directory / "token", secrets.token_urlsafe(32))
            settings = settings.replaced(client_token_file=str(token))
        app = App(settings, environ, stderr=stderr)
        try:
            await app.start()
            await app.ready()
            if settings.inspect:
                from .inspect import show_inspector  # noqa: PLC0415 -- for people who look

                show_inspector(app, settings, environ)
            access = app.access or ClientAccess(url="")
            kubeconfig = _write(directory / "config", json.dumps(content(access), indent=2))
            if access.ca:
                _write(directory / _CA_FILE, access.ca.decode("ascii", "replace"))
            signals.hold = True
            process = _start(command, _environment(environ, access, kubeconfig))
            # Only now, so that the command keeps its own limit.
            raise_descriptor_limit()
            signals.pass_to(process)
            code = await asyncio.to_thread(process.wait)
        except asyncio.CancelledError:
            if not signals.early:
                raise
            code = -signals.early
        finally:
            await app.stop()
    return code if code >= 0 else _SIGNALLED - code


class _SignalForwarder:
    """Forwards signals to the command; those that arrive before its start end this process.

    A signal that was ignored at the start (``nohup``) stays ignored, here and in the command: with
    a handler, exec would reset it to the default action in the command.

    Attributes:
        early: the signal that ended this process; 0 if none did.
        hold: the command is being started; signals are kept for it until it runs.
    """

    def __init__(self) -> None:
        self.early = 0
        self.hold = False
        self._held: list[signal.Signals] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._handled = [n for n in _PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
        for number in self._handled:
            self._loop.add_signal_handler(number, self._receive, number)

    def pass_to(self, process: subprocess.Popen[bytes]) -> None:
        """The command has started."""
        self._process = process
        for number in self._held:
            self._receive(number)

    def release(self) -> None:
        """Handle signals no longer."""
        for number in self._handled:
            self._loop.remove_signal_handler(number)

    def _receive(self, number: signal.Signals) -> None:
        if self._process is not None:
            if number not in _FROM_TERMINAL or not _in_foreground():
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(number)
        elif self.hold:
            self._held.append(number)
        else:
            self.early = number
            if self._task is not None:
                self._task.cancel()


def _in_foreground() -> bool:
    """Whether this process group is in the foreground of its terminal, which then sends its signals
    to the command too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _start(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Looked for in the command's own PATH.
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        if _is_there(command[0], environ.get("PATH", os.defpath)):
            raise CommandNotExecutableError(f"{command[0]} is not executable")
        hint = "is it installed, and on PATH?"
        raise CommandNotFoundError(f"{command[0]}: command not found", hint=hint)
    try:
        # Not by the event loop: uvloop leaves duplicates of the standard streams open in the
        # command and its children, and a reader of our output would wait for their end.
        with original_core_limit():
            return subprocess.Popen(list(command), executable=program, env=dict(environ))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise CommandNotExecutableError(f"{command[0]}: {reason}") from error


def _is_there(program: str, path: str) -> bool:
    """Whether a file of that name exists, or for a path anything."""
    if "/" in program:
        return Path(program).exists()
    return any(Path(directory, program).is_file() for directory in path.split(os.pathsep))


def _environment(
    environ: Mapping[str, str], access: ClientAccess, kubeconfig: Path
) -> dict[str, str]:
    """The command's environment, which exempts our address from its ``http_proxy``."""
    changed = {
        **child_environment(environ),
        "KUBELATCH_URL": f"{access.url}{access.prefix}",
        "KUBECONFIG": str(kubeconfig),
        # kubectl and helm cache discovery by host and port (cli-runtime config_flags.go): in a
        # lasting directory, a later proxy on the same port would get this cluster's.
        "KUBECACHEDIR": str(kubeconfig.with_name("cache")),
    }
    if access.ca:
        changed["KUBELATCH_CA_FILE"] = str(kubeconfig.with_name(_CA_FILE))
    scheme, _, authority = access.url.partition("://")
    for name in ("NO_PROXY", "no_proxy"):
        if changed.get(name) or any(key.lower() == f"{scheme}_proxy" for key in environ):
            host = split_host_port(authority)[0]
            changed[name] = ",".join(filter(None, (changed.get(name), host)))
    return changed


def _write(path: Path, text: str) -> Path:
    """Write a file for this user alone."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path
