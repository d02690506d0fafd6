"""The whole, put together: from settings to a proxy that serves, drains and stops.

Here, and only here, the rooms meet. What can be wrong with files, flags and addresses shows
before the start line is printed; what can go wrong later is told request by request.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .access_log import Sink
from .assembly import (
    allowed_clients,
    build_generation,
    load_configuration,
    make_gate,
    user_agent,
)
from .client_connection import ClientServer
from .console import greeting
from .dispatch import Dispatcher
from .errors import KubelatchError
from .kubeconfig import ClientConfig
from .listeners import BACKLOG, Listener, adopt, listen_tcp, listen_unix
from .observation import Observation
from .outbound import Policy
from .record import Record
from .reload import Reloader, SeenFiles
from .settings import Settings
from .systemd import Notifier
from .upstream.generation import Generation

if TYPE_CHECKING:
    from .demo import DemoServer
    from .static_files import StaticFiles

log = logging.getLogger(__name__)

# One field of a request's head: projected tokens and cookies reach 16 KiB, kubectl proxy allows
# 1 MiB for all of them together, nginx 32 KiB.
_MAX_FIELD: Final = 128 * 1024
_MAX_FIELDS: Final = 256
# Of a request's body, what may wait for a slow upstream.
_READ_BUFFER: Final = 256 * 1024
# kubectl's flag says 0 is off, and means Go's default (net.Dialer.KeepAlive).
_TUNNEL_KEEPALIVE: Final = 15.0
# Who removes a unix socket's file is its listener's business. Python 3.13 would do it too, even
# where the service manager owns the file.
_KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
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
        self._servers: list[asyncio.Server] = []
        self._http: ClientServer | None = None
        self._dispatcher: Dispatcher | None = None
        self._idle = asyncio.Event()

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
        await self._listen(self._dispatcher)
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
        if self._reloader is None or self.chosen is None:
            return ""
        return greeting(
            self._settings,
            self.chosen,
            self._reloader.current().credentials.describe(),
            name=self.name,
            admin=self.admin_name,
        )

    @property
    def reloads(self) -> int:
        """How often a changed configuration has been taken up."""
        return self._reloader.reloads if self._reloader is not None else 0

    @property
    def reload_error(self) -> KubelatchError | None:
        """Why the changed configuration is not in use; None if it is."""
        return self._reloader.last_error if self._reloader is not None else None

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

    async def _listen(self, dispatcher: Dispatcher) -> None:
        loop = asyncio.get_running_loop()
        self._http = ClientServer(
            dispatcher,
            on_unreadable=dispatcher.unreadable,
            access_log=None,
            auto_decompress=False,
            max_line_size=_MAX_FIELD,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
            read_bufsize=_READ_BUFFER,
        )
        self._listeners = self._open()
        self._warn_of_strangers()
        for listener in self._listeners:
            server = await (
                loop.create_unix_server(
                    self._http, sock=listener.socket, backlog=BACKLOG, **_KEEP_FILE
                )
                if listener.unix
                else loop.create_server(self._http, sock=listener.socket, backlog=BACKLOG)
            )
            self._servers.append(server)

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
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.remove()
        self._http.pre_shutdown()
        if self._dispatcher.in_flight:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_timeout):
                    await self._idle.wait()

    async def stop(self) -> None:
        """Cut what is left and close everything. May be repeated."""
        if self._http is not None:
            await self._http.shutdown(_AT_ONCE)
            self._http = None
        while self._servers:
            self._servers.pop().close()
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
        if self._dispatcher is not None and not self._dispatcher.in_flight:
            self._idle.set()
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

    def write_log(self) -> None:
        """Write all that is known to the request log, before an end without further ado."""
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
    loop = asyncio.get_running_loop()
    notifier = notifier or Notifier()
    app = App(settings, environ, sockets=sockets, stderr=stderr, attended=attended)
    stop = app.quitting

    def on_signal() -> None:
        if stop.is_set():
            app.write_log()
            if stderr is not None:
                stderr.close()
            os._exit(0)
        stop.set()

    def on_reload() -> None:
        notifier.reloading()
        app.reload()
        notifier.ready(app.status)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, on_reload)
    loop.add_signal_handler(signal.SIGUSR1, app.reopen_log)
    try:
        await app.start()
        for name in app.names:
            announce(name)
        if greet is not None:
            greet(app.greeting())
        notifier.ready(app.status)
        notifier.watch(lambda: app.status)
        await stop.wait()
        notifier.stopping("Draining", settings.drain_timeout + _AFTER_DRAIN)
        await app.drain()
    finally:
        await app.stop()
        notifier.close()
