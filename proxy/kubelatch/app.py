"""The whole, put together: from settings to a proxy that serves, drains and stops.

Here the rooms meet; ``assembly`` and ``observation`` make its parts. What can be wrong with
files, flags and addresses shows before the start line is printed; what can go wrong later is told
request by request.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .acceptor import Acceptor
from .access_log import Reader, Sink
from .assembly import (
    allowed_clients,
    build_generation,
    load_configuration,
    make_gate,
    user_agent,
)
from .client_limits import Limits
from .client_server import ClientServer
from .console import greeting
from .dispatch import Dispatcher
from .drain import finish, let_in, let_nothing_look_whole
from .kubeconfig import ClientConfig
from .listeners import BACKLOG, Listener, adopt, listen_tcp, listen_unix
from .observation import Observation
from .orphans import reap_orphans
from .outbound import Policy
from .patience import Patience
from .record import Record
from .reload import Reloader, SeenFiles
from .settings import Settings
from .suggestions import question
from .systemd import Notifier
from .upstream.generation import Generation

if TYPE_CHECKING:
    from .demo import DemoServer
    from .static_files import StaticFiles

log = logging.getLogger(__name__)

# Of a request's body, what may wait for a slow upstream.
_READ_BUFFER: Final = 256 * 1024
# kubectl's flag says 0 is off, and means Go's default (net.Dialer.KeepAlive).
_TUNNEL_KEEPALIVE: Final = 15.0
# Of the time that the service manager is asked for, what is left when the drain is over.
_AFTER_DRAIN: Final = 5.0
# aiohttp takes 0 seconds for no limit.
_AT_ONCE: Final = 0.01


class App:
    """One proxy.

    Args:
        settings: what the user wants.
        environ: the environment; kubeconfig and in-cluster discovery look there.
        kubeconfig: a kubeconfig as a mapping, instead of files.
        sockets: listen on these instead of what the settings say.
        stderr: standard error, if it is ours to write to.
        attended: a person at a terminal sees standard error.

    Attributes:
        chosen: the cluster and user in use.
        quitting: somebody has asked on the admin address that it end.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        kubeconfig: Mapping[str, Any] | None = None,
        sockets: Sequence[socket.socket] = (),
        stderr: Sink | None = None,
        attended: bool = False,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._sockets = sockets
        self._stderr = stderr
        self._attended = attended
        self._observation: Observation | None = None
        self.chosen: ClientConfig | None = None
        self.quitting = asyncio.Event()
        self._demo: DemoServer | None = None
        self._config = kubeconfig
        self._reloader: Reloader | None = None
        self._listeners: list[Listener] = []
        self._acceptors: list[Acceptor] = []
        self._http: ClientServer | None = None
        self._dispatcher: Dispatcher | None = None
        self._patience: Patience | None = None
        self._reader = Reader(settings.api_prefix)

    @property
    def name(self) -> str:
        """The address it serves on, as the start line says it; with several, the first."""
        return self._listeners[0].name if self._listeners else ""

    @property
    def names(self) -> tuple[str, ...]:
        """All addresses it serves on."""
        return tuple(listener.name for listener in self._listeners)

    @property
    def status(self) -> str:
        """One line on what it does now."""
        if self._dispatcher is None:
            return "Starting"
        if self._dispatcher.draining:
            return f"Draining, {len(self._dispatcher.in_flight)} requests in flight"
        serving = f"Serving on {', '.join(self.names)}"
        if self._reloader is not None and self._reloader.last_error is not None:
            return f"{serving}; the changed configuration is not used: {self._reloader.last_error}"
        return serving

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            KubelatchError: a flag, a file or an address is no good.
        """
        settings = self._settings
        for note in settings.notes:
            log.warning("%s", note)
        if settings.demo:
            await self._start_demo()
        static = self._static_files()
        self._reloader = Reloader(self._build)
        gate = make_gate(settings, self._reloader.current())
        for warning in (*gate.warnings, *(static.warnings if static else ())):
            log.warning("%s", warning)
        self._observation = Observation(
            settings, self._environ, stderr=self._stderr, attended=self._attended
        )
        self._dispatcher = Dispatcher(
            gate,
            self._reloader,
            Policy(user_agent=user_agent()),
            self._record,
            begun=self._observation.begun,
            static=static,
            clients=allowed_clients(settings),
            tunnel_keepalive=settings.keepalive or _TUNNEL_KEEPALIVE,
        )
        self._listen(self._dispatcher)
        await self._observation.start(self._dispatcher, self._reloader, self.quitting.set)
        self._reloader.start()

    async def ready(self) -> None:
        """Wait until a request could be authenticated.

        Raises:
            KubelatchError: none can, and why.
        """
        if self._reloader is not None:
            await self._reloader.current().credential()

    def greeting(self) -> str:
        """What a person should know of it, in a few lines."""
        if self._reloader is None or self.chosen is None or self._dispatcher is None:
            return ""
        return greeting(
            self._settings, self.chosen, self._reloader.current().credentials.describe(),
            admin=self.admin_name,
            question=question(self._settings, self.name, self._dispatcher.gate),
        )  # fmt: skip

    @property
    def reloads(self) -> int:
        """How often a changed configuration has been taken up."""
        return self._reloader.reloads if self._reloader is not None else 0

    def reload(self) -> None:
        """Read kubeconfig and its files again."""
        if self._reloader is not None:
            self._reloader.reload()

    def _build(self, files: SeenFiles) -> Generation:
        """The generation that the files describe; the gate follows it."""
        config = load_configuration(self._settings, self._environ, files, self._config)
        own = (config.tls.ca_file, *self._settings.allow_rules, self._settings.client_token_file)
        for path in filter(None, own):
            files.look(path)
        files.keep((*config.files, *own))
        generation = build_generation(config, self._settings, self._environ)
        for warning in config.warnings:
            log.warning("%s", warning)
        if config.server.path and not self._settings.append_server_path:
            log.warning(
                "Your kube context contains a server path %s, use --append-server-path to "
                "automatically append the path to each request",
                config.server.path,
            )
        if self._dispatcher is not None:
            self._dispatcher.gate = make_gate(self._settings, generation)
        self.chosen = config
        return generation

    async def _start_demo(self) -> None:
        from .demo import DemoServer  # noqa: PLC0415 -- a proxy to a cluster does not need it

        self._demo = DemoServer()
        access = await self._demo.start()
        self._config = access.kubeconfig()

    def _static_files(self) -> "StaticFiles | None":
        settings = self._settings
        if not settings.www:
            return None
        from .static_files import StaticFiles  # noqa: PLC0415 -- seldom used

        return StaticFiles(settings.www, settings.www_prefix, follow_symlinks=settings.www_symlinks)

    def _listen(self, dispatcher: Dispatcher) -> None:
        settings = self._settings
        self._http = ClientServer(
            dispatcher,
            begin=dispatcher.begin,
            on_unreadable=dispatcher.unreadable,
            access_log=None,
            auto_decompress=False,
            limits=Limits(
                header_bytes=settings.max_header_bytes,
                headers=settings.max_headers,
                head_seconds=settings.head_timeout,
                idle_seconds=settings.idle_timeout,
                connections=settings.max_connections,
            ),
            read_bufsize=_READ_BUFFER,
        )
        self._listeners = self._open()
        self._warn_of_strangers()
        for listener in self._listeners:
            self._acceptors.append(Acceptor(listener.socket, self._http, backlog=BACKLOG))
        if settings.response_timeout:
            self._patience = Patience(
                settings.response_timeout, self._http, self._may_take_its_time
            )
            self._patience.start()

    def _may_take_its_time(self, record: Record) -> bool:
        return self._reader.read(record).info.long_running

    def _is_watch(self, record: Record) -> bool:
        return self._reader.read(record).info.verb == "watch"

    def _open(self) -> list[Listener]:
        settings = self._settings
        if self._sockets:
            return [adopt(sock) for sock in self._sockets]
        if settings.unix_socket:
            return [listen_unix(settings.unix_socket)]
        return [listen_tcp(settings.address, settings.port)]

    def _warn_of_strangers(self) -> None:
        """Whoever reaches the port acts as the user."""
        settings = self._settings
        if settings.clients != "any" or settings.client_token_file:
            return
        for listener in self._listeners:
            if not listener.local:
                log.warning(
                    "Whoever reaches %s acts with this proxy's credentials: it is open to other "
                    "machines. Use --client-token-file, or listen on 127.0.0.1",
                    listener.name,
                )

    async def drain(self) -> None:
        """Accept no more, and let what is in flight finish within ``--drain-timeout``."""
        if self._http is None or self._dispatcher is None:
            return
        self._dispatcher.draining = True
        await let_in()
        for acceptor in self._acceptors:
            acceptor.close()
        for listener in self._listeners:
            listener.remove()
        seconds = self._settings.drain_timeout
        await finish(self._http, seconds, self._is_watch, self._dispatcher.give_up)

    async def stop(self) -> None:
        """Cut what is left and close everything. May be repeated."""
        while self._acceptors:
            self._acceptors.pop().close()
        if self._patience is not None:
            self._patience.stop()
        if self._http is not None:
            await self._http.shutdown(_AT_ONCE)
            self._http = None
        while self._listeners:
            self._listeners.pop().close()
        if self._reloader is not None:
            await self._reloader.stop()
            self._reloader = None
        if self._demo is not None:
            await self._demo.stop()
            self._demo = None
        if self._observation is not None:
            await self._observation.stop()
            self._observation = None

    def _record(self, record: Record) -> None:
        if self._observation is not None:
            self._observation.ended(record)

    @property
    def admin_name(self) -> str:
        """The address of the admin listener; empty without one."""
        return self._observation.admin_name if self._observation is not None else ""

    def reopen_log(self) -> None:
        """Write the request log to a new file of the same name, after a rotation."""
        if self._observation is not None:
            self._observation.reopen()

    def abandon(self) -> None:
        """Prepare for an end at once: the log is written, and what is cut will not look whole."""
        if self._http is not None:
            let_nothing_look_whole(self._http)
        if self._observation is not None:
            self._observation.close_log()


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
        KubelatchError: it cannot start.
    """
    notifier = notifier or Notifier()
    reap_orphans()
    app = App(settings, environ, sockets=sockets, stderr=stderr, attended=attended)
    _follow_signals(app, notifier, stderr)
    try:
        await app.start()
        for name in app.names:
            announce(name)
        if greet is not None:
            greet(app.greeting())
        notifier.ready(app.status)
        notifier.watch(lambda: app.status)
        await app.quitting.wait()
        notifier.stopping("Draining", settings.drain_timeout + _AFTER_DRAIN)
        await app.drain()
    finally:
        await app.stop()
        notifier.close()


def _follow_signals(app: App, notifier: Notifier, stderr: Sink | None) -> None:
    """TERM and INT drain, and end it at once when repeated; HUP reloads, USR1 reopens the log."""

    def on_stop() -> None:
        if app.quitting.is_set():
            app.abandon()
            if stderr is not None:
                stderr.close()
            os._exit(0)
        app.quitting.set()

    def on_reload() -> None:
        notifier.reloading()
        app.reload()
        notifier.ready(app.status)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_reload)
    loop.add_signal_handler(signal.SIGUSR1, app.reopen_log)
