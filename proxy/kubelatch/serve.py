"""The proxy as a process: it serves until a signal ends it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .access_log import Sink
from .app import App
from .orphans import reap_orphans
from .settings import Settings
from .systemd import Notifier

# Of the time that the service manager is asked for, what is left when the drain is over.
_AFTER_DRAIN: Final = 5.0


async def run(
    settings: Settings,
    environ: Mapping[str, str],
    announce: Callable[[str], None],
    *,
    greet: Callable[[str], None] | None = None,
    sockets: Sequence[socket.socket] = (),
    notifier: Notifier | None = None,
    stderr: Sink | None = None,
    attended: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; a second one stops at once.

    Args:
        settings: what the user wants.
        environ: the environment.
        announce: is told the address when the socket accepts.
        greet: is told what a person should know, after that.
        sockets: listen on these instead of what the settings say.
        notifier: tells the service manager how we are.
        stderr: standard error, if it is ours to write to.
        attended: a person at a terminal sees standard error.

    Raises:
        KubelatchError: it cannot start, or a part of it has ended for good.
    """
    notifier = notifier or Notifier()
    app = App(settings, environ, sockets=sockets, stderr=stderr, attended=attended)
    _follow_signals(app, notifier, stderr)
    try:
        reap_orphans(app.supervisor)
        if not await _start(app):
            return
        for name in app.names:
            announce(name)
        if greet is not None:
            greet(app.greeting())
        notifier.ready(app.status)
        notifier.watch(lambda: app.status, app.supervisor)
        await app.quitting.wait()
        notifier.stopping("Draining", settings.drain_timeout + _AFTER_DRAIN)
        await app.drain()
        if app.failure is not None:
            raise app.failure
    finally:
        await app.stop()


async def _start(app: App) -> bool:
    """Start it; False if it was asked to end before it had started."""
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


def _follow_signals(app: App, notifier: Notifier, stderr: Sink | None) -> None:
    """TERM and INT drain, and end it at once when repeated; HUP reloads, USR1 reopens the log."""

    def on_stop() -> None:
        if app.quitting.is_set():
            app.abandon()
            if stderr is not None:
                stderr.close()
            os._exit(0)
        app.quitting.set()

    reloads: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        notifier.reloading()
        await app.reload()
        notifier.ready(app.status)

    def on_reload() -> None:
        if app.name:  # else the files have not been read for the first time
            task = loop.create_task(reload(), name="kubelatch reload on SIGHUP")
            reloads.add(task)
            task.add_done_callback(reloads.discard)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_reload)
    loop.add_signal_handler(signal.SIGUSR1, app.reopen_log)
