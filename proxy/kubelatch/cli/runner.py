"""``kubelatch run`` and ``kubelatch wait``: the proxy for as long as a command takes, or until
it is there.

``run`` serves on a free port, gives the command a kubeconfig for it, and behaves as the command
itself would: its output, its signals, its exit code.
"""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..app import App
from ..config.addresses import join_host_port, reachable_host, split_host_port
from ..config.commands import COMMANDS, reject_arguments
from ..config.settings import Settings, complete, flag_set, from_values
from ..errors import KubelatchError, UsageError
from ..observe.access_log import LogWriter
from ..system.listeners import unix_address, unix_path
from ..system.process import child_environment, original_core_limit, raise_descriptor_limit

# Added to the signal's number in the exit code, as by shells.
_SIGNALLED: Final = 128
# The terminal sends these to every process in the foreground, the command included.
_FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
_PASSED_ON: Final = _FROM_TERMINAL | {
    signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
}  # fmt: skip

_ATTEMPT_SECONDS: Final = 5.0
_BETWEEN_ATTEMPTS: Final = 0.1


class NotReadyError(KubelatchError):
    """The proxy was not ready within ``--timeout`` of ``kubelatch wait``."""

    default_cause = "not-ready"


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
    for name, why in (
        ("unix_socket", "kubeconfig knows no unix sockets"),
        ("client_token_file", "clients send no token over plain http"),
    ):
        if values[name]:
            msg = f"run has no use for --{name.replace('_', '-')}: {why}"
            raise UsageError(msg, hint="leave it out")
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
            ``KUBECACHEDIR`` and ``KUBELATCH_URL`` added.
        command: program and arguments.
        stderr: writes to standard error, for the log.

    Returns:
        The command's exit code; 128 and more if a signal ended it.

    Raises:
        KubelatchError: the proxy, or the command, cannot start.
    """
    app = App(settings, environ, stderr=stderr)
    signals = _SignalForwarder()
    with contextlib.ExitStack() as stack:
        stack.callback(signals.release)
        try:
            await app.start()
            await app.ready()
            url = _url(app.name, settings.api_prefix)
            kubeconfig = stack.enter_context(_kubeconfig(url, app))
            signals.hold = True
            process = _start(command, _environment(environ, url, kubeconfig))
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


def _url(name: str, api_prefix: str) -> str:
    host, port = split_host_port(name)
    authority = join_host_port(reachable_host(host), port)
    return f"http://{authority}{'/' + api_prefix.strip('/') if api_prefix != '/' else ''}"


def _environment(environ: Mapping[str, str], url: str, kubeconfig: Path) -> dict[str, str]:
    """The command's environment, which exempts our address from its ``http_proxy``."""
    changed = {
        **child_environment(environ),
        "KUBELATCH_URL": url,
        "KUBECONFIG": str(kubeconfig),
        # kubectl and helm cache discovery by host and port (cli-runtime config_flags.go): in a
        # lasting directory, a later proxy on the same port would get this cluster's.
        "KUBECACHEDIR": str(kubeconfig.with_name("cache")),
    }
    host = url.removeprefix("http://").rpartition(":")[0].strip("[]")
    for name in ("NO_PROXY", "no_proxy"):
        if changed.get(name) or any(key.lower() == "http_proxy" for key in environ):
            changed[name] = ",".join(filter(None, (changed.get(name), host)))
    return changed


@contextlib.contextmanager
def _kubeconfig(url: str, app: App) -> Iterator[Path]:
    """A temporary kubeconfig for the proxy.

    Its context and namespace have the names of the real ones, so that ``--context`` still works.
    """
    config = app.chosen
    context = (config.context if config else "") or "kubelatch"
    namespace = config.namespace if config else ""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        # @kubernetes/client-node refuses an http server without it; no other client minds.
        "clusters": [
            {"name": "kubelatch", "cluster": {"server": url, "insecure-skip-tls-verify": True}}
        ],
        "users": [{"name": "kubelatch", "user": {}}],
        "contexts": [
            {
                "name": context,
                "context": {
                    "cluster": "kubelatch",
                    "user": "kubelatch",
                    **({"namespace": namespace} if namespace else {}),
                },
            }
        ],
        "current-context": context,
    }
    # A directory of mode 0700: tools write caches and locks beside a kubeconfig.
    with tempfile.TemporaryDirectory(prefix="kubelatch-", ignore_cleanup_errors=True) as directory:
        path = Path(directory, "config")
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=2))
        yield path


@dataclass(frozen=True, slots=True)
class _Probe:
    """A request whose response shows whether a proxy is ready."""

    host: str
    port: int
    unix_socket: str
    target: str

    def send(self, seconds: float) -> int:
        """Send it; returns the response's status. Raises OSError, HTTPException."""
        connection = _ProbeConnection(self, seconds)
        try:
            connection.request("GET", self.target, headers={"Host": "localhost"})
            return connection.getresponse().status
        finally:
            connection.close()


class _ProbeConnection(http.client.HTTPConnection):
    def __init__(self, probe: _Probe, seconds: float) -> None:
        super().__init__(probe.host or "localhost", probe.port, timeout=seconds)
        self._path = probe.unix_socket

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(unix_address(self._path))


def wait(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Return when the proxy that the flags describe is ready.

    With ``--admin-address``, that is when its ``/readyz`` returns 200; without, when a request
    through it gets a response.

    Raises:
        UsageError: a flag cannot be used.
        NotReadyError: ``--timeout`` is over.
    """
    own = COMMANDS["wait"].flags
    given, words = flag_set(own).parse(arguments, environ)
    reject_arguments("wait", words)
    values = complete(given, own, environ=environ)
    timeout, settings = values["timeout"], from_values(values)
    probe, wanted = _probe(settings)
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            status = probe.send(max(0.1, min(left, _ATTEMPT_SECONDS)))
        except (OSError, http.client.HTTPException) as error:
            problem = _reason(error)
        else:
            if status <= wanted:
                return
            problem = f"it answers {status}"
        if left <= 0:
            where = probe.unix_socket or f"{probe.host}:{probe.port}"
            msg = f"the proxy at {where} is not ready after {timeout:g}s: {problem}"
            hint = "does it run, and on that address? Its log and /readyz?verbose say more"
            raise NotReadyError(msg, hint=hint)
        time.sleep(min(_BETWEEN_ATTEMPTS, max(0.0, left)))


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _probe(settings: Settings) -> tuple[_Probe, int]:
    """The probe, and the highest status that counts as ready."""
    if address := settings.admin_address:
        if path := unix_path(address):
            return _Probe("", 0, path, "/readyz"), 200
        host, _, port = address.rpartition(":")
        if not port.isdecimal():
            msg = f"invalid --admin-address {address!r}"
            raise UsageError(msg, hint="say 127.0.0.1:8002, or unix:/path")
        return _Probe(reachable_host(host.strip("[]")), int(port), "", "/readyz"), 200
    target = f"{settings.api_prefix.rstrip('/')}/version"
    host = reachable_host(settings.address.strip("[]"))
    # A refusal by the filter or the API server shows that the proxy works, too.
    return _Probe(host, settings.port, settings.unix_socket, target), 499
