"""The values that this package returns: frozen, and safe to print, as secrets are wrapped."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ..secret import Secret

Source = Literal["kubeconfig", "in-cluster", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The context that was chosen at start, to be chosen by later loads, too.

    Attributes:
        context: its name; empty if flags or the environment named the cluster without one.
    """

    source: Source
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where the API server is.

    ``authority`` is the host and port as written, for the ``Host`` field; ``path`` has no trailing
    slash and is usually empty; ``url`` is the whole URL as kubectl passes it to plugins.
    """

    scheme: Literal["https", "http"]
    host: str
    port: int
    path: str
    authority: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """How to verify the server. Without a CA the system's trust store applies.

    If both are set, ``ca_data`` is the content of ``ca_file``.
    """

    ca_data: bytes | None = field(default=None, repr=False)
    ca_file: str = ""
    insecure: bool = False
    server_name: str = ""
    """The name for SNI and verification instead of the host; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecConfig:
    """A credential plugin: what to run, and how. Arguments and environment may hold secrets."""

    command: str
    api_version: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: tuple[tuple[str, Secret], ...] = ()
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthProvider:
    """A legacy ``auth-provider`` and its settings, some of which are secret."""

    name: str
    config: tuple[tuple[str, Secret], ...] = ()

    def get(self, key: str) -> str:
        """The setting *key*, unwrapped; empty if absent."""
        return next((value.reveal() for name, value in self.config if name == key), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """The user to act as. Groups, uid and extra need a user."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.user or self.uid or self.groups or self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserConfig:
    """A user with all its credentials; :func:`usable_auth` selects those that apply."""

    name: str = ""
    token: Secret | None = None
    token_file: str = ""
    username: str = ""
    password: Secret | None = None
    certificate_data: bytes | None = field(default=None, repr=False)
    certificate_file: str = ""
    key_data: Secret | None = None
    key_file: str = ""
    exec: ExecConfig | None = None
    auth_provider: AuthProvider | None = None
    impersonation: Impersonation = field(default_factory=Impersonation)
    origin: str = ""
    """The kubeconfig file that the user was read from; empty for users from elsewhere."""

    @property
    def has_certificate(self) -> bool:
        """Whether there is a client certificate with its key."""
        certificate = self.certificate_data or self.certificate_file
        return bool(certificate and (self.key_data or self.key_file))

    @property
    def plugin(self) -> ExecConfig | None:
        """The exec plugin, unless the user has a credential that needs none.

        As in client-go, ``Authenticator.UpdateTransportConfig`` of
        ``plugin/pkg/client/auth/exec/exec.go``.
        """
        other = self.token or self.token_file or self.username or self.has_certificate
        return None if other else self.exec

    @property
    def can_identify(self) -> bool:
        """Whether there is any credential (client-go's ``canIdentifyUser``)."""
        return bool(
            self.token
            or self.token_file
            or self.username
            or self.has_certificate
            or self.exec
            or self.auth_provider
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRule:
    """The plugins that *source* allows to run; an empty list allows none."""

    source: str
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """The chosen cluster and user: all that is needed to connect to one API server.

    ``files`` are the files it was loaded from, existing or not: when one changes, it has to be
    loaded again. The credential's own files (token, client certificate, key) are not among them;
    the credential source watches those.
    """

    source: Source
    files: tuple[str, ...]
    context: str
    current_context: str
    """The files' current-context; differs from ``context`` if a flag names another, or if it was
    switched after the start."""
    cluster_name: str
    user_name: str
    namespace: str
    server: ServerAddress
    tls: TlsConfig
    user: UserConfig
    proxy_url: Secret | None = None
    disable_compression: bool = False
    request_timeout: float = 0.0
    """Seconds; 0 for none. kubectl accepts the flag and ignores it for its proxy."""
    exec_rules: tuple[ExecRule, ...] = ()
    exec_extension: Any = None
    """The cluster's settings for exec plugins, as JSON-like data."""
    explicit_kubeconfig: str = ""
    """The file that ``--kubeconfig`` names, to be passed to plugins."""
    warnings: tuple[str, ...] = ()

    @property
    def tls_name(self) -> str:
        """The name for SNI and verification, as it was written."""
        return self.tls.server_name or self.server.host

    @property
    def impersonation(self) -> Impersonation | None:
        """The user to act as, if any."""
        return self.user.impersonation or None
