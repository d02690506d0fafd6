"""The words of this room: what was asked for, and what came out of the kubeconfig.

Plain frozen values, safe to print: whatever is secret is wrapped. Nothing here reads a file,
opens a socket or knows YAML.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from ..secret import Secret

Source = Literal["kubeconfig", "in-cluster", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen at the start, for later loads to stay with.

    Attributes:
        source: where the cluster was found.
        context: the context's name; empty where flags or the environment did without one.
    """

    source: Source
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where the API server is.

    ``authority`` is the host and port as written, fit for a ``Host`` header; ``path`` has no
    trailing slash and is usually empty; ``url`` is the whole as kubectl passes it to plugins.
    """

    scheme: Literal["https", "http"]
    host: str
    port: int
    path: str
    authority: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Whom to trust. Without a CA the system's trust store decides.

    With both, the data is what was read from the file.
    """

    ca_data: bytes | None = field(default=None, repr=False)
    ca_file: str = ""
    insecure: bool = False
    server_name: str = ""
    """The name to ask for and to verify instead of the server's own; may be empty."""


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
        """The setting of that name, unwrapped; empty when it is absent."""
        return next((value.reveal() for name, value in self.config if name == key), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserConfig:
    """Everything that authenticates, paths made absolute. Which of it counts is decided later."""

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
    origin: str = ""
    """The kubeconfig file that the user was read from; empty for users from elsewhere."""

    @property
    def has_certificate(self) -> bool:
        """Whether there is a client certificate with its key."""
        certificate = self.certificate_data or self.certificate_file
        return bool(certificate and (self.key_data or self.key_file))

    @property
    def plugin(self) -> ExecConfig | None:
        """The exec plugin, unless something simpler authenticates already.

        As in client-go, ``Authenticator.UpdateTransportConfig`` of
        ``plugin/pkg/client/auth/exec/exec.go``.
        """
        simpler = self.token or self.token_file or self.username or self.has_certificate
        return None if simpler else self.exec

    @property
    def can_identify(self) -> bool:
        """Whether anything here can authenticate at all (client-go's ``canIdentifyUser``)."""
        return bool(
            self.token
            or self.token_file
            or self.username
            or self.has_certificate
            or self.exec
            or self.auth_provider
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """Whom to act as. Groups, uid and extra need a user."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.user or self.uid or self.groups or self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRule:
    """One opinion on which plugins may run: these, or with an empty list none."""

    source: str
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """The chosen cluster and user: all that is needed to reach one API server.

    ``files`` are the files it was made from, existing or not, in the order they were looked
    for: when one changes, it is time to load again. The files of the credential itself (token,
    client certificate, key) are not among them; the credential source watches those.
    """

    source: Source
    files: tuple[str, ...]
    context: str
    current_context: str
    """What the files name as the context to use; another than ``context`` where a flag says so,
    or when it was switched after the start."""
    cluster_name: str
    user_name: str
    namespace: str
    server: ServerAddress
    tls: TlsConfig
    user: UserConfig
    impersonation: Impersonation | None = None
    proxy_url: Secret | None = None
    disable_compression: bool = False
    request_timeout: float = 0.0
    """Seconds; 0 is none. kubectl accepts the flag and ignores it for its proxy."""
    exec_rules: tuple[ExecRule, ...] = ()
    exec_extension: Any = None
    """The cluster's own settings for exec plugins, as JSON-like data."""
    explicit_kubeconfig: str = ""
    """The one file that was asked for by flag, so that plugins can be told of it."""
    warnings: tuple[str, ...] = ()

    @property
    def tls_name(self) -> str:
        """The name to ask for by SNI and to verify, as it was written."""
        return self.tls.server_name or self.server.host
