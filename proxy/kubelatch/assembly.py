"""What settings and files describe: the configuration, the generation, the gate.

Each function makes one room's value out of the words of another, so that neither needs to know
the other. Nothing here serves or waits.
"""

import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import peer
from ._version import __version__
from .credentials import impersonation_headers, source_for
from .errors import ConfigError, UsageError
from .gate import Gate, GateSettings, split_patterns
from .kubeconfig import DISK, ClientConfig, FileReader, load, load_mapping, proxy_for
from .kubeconfig.files import explain_os_error
from .secret import Secret
from .settings import Settings
from .tls import ClientCertificate, client_context, explain
from .upstream.generation import Generation, Upstream


def load_configuration(
    settings: Settings,
    environ: Mapping[str, str],
    files: FileReader = DISK,
    kubeconfig: Mapping[str, Any] | None = None,
) -> ClientConfig:
    """The cluster and user that the flags choose.

    Args:
        settings: the flags.
        environ: where kubeconfig and in-cluster discovery look.
        files: reads them.
        kubeconfig: one in memory, instead of files.

    Raises:
        ConfigError: a file, an entry or a flag cannot be used.
    """
    if kubeconfig is not None:
        config = load_mapping(kubeconfig, settings.overrides, environ=environ)
    else:
        config = load(settings.overrides, environ=environ, files=files)
    if settings.proxy_url:
        config = replace(config, proxy_url=Secret(settings.proxy_url))
    return config


def build_generation(
    config: ClientConfig, settings: Settings, environ: Mapping[str, str]
) -> Generation:
    """The generation that a configuration describes.

    Raises:
        ConfigError: its CA, certificate or key cannot be used.
    """
    credentials = source_for(config, exec_timeout=settings.exec_timeout or None, environ=environ)
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
            server_name=config.tls_name,
            host_header=server.authority.encode(),
            path_prefix=server.path.encode() if settings.append_server_path else b"",
            context=context if secure else None,
            explain_tls=lambda error, name: explain(error, server_name=name),
            identity=identity,
            compression=not config.disable_compression,
            proxy=proxy_for(server.url, config, environ),
            request_timeout=config.request_timeout,
            connect_timeout=settings.connect_timeout,
            tls_timeout=settings.tls_timeout,
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


def allowed_clients(settings: Settings) -> frozenset[int] | None:
    """The users whose processes may connect; None for all.

    Raises:
        UsageError: this system cannot tell users apart there.
    """
    if settings.clients == "any":
        return None
    if not peer.can_tell(unix_socket=bool(settings.unix_socket)):
        msg = f"--clients={settings.clients}: this system does not say whose a connection is"
        raise UsageError(msg, hint="listen on a --unix-socket, whose file mode says who may")
    return settings.clients if settings.clients != "same-user" else frozenset({peer.own_uid()})


def client_token(path: str) -> Secret | None:
    """The secret that clients must send; None without a file.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    if not path:
        return None
    hint = "look at --client-token-file"
    try:
        token = DISK.read(path).decode().strip()
    except OSError as exc:
        problem = explain_os_error(exc, path, "client-token-file")
        raise ConfigError(f"cannot read the client token: {problem}", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the client token in {path} is no text in UTF-8", hint=hint) from None
    if not token:
        raise ConfigError(f"the client token in {path} is empty", hint=hint)
    return Secret(token)


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
            client_token=client_token(settings.client_token_file),
            allow_rules=rules,
            impersonation_configured=generation.impersonating,
            api_prefix=settings.api_prefix,
            www_prefix=settings.www_prefix if settings.www else None,
            unix_socket=bool(settings.unix_socket),
        )
    )
