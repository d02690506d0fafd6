"""One proxy: built from settings, started, drained and stopped.

Errors in files, flags and addresses end the start, before the start line is printed; later ones are
reported to the client of each request.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .config.settings import Settings
from .context.assembly import Assembler, user_agent, warn_of_configuration
from .context.listening import allowed_clients, open_listeners, publish, retract, warn_of_listeners
from .context.reload import Reloader, Setup
from .demo_start import start_demo
from .errors import KubelatchError
from .kubeconfig import ClientConfig, DiskFiles
from .kubeconfig.merge import ParsedFiles, parse_file
from .observe.access_log import LogWriter
from .observe.console import describe, greeting
from .observe.observer import Observer
from .observe.suggestions import example_request
from .places import Places
from .redact import sanitize
from .relay.drain import accept_pending, finish, in_flight, let_nothing_look_whole
from .relay.handler import Handler, PageContent
from .relay.limits import Limits
from .relay.registry import Registry
from .relay.server import ClientServer
from .relay.timeouts import Timeouts
from .secret import Secret
from .system.acceptor import Acceptor
from .system.listeners import BACKLOG, Listener, ip_addresses
from .system.supervision import Supervisor
from .system.suspend import SuspendClock

if TYPE_CHECKING:
    from .context.access import ClientAccess
    from .context.client_tls import ClientTls
    from .demo import DemoServer
    from .demo.arrivals import OnRequest
    from .static_files import StaticFiles

log = logging.getLogger(__name__)

# Seconds; kubectl's --keepalive=0 means Go's default (net.Dialer.KeepAlive).
_TUNNEL_KEEPALIVE: Final = 15.0
# Seconds between two looks at whether the machine was suspended.
_SUSPEND_CHECK: Final = 1.0


class App:
    """One proxy.

    Args:
        settings: the flags.
        environ: the environment, for kubeconfig and in-cluster discovery.
        kubeconfig: a kubeconfig as a mapping, instead of files.
        sockets: listening sockets to use instead of the settings' address.
        stderr: writes to standard error; None in a program that embeds the proxy.
        interactive: a person at a terminal reads standard error.

    Attributes:
        quitting: set when the proxy is to end, by request or after a failure.
        failure: the failure that ends the proxy, if any.
        on_demo_request: sees each request before the demo does; set before the start.
        supervisor: runs its background tasks.
        places: what is served beside the chosen context; None before the start.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        kubeconfig: Mapping[str, Any] | None = None,
        sockets: Sequence[socket.socket] = (),
        stderr: LogWriter | None = None,
        interactive: bool = False,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._sockets = sockets
        self._stderr = stderr
        self._interactive = interactive
        self._observer: Observer | None = None
        self.quitting = asyncio.Event()
        self.failure: KubelatchError | None = None
        self.supervisor = Supervisor(self._fail)
        self.on_demo_request: OnRequest | None = None
        self._demo: DemoServer | None = None
        self._config = kubeconfig
        self._reloader: Reloader | None = None
        self.places: Places | None = None
        self._listeners: list[Listener] = []
        self._acceptors: list[Acceptor] = []
        self._http: ClientServer | None = None
        self._handler: Handler | None = None
        self._registry = Registry()
        self._timeouts: Timeouts | None = None
        self._suspended = SuspendClock()

    @property
    def name(self) -> str:
        """The address it listens on, as in the start line; the first of several."""
        return self._listeners[0].name if self._listeners else ""

    @property
    def names(self) -> tuple[str, ...]:
        """All addresses it listens on."""
        return tuple(listener.name for listener in self._listeners)

    @property
    def status(self) -> str:
        """Its state in one line, for the service manager."""
        if self._handler is None:
            return "Starting"
        if self._registry.draining:
            return f"Draining, {len(self._registry)} requests in flight"
        serving = f"Serving on {', '.join(self.names)}"
        if self.chosen is not None:
            server = sanitize(self.chosen.server.url)
            context = sanitize(self.chosen.context) or "none"
            serving += f": context {context}, server {server}"
        if self.supervisor.problem:
            return f"{serving}; {self.supervisor.problem}"
        if self._reloader is not None and self._reloader.last_error is not None:
            return f"{serving}; the changed configuration is not used: {self._reloader.last_error}"
        return serving

    @property
    def in_flight(self) -> str:
        """The exchanges in flight by kind, as ``1 tunnel (pods/exec shop/web)``; may be empty."""
        return in_flight(self._registry, self._observer.name_of) if self._observer else ""

    async def start(self) -> None:
        """Load the configuration, listen, and begin to serve.

        Raises:
            KubelatchError: a flag, a file or an address cannot be used.
        """
        settings = self._settings
        for note in settings.notes:
            log.warning("%s", note)
        if settings.demo:
            self._demo, self._config = await start_demo(settings, self.on_demo_request)
        static = self._static_files()
        files = DiskFiles()
        parse = ParsedFiles() if settings.contexts else parse_file
        handed = ip_addresses(self._sockets)
        assembler = Assembler(
            settings, self._environ, files, self._config, parse=parse, addresses=handed
        )
        reloader = Reloader(assembler, files, self._use, self.supervisor)
        await reloader.start()
        self._reloader = reloader
        self.places = Places(assembler, reloader, self.supervisor, self._registry)
        await self.places.start()
        gate = reloader.setup.gate
        for warning in (
            *warn_of_configuration(reloader.setup.config, settings),
            *gate.warnings,
            *(static.warnings if static else ()),
        ):
            log.warning("%s", warning)
        self._listeners = open_listeners(settings, self._sockets)
        publish(settings, reloader.setup.client_tls)
        for warning in warn_of_listeners(settings, self._listeners):
            log.warning("%s", warning)
        self._handler = Handler(
            gate,
            reloader,
            self._registry,
            user_agent=user_agent(),
            static=static,
            users=allowed_clients(settings, self._listeners),
            page=self._page,
            root=f"{settings.api_prefix.rstrip('/')}/",
            tunnel_keepalive=settings.keepalive or _TUNNEL_KEEPALIVE,
        )
        self.places.connect(self._handler)
        self._observer = Observer(
            settings,
            self._environ,
            self._handler,
            reloader,
            self.supervisor,
            self.quitting.set,
            contexts=self.places.contexts,
            stderr=self._stderr,
            interactive=self._interactive,
        )
        self._registry.on_end = self._observer.ended
        self._registry.on_begin = self._observer.accepted
        if self._observer.inspector is not None:
            self._observer.inspector.proxy_name = self.name
        self._listen(self._handler, reloader.setup.client_tls)
        await self._observer.start()
        reloader.watch()

    async def ready(self) -> None:
        """Wait until a credential is available.

        Raises:
            KubelatchError: none can be obtained.
        """
        if self._reloader is not None:
            await self._reloader.current().credential()

    def greeting(self) -> str:
        """The start block: a few lines for a person at a terminal."""
        if self._reloader is None or self._handler is None:
            return ""
        return greeting(
            self._settings,
            self._reloader.setup.config,
            self._reloader.current().credentials.describe(),
            example=example_request(
                self._settings, self.name, self._handler.gate, unix=self._listeners[0].unix
            ),
            admin=self.admin_name,
            interactive=self._interactive,
            more=self.cluster_rows,
        )

    @property
    def cluster_rows(self) -> list[tuple[str, str]]:
        """Rows for a person on the contexts that are served, which are not sanitized."""
        return self.places.rows if self.places is not None else []

    def _page(self) -> PageContent:
        if self._reloader is None:
            return "", []
        config = self._reloader.setup.config
        status = self._reloader.current().credentials.describe()
        rows = describe(self._settings, config, status) + self.cluster_rows
        title = config.context or config.server.url
        return sanitize(title), [(name, sanitize(text)) for name, text in rows]

    async def startup_problems(self) -> AsyncIterator[str]:
        """Problems for the start block, each as soon as it is known."""
        if self._reloader is not None:
            from .context.startup import startup_problems  # noqa: PLC0415 -- at a terminal only

            setup = self._reloader.setup
            async for problem in startup_problems(setup.config, setup.generation, self._environ):
                yield problem

    @property
    def chosen(self) -> ClientConfig | None:
        """The cluster and user in use."""
        return self._reloader.setup.config if self._reloader is not None else None

    @property
    def access(self) -> "ClientAccess | None":
        """How clients reach it; None while it is not running."""
        if self._reloader is None or not self._listeners:
            return None
        from .context.access import client_access  # noqa: PLC0415 -- for programs and files

        contexts = self.places.contexts if self.places is not None else None
        places = contexts.places if contexts is not None else ()
        return client_access(self._settings, self._reloader.setup, self.name, places)

    @property
    def reloads(self) -> int:
        """How often a changed configuration has been put into use."""
        return self._reloader.reloads if self._reloader is not None else 0

    async def reload(self) -> None:
        """Read kubeconfig and its files again; returns when that is done, or after a time-out."""
        if self._reloader is not None:
            await self._reloader.reload()
        if self.places is not None:
            await self.places.reload()

    def _fail(self, problem: str) -> None:
        self.failure = self.failure or KubelatchError(problem)
        self.quitting.set()

    def _use(self, setup: Setup, before: Setup) -> None:
        """Use the gate of a new setup, and report its warnings if they are new."""
        if self._handler is not None:
            self._handler.gate = setup.gate
            self._handler.judge_held_again()
        if self._http is not None and setup.client_tls is not None:
            self._http.secure(setup.client_tls.context)
        old, new = before.config, setup.config
        if (old.warnings, old.server) != (new.warnings, new.server):
            for warning in warn_of_configuration(new, self._settings):
                log.warning("%s", warning)

    def _static_files(self) -> "StaticFiles | None":
        settings = self._settings
        if not settings.www:
            return None
        from .static_files import StaticFiles  # noqa: PLC0415 -- seldom used

        return StaticFiles(settings.www, settings.www_prefix, follow_symlinks=settings.www_symlinks)

    def _listen(self, handler: Handler, tls: "ClientTls | None") -> None:
        settings = self._settings
        self._http = http = ClientServer(handler, Limits.of(settings), users=handler.users)
        if tls is not None:
            http.secure(tls.context)
        for listener in self._listeners:
            ended = partial(self.supervisor.fatal, f"the listener on {listener.name}")
            factory = http.factory(plain=listener.unix)
            self._acceptors.append(Acceptor(listener.socket, factory, ended, backlog=BACKLOG))
        self._timeouts = Timeouts(settings.response_timeout, self._registry)
        self._timeouts.start(self.supervisor)
        self.supervisor.every("suspend", _SUSPEND_CHECK, self._check_suspend)

    def _check_suspend(self) -> None:
        if self._suspended.was_suspended() and self._reloader is not None:
            log.info("the machine was suspended: idle connections are closed")
            self._reloader.current().on_suspend()
            if self.places is not None:
                self.places.on_suspend()

    async def drain(self) -> None:
        """Close the listeners, and let exchanges in flight finish within ``--drain-timeout``."""
        if self._http is None:
            return
        self._registry.draining = True
        await accept_pending()
        for acceptor in self._acceptors:
            acceptor.close()
        for listener in self._listeners:
            listener.remove()
        await finish(self._http, self._registry, self._settings.drain_timeout)

    async def stop(self) -> None:
        """Abort what is left, and close everything. May be repeated."""
        while self._acceptors:
            self._acceptors.pop().close()
        if self._timeouts is not None:
            self._timeouts.stop()
        if self._http is not None:
            await self._http.shutdown()
            self._http = None
        while self._listeners:
            self._listeners.pop().close()
        if self.places is not None:
            await self.places.stop()
            self.places = None
        if self._reloader is not None:
            retract(self._settings, self._reloader.setup.client_tls)
            await self._reloader.stop()
            self._reloader = None
        await self.supervisor.stop()
        if self._demo is not None:
            await self._demo.stop()
            self._demo = None
        if self._observer is not None:
            await self._observer.stop()
            self._registry.forget_observers()
            self._observer = None

    @property
    def admin_name(self) -> str:
        """The address of the admin listener; empty without one."""
        return self._observer.admin_name if self._observer is not None else ""

    @property
    def inspector_url(self) -> Secret | None:
        """The inspector's URL, with its secret; None without one that a browser could open."""
        inspector = self._observer.inspector if self._observer is not None else None
        return inspector.url(self.admin_name) if inspector is not None else None

    def inspector_url_for_browser(self) -> str:
        """A URL of the inspector that may stand in a list of processes, valid once and for a
        minute; empty where there is no page."""
        inspector = self._observer.inspector if self._observer is not None else None
        return inspector.url_for_browser(self.admin_name) if inspector is not None else ""

    def reopen_log(self) -> None:
        """Reopen the request log's file, as after a rotation."""
        if self._observer is not None:
            self._observer.reopen()

    def abandon(self) -> None:
        """Prepare to end at once: write the log, and let the kernel reset unfinished connections,
        so that no client takes half a response for a whole one."""
        if self._http is not None:
            let_nothing_look_whole(self._http)
        if self._observer is not None:
            self._observer.close_log()
