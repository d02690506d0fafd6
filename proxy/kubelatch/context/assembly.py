"""Builds configuration, generation and gate from settings and files.

The other packages do not know each other's types; the conversions are here. Nothing here serves or
waits.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .._version import __version__
from ..config.settings import Settings
from ..credentials import impersonation_headers, source_for
from ..credentials.tls import ClientCertificate, client_context, explain
from ..errors import ConfigError
from ..gate import Gate, GateSettings, split_patterns
from ..kubeconfig import (
    DISK,
    Choice,
    ClientConfig,
    DiskFiles,
    FileReader,
    TrackedFiles,
    load,
    load_mapping,
    proxy_for,
)
from ..kubeconfig.changes import changes
from ..kubeconfig.files import explain_os_error
from ..kubeconfig.merge import Parse, parse_file
from ..secret import Secret
from ..upstream.generation import Generation, Upstream
from .reload import Setup


class Beside(NamedTuple):
    """What differs for a context that is served beside the chosen one.

    Attributes:
        read_only_hint: what lets it be changed, if it is read-only for being beside; else empty.
        plugin_pause: see :func:`kubelatch.credentials.source_for`.
    """

    read_only_hint: str
    plugin_pause: float


def load_configuration(
    settings: Settings,
    environ: Mapping[str, str],
    files: FileReader = DISK,
    kubeconfig: Mapping[str, Any] | None = None,
    pinned: Choice | None = None,
    parse: Parse = parse_file,
) -> ClientConfig:
    """The cluster and user that the flags choose.

    Args:
        settings: the flags.
        environ: the environment, for kubeconfig and in-cluster discovery.
        files: reads files.
        kubeconfig: a kubeconfig as a mapping, instead of files.
        pinned: the choice made at the start; None at the start.
        parse: makes entries of each kubeconfig file.

    Raises:
        ConfigError: a file, an entry or a flag cannot be used.
    """
    if kubeconfig is not None:
        config = load_mapping(
            kubeconfig, settings.overrides, environ=environ, files=files, pinned=pinned
        )
    else:
        config = load(settings.overrides, environ=environ, files=files, pinned=pinned, parse=parse)
    if settings.proxy_url:
        config = replace(config, proxy_url=settings.proxy_url)
    return config


def build_generation(
    config: ClientConfig,
    settings: Settings,
    environ: Mapping[str, str],
    files: FileReader = DISK,
    *,
    plugin_pause: float = 1.0,
) -> Generation:
    """The generation that a configuration describes. Reads files, so it may block.

    Args:
        config: the chosen cluster and user.
        settings: the flags.
        environ: the environment of plugins.
        files: reads the credential's files, now and later.
        plugin_pause: see :func:`kubelatch.credentials.source_for`.

    Raises:
        ConfigError: its CA, certificate or key cannot be used.
    """
    credentials = source_for(
        config,
        exec_timeout=settings.exec_timeout or None,
        environ=environ,
        files=files,
        pause=plugin_pause,
    )
    server, tls = config.server, config.tls
    secure = server.scheme == "https"

    def context(certificate: ClientCertificate | None) -> Any:
        return client_context(tls, certificate)

    identity = tuple(impersonation_headers(config.impersonation))
    generation = Generation(
        Upstream(
            host=server.host,
            port=server.port,
            server_name=config.tls_name,
            host_header=server.authority.encode(),
            path_prefix=server.path.encode() if settings.append_server_path else b"",
            api_path=server.path.encode(),
            context=context if secure else None,
            explain_tls=lambda error, name: explain(error, server_name=name),
            identity=identity,
            compression=not config.disable_compression,
            proxy=proxy_for(server.url, config, environ),
            request_timeout=config.request_timeout,
            connect_timeout=settings.connect_timeout,
            tls_timeout=settings.tls_timeout,
            http2=settings.http2 == "auto",
        ),
        credentials,
    )
    # Report unusable files now rather than at the first request.
    credential = credentials.reload()
    generation.prepare(credential.certificate if credential is not None else None)
    return generation


class Assembler:
    """Builds setups, each reusing the unchanged parts of the one before.

    The context chosen at the start stays: a later change of ``current-context`` has no effect.

    Args:
        settings: the flags.
        environ: the environment.
        disk: reads the credential's files.
        kubeconfig: a kubeconfig as a mapping, instead of files.
        parse: makes entries of each kubeconfig file.
        beside: of a context beside the chosen one.
        addresses: the IP addresses of sockets that were handed over.

    Attributes:
        settings, environ, disk, kubeconfig, parse: the same.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        disk: DiskFiles,
        kubeconfig: Mapping[str, Any] | None = None,
        *,
        parse: Parse = parse_file,
        beside: Beside | None = None,
        addresses: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self.environ = environ
        self.disk = disk
        self.kubeconfig = kubeconfig
        self.parse = parse
        self._beside = beside
        self._addresses = addresses

    def __call__(self, files: TrackedFiles, before: Setup | None) -> Setup:
        """The setup that the files describe now. Blocks.

        Raises:
            KubelatchError: a file, an entry or a flag cannot be used.
        """
        settings, pinned = self.settings, None
        if before is not None:
            pinned = Choice(source=before.config.source, context=before.config.context)
        config = load_configuration(
            settings, self.environ, files, self.kubeconfig, pinned, self.parse
        )
        differences: tuple[str, ...] = ()
        if before is not None:
            differences = changes(before.config, config)
        if before is not None and not differences:
            generation = before.generation
        else:
            generation = build_generation(
                config,
                settings,
                self.environ,
                self.disk,
                plugin_pause=self._beside.plugin_pause if self._beside else 1.0,
            )
        gate = make_gate(settings, generation, files, self._beside)
        if before is not None:
            differences += _gate_changes(before.gate, gate)
            if gate.settings == before.gate.settings:
                gate = before.gate
        tls = None
        tls_files: tuple[str, ...] = ()
        if settings.tls and self._beside is None:
            from .client_tls import client_tls  # noqa: PLC0415 -- with --tls only

            tls_before = before.client_tls if before is not None else None
            tls, tls_files = client_tls(settings, self._addresses, files, tls_before)
            if before is not None and tls is not tls_before:
                differences += ("the certificate of --tls",)
        own = filter(None, (*settings.allow_rules, settings.client_token_file, *tls_files))
        return Setup(
            config=config,
            generation=generation,
            gate=gate,
            watched=(*config.files, *own),
            client_tls=tls,
            changes=differences,
        )


def _gate_changes(before: Gate, now: Gate) -> tuple[str, ...]:
    found = []
    if before.settings.allow_rules != now.settings.allow_rules:
        found.append("the rules of --allow-rules")
    if before.settings.client_token != now.settings.client_token:
        found.append("the token of --client-token-file")
    return tuple(found)


def user_agent() -> bytes:
    """The proxy's ``User-Agent``, in the form of kubectl's."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"kubelatch/{__version__} ({platform.system().lower()}/{machine})".encode()


def client_token(path: str, files: FileReader = DISK) -> Secret | None:
    """The token that clients must send; None without a file.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    if not path:
        return None
    hint = "look at --client-token-file"
    try:
        token = files.read(path).decode().strip()
    except OSError as exc:
        problem = explain_os_error(exc, path, "client-token-file")
        raise ConfigError(f"cannot read the client token: {problem}", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the client token in {path} is no text in UTF-8", hint=hint) from None
    if not token:
        raise ConfigError(f"the client token in {path} is empty", hint=hint)
    return Secret(token)


def make_gate(
    settings: Settings,
    generation: Generation,
    files: FileReader = DISK,
    beside: Beside | None = None,
) -> Gate:
    """The gate that the flags describe. Reads files, so it may block.

    Raises:
        UsageError: a pattern or a prefix is invalid.
        ConfigError: a file cannot be used.
    """
    rules = None
    if settings.allow_rules:
        from ..gate.manifests import load_rules  # noqa: PLC0415 -- YAML, seldom used

        rules = load_rules(settings.allow_rules, files)
    return Gate(
        GateSettings(
            accept_paths=split_patterns(settings.accept_paths),
            reject_paths=split_patterns(settings.reject_paths),
            accept_hosts=split_patterns(settings.accept_hosts),
            reject_methods=split_patterns(settings.reject_methods),
            disable_filter=settings.disable_filter,
            accept_origins=split_patterns(settings.accept_origins),
            accept_navigation=split_patterns(settings.accept_navigation),
            read_only=settings.read_only,
            client_auth=settings.client_auth,
            client_token=client_token(settings.client_token_file, files),
            allow_rules=rules,
            ask=settings.ask,
            impersonation_configured=generation.impersonating,
            api_prefix=settings.api_prefix,
            www_prefix=settings.www_prefix if settings.www else None,
            unix_socket=bool(settings.unix_socket),
            shares_origin=beside is not None,
            serves_applications=bool(settings.service_hosts),
            read_only_hint=beside.read_only_hint if beside is not None else "",
            tls=bool(settings.tls),
        )
    )


def warn_of_configuration(config: ClientConfig, settings: Settings) -> list[str]:
    """What the user should know of a configuration that is put into use."""
    warnings = list(config.warnings)
    if config.server.path and not settings.append_server_path:
        warnings.append(
            f"Your kube context contains a server path {config.server.path}, use "
            "--append-server-path to automatically append the path to each request"
        )
    return warnings
