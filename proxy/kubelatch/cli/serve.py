"""Serving as a process, and the meaning of signals.

SIGTERM and SIGINT drain, and end the process at once when repeated; SIGUSR1 reopens the request
log. SIGHUP reloads, as service managers expect, except when it means that the terminal was closed:
then the proxy drains and ends, as kubectl's does, rather than stay behind unseen.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from socket import socket
from typing import Final

from ..app import App
from ..config.settings import Settings
from ..observe.access_log import LogWriter
from ..observe.console import START_LOGGER, block_row
from ..redact import sanitize
from ..system.systemd import Notifier
from ..system.zombies import reap_zombies

log = logging.getLogger(__name__)
# Logged at every level of -v.
_start_log = logging.getLogger(START_LOGGER)

# Seconds that the service manager is asked for beyond --drain-timeout.
_AFTER_DRAIN: Final = 5.0
# Seconds after which a drain is reported; idle connections and watches have ended by then.
_REPORT_AFTER: Final = 0.2


async def run(
    settings: Settings,
    environ: Mapping[str, str],
    announce: Callable[[str], None],
    *,
    greet: Callable[[str], None] | None = None,
    sockets: Sequence[socket] = (),
    notifier: Notifier | None = None,
    stderr: LogWriter | None = None,
    interactive: bool = False,
    reports_start: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; a second one stops at once.

    Args:
        settings: the flags.
        environ: the environment.
        announce: called with each address once it accepts connections.
        greet: called with the start block after that, and with what is added to it later.
        sockets: listening sockets to use instead of the settings' address.
        notifier: reports the state to the service manager.
        stderr: writes to standard error.
        interactive: a person at a terminal reads standard error.
        reports_start: log context, server and user, as a service should.

    Raises:
        KubelatchError: the start failed, or a listener or background task has ended for good.
    """
    notifier = notifier or Notifier()
    app = App(settings, environ, sockets=sockets, stderr=stderr, interactive=interactive)
    signals = _SignalHandlers(app, notifier, stderr)
    problems: asyncio.Task[None] | None = None
    try:
        reap_zombies(app.supervisor)
        if not await _start(app):
            return
        if settings.tls == "auto" and not settings.tls_ca_file:
            log.warning("No client can verify --tls=auto: --tls-ca-file=FILE has what they trust")
        for name in app.names:
            announce(name)
        if reports_start:
            _start_log.info("%s", app.status)
        if greet is None and not settings.quiet:
            for _, row in app.cluster_rows:
                _start_log.info("%s", sanitize(row))
        if greet is not None:
            greet(app.greeting())
            problems = asyncio.create_task(_show_problems(app, greet), name="kubelatch start block")
        if settings.inspect:
            from .inspect import show_inspector  # noqa: PLC0415 -- for people who look

            show_inspector(app, settings, environ)
        notifier.ready(lambda: app.status)
        notifier.watch(lambda: app.status, app.supervisor)
        await app.quitting.wait()
        notifier.stopping("Draining", settings.drain_timeout + _AFTER_DRAIN)
        report = asyncio.get_running_loop().call_later(
            _REPORT_AFTER, signals.report_drain, settings
        )
        await app.drain()
        report.cancel()
        if app.failure is not None:
            raise app.failure
    finally:
        if problems is not None:
            problems.cancel()
        await app.stop()


async def _show_problems(app: App, greet: Callable[[str], None]) -> None:
    async for problem in app.startup_problems():
        greet(block_row("problem", problem))


async def _start(app: App) -> bool:
    """Start the proxy; False if a signal came before it had started."""
    loop = asyncio.get_running_loop()
    starting, quitting = loop.create_task(app.start()), loop.create_task(app.quitting.wait())
    try:
        await asyncio.wait({starting, quitting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        return starting.done()
    finally:
        starting.cancel()
        quitting.cancel()
        await asyncio.gather(starting, quitting, return_exceptions=True)


class _SignalHandlers:
    """Handles the signals of this process; see the module."""

    def __init__(self, app: App, notifier: Notifier, stderr: LogWriter | None) -> None:
        self._app = app
        self._notifier = notifier
        self._stderr = stderr
        self._terminal = _ControllingTerminal()
        self._interrupted = False
        self._reloads: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGUSR1, app.reopen_log)
        # Ignored by nohup or a shell's trap, it stays ignored, as in Go (os/signal).
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _stop(self, number: signal.Signals) -> None:
        if self._app.quitting.is_set():
            self._app.abandon()
            if self._stderr is not None:
                self._stderr.close()
            os._exit(0)
        self._interrupted = number == signal.SIGINT
        self._app.quitting.set()

    def _hang_up(self) -> None:
        if self._terminal.gone:
            # The shell and the kernel may both send it: a second one does not end it at once.
            self._app.quitting.set()
            return
        if self._app.name:  # not before the files have been read for the first time
            task = asyncio.get_running_loop().create_task(
                self._reload(), name="kubelatch reload on SIGHUP"
            )
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        self._notifier.reloading()
        await self._app.reload()
        self._notifier.ready(lambda: self._app.status)

    def report_drain(self, settings: Settings) -> None:
        """Report what the drain waits for: at the terminal after Ctrl-C, else in the log."""
        in_flight = self._app.in_flight
        if not in_flight:
            return
        text = f"waiting for {in_flight}, for at most {settings.drain_timeout:g}s"
        told = not settings.quiet and settings.log_format != "json"
        if self._interrupted and self._stderr is not None and told:
            self._stderr.write(f"{text}; Ctrl-C again ends it at once\n".encode())
        else:
            log.info("%s", text)


class _ControllingTerminal:
    """The terminal that this process was started from, if any.

    Some shells and terminal programs send SIGHUP before the terminal is gone. SIGHUP therefore
    means that it was closed if a standard stream was the terminal. A process with all three
    redirected may be sent SIGHUP for a reload while the terminal exists.
    """

    def __init__(self) -> None:
        self._attached = _has_terminal()
        self._used = self._attached and any(map(os.isatty, range(3)))

    @property
    def gone(self) -> bool:
        """Whether a SIGHUP received now means that the terminal was closed."""
        return self._used or (self._attached and not _has_terminal())


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal (credentials(7), tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return False
    return True
