"""The whole, put together: from settings to a proxy that serves, drains and stops.

Here, and only here, the rooms meet. What can be wrong with files, flags and addresses shows
before the start line is printed; what can go wrong later is told request by request.
"""

import asyncio
import contextlib
import logging
import os
import platform
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from . import __version__
from .client_connection import ClientServer
from .credentials import CredentialSource, impersonation_headers, source_for
from .dispatch import Dispatcher
from .gate import Gate, GateSettings, split_patterns
from .kubeconfig import ClientConfig, load, load_mapping
from .listeners import BACKLOG, Listener, listen_tcp, listen_unix
from .outbound import Policy
from .record import Record
from .reload import Reloader, SeenFiles
from .secret import Secret
from .settings import Settings
from .tls import ClientCertificate, client_context, explain
from .upstream.generation import Generation, Upstream

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


class App:
    """One proxy.

    Args:
        settings: what the user wants.
        environ: the environment; kubeconfig and in-cluster discovery look there.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._demo: DemoServer | None = None
        self._demo_config: Mapping[str, Any] = {}
        self._reloader: Reloader | None = None
        self._listener: Listener | None = None
        self._server: asyncio.Server | None = None
        self._http: ClientServer | None = None
        self._dispatcher: Dispatcher | None = None
        self._idle = asyncio.Event()

    @property
    def name(self) -> str:
        """The address it serves on, as the start line says it."""
        return self._listener.name if self._listener is not None else ""

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
        self._dispatcher = Dispatcher(
            gate,
            self._reloader,
            Policy(user_agent=user_agent()),
            self._record,
            static=static,
            tunnel_keepalive=settings.keepalive or _TUNNEL_KEEPALIVE,
        )
        await self._listen(self._dispatcher)
        self._reloader.start()

    def reload(self) -> None:
        """Read kubeconfig and its files again."""
        if self._reloader is not None:
            self._reloader.reload()

    def _load(self, files: SeenFiles) -> ClientConfig:
        settings, environ = self._settings, self._environ
        if settings.demo:
            config = load_mapping(self._demo_config, settings.overrides, environ=environ)
        else:
            config = load(settings.overrides, environ=environ, files=files)
        if settings.proxy_url:
            config = replace(config, proxy_url=Secret(settings.proxy_url))
        return config

    def _build(self, files: SeenFiles) -> Generation:
        """The generation that the files describe; the gate follows it."""
        config = self._load(files)
        if config.tls.ca_file:
            files.look(config.tls.ca_file)
        generation = build_generation(config, self._credentials(config), self._settings)
        for warning in config.warnings:
            log.warning("%s", warning)
        if config.server.path and not self._settings.append_server_path:
            log.warning(
                "Your kube context contains a server path %s, use --append-server-path to "
                "automatically append the path to each request",
                config.server.path,
            )
        for path in self._settings.allow_rules:
            files.look(path)
        if self._dispatcher is not None:
            self._dispatcher.gate = make_gate(self._settings, generation)
        return generation

    def _credentials(self, config: ClientConfig) -> CredentialSource:
        return source_for(
            config, exec_timeout=self._settings.exec_timeout or None, environ=self._environ
        )

    async def _start_demo(self) -> None:
        from .demo import DemoServer  # noqa: PLC0415 -- a proxy to a cluster does not need it

        self._demo = DemoServer()
        access = await self._demo.start()
        self._demo_config = access.kubeconfig()

    def _static_files(self) -> "StaticFiles | None":
        settings = self._settings
        if not settings.www:
            return None
        from .static_files import StaticFiles  # noqa: PLC0415 -- seldom used

        return StaticFiles(settings.www, settings.www_prefix, follow_symlinks=settings.www_symlinks)

    async def _listen(self, dispatcher: Dispatcher) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        self._http = ClientServer(
            dispatcher,
            access_log=None,
            auto_decompress=False,
            max_line_size=_MAX_FIELD,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
            read_bufsize=_READ_BUFFER,
        )
        if settings.unix_socket:
            self._listener = listen_unix(settings.unix_socket)
            self._server = await loop.create_unix_server(
                self._http, sock=self._listener.socket, backlog=BACKLOG
            )
        else:
            self._listener = listen_tcp(settings.address, settings.port)
            self._server = await loop.create_server(
                self._http, sock=self._listener.socket, backlog=BACKLOG
            )

    async def drain(self) -> None:
        """Accept no more, and let what is in flight finish within ``--drain-timeout``."""
        if self._server is None or self._http is None or self._dispatcher is None:
            return
        self._dispatcher.draining = True
        self._server.close()
        self._http.pre_shutdown()
        if self._dispatcher.in_flight:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_timeout):
                    await self._idle.wait()

    async def stop(self) -> None:
        """Cut what is left and close everything. May be repeated."""
        if self._http is not None:
            await self._http.shutdown(0)
            self._http = None
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._reloader is not None:
            await self._reloader.stop()
            self._reloader = None
        if self._demo is not None:
            await self._demo.stop()
            self._demo = None

    def _record(self, record: Record) -> None:
        if self._dispatcher is not None and not self._dispatcher.in_flight:
            self._idle.set()
        if record.cause and record.cause != "client-gone":
            log.warning(
                "%s %s %d %s",
                record.method,
                record.target.split("?")[0],
                record.status,
                record.cause,
            )


async def run(
    settings: Settings, environ: Mapping[str, str], announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; a second one stops at once.

    Args:
        settings: what the user wants.
        environ: the environment.
        announce: is told the address when the socket accepts.

    Raises:
        KubelatchError: it cannot start.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    app = App(settings, environ)

    def on_signal() -> None:
        if stop.is_set():
            os._exit(0)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, app.reload)
    try:
        await app.start()
        announce(app.name)
        await stop.wait()
        await app.drain()
    finally:
        await app.stop()


def build_generation(
    config: ClientConfig, credentials: CredentialSource, settings: Settings
) -> Generation:
    """The generation that a configuration describes.

    Raises:
        ConfigError: its CA, certificate or key cannot be used.
    """
    server, tls = config.server, config.tls
    secure = server.scheme == "https"

    def context(certificate: ClientCertificate | None) -> Any:
        return client_context(tls, certificate)

    identity = b"".join(
        b"%b: %b\r\n" % pair for pair in impersonation_headers(config.impersonation)
    )
    generation = Generation(
        Upstream(
            host=server.host,
            port=server.port,
            server_name=tls.server_name or server.host,
            host_header=server.authority.encode(),
            path_prefix=server.path.encode() if settings.append_server_path else b"",
            context=context if secure else None,
            explain_tls=lambda error, name: explain(error, server_name=name),
            identity=identity,
            compression=not config.disable_compression,
        ),
        credentials,
    )
    credential = credentials.peek()
    if credential is not None:
        # A certificate that cannot be used shows now rather than at the first request.
        generation.pool(credential)
    return generation


def user_agent() -> bytes:
    """Our own name, in the form of kubectl's."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"kubelatch/{__version__} ({platform.system().lower()}/{machine})".encode()


def make_gate(settings: Settings, generation: Generation) -> Gate:
    """The gate that the flags describe.

    Raises:
        UsageError: a pattern or a prefix is no good.
        ConfigError: a file of rules cannot be used.
    """
    rules = None
    if settings.allow_rules:
        from .gate.manifests import load_rules  # noqa: PLC0415 -- YAML, seldom used

        rules = load_rules(settings.allow_rules)
    return Gate(
        GateSettings(
            accept_paths=split_patterns(settings.accept_paths),
            reject_paths=split_patterns(settings.reject_paths),
            accept_hosts=split_patterns(settings.accept_hosts),
            reject_methods=split_patterns(settings.reject_methods),
            disable_filter=settings.disable_filter,
            accept_origins=split_patterns(settings.accept_origins),
            read_only=settings.read_only,
            client_auth=settings.client_auth,
            allow_rules=rules,
            impersonation_configured=generation.impersonating,
            api_prefix=settings.api_prefix,
            www_prefix=settings.www_prefix if settings.www else None,
            unix_socket=bool(settings.unix_socket),
        )
    )
