"""The entries of one kubeconfig file, typed.

As client-go's v1 types: unknown keys are ignored, names are case-sensitive, a duplicate name in a
list is an error. Every error names the file, the entry and the field, and never the value. Only
types are checked here; the chosen entries are validated later.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import ConfigError
from ..redact import redact_path
from ..secret import Secret
from .decode import DecodeError, Scalar, Value, decode_base64, decode_first, is_true, to_python
from .values import AuthProvider, ExecConfig, Impersonation, UserConfig

EXEC_EXTENSION = "client.authentication.k8s.io/exec"
EXEC_V1BETA1 = "client.authentication.k8s.io/v1beta1"
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", EXEC_V1BETA1)

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Cluster:
    """A ``clusters[].cluster``."""

    origin: str = ""
    server: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    ca_file: str = ""
    ca_data: bytes | None = field(default=None, repr=False)
    proxy_url: Secret | None = None
    disable_compression: bool = False
    exec_extension: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Context:
    """A ``contexts[].context``."""

    origin: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Kubeconfig:
    """The entries of one file, or of several merged, by name."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    users: dict[str, UserConfig] = field(default_factory=dict)
    contexts: dict[str, Context] = field(default_factory=dict)
    current_context: str = ""


def parse(content: bytes, origin: str) -> Kubeconfig:
    """Parse the content of the file *origin*. Raises ConfigError."""
    try:
        return from_value(decode_first(content), origin)
    except DecodeError as error:
        raise loading_error(origin, str(error)) from None


def from_value(value: Value, origin: str) -> Kubeconfig:
    """Type the decoded content of the file *origin*. Raises ConfigError."""
    if value is None:
        return Kubeconfig()
    top = TypedMapping(value, origin, "")
    kind, version = top.text("kind") or "Config", top.text("apiVersion") or "v1"
    if (version, kind) != ("v1", "Config"):
        raise loading_error(
            origin,
            f'no kind "{kind}" is registered for version "{version}"',
            hint="A kubeconfig says apiVersion: v1 and kind: Config.",
        )
    return Kubeconfig(
        clusters=_named(top, "clusters", "cluster", _cluster),
        users=_named(top, "users", "user", _user),
        contexts=_named(top, "contexts", "context", _context),
        current_context=top.text("current-context"),
    )


def loading_error(origin: str, problem: str, *, hint: str = "") -> ConfigError:
    """An error in the file *origin*, with kubectl's message."""
    return ConfigError(f'error loading config file "{redact_path(origin)}": {problem}', hint=hint)


class TypedMapping:
    """Typed access to one mapping; *name* is its path in error messages."""

    __slots__ = ("_values", "name", "origin")

    def __init__(self, value: Value, origin: str, name: str) -> None:
        self.origin = origin
        self.name = name
        if value is None:
            value = {}
        if not isinstance(value, dict):
            what = f"{name} must be a mapping" if name else "this is not a kubeconfig"
            raise loading_error(origin, f"{what}: it holds {_describe(value)}")
        self._values = value

    def text(self, key: str) -> str:
        """A string; empty if absent."""
        value = self._values.get(key)
        if isinstance(value, Scalar):
            raise self._wrong(key, "a string", value, hint="Put the value in quotes.")
        return self.text_as_written(key)

    def text_as_written(self, key: str) -> str:
        """A string, or an unquoted number or boolean as it was written.

        kubectl refuses a token of digits without quotes, though it is unambiguous.
        """
        value = self._values.get(key)
        match value:
            case None:
                return ""
            case str():
                return value
            case Scalar(text=text):
                return text
            case _:
                raise self._wrong(key, "a string", value)

    def secret(self, key: str) -> Secret | None:
        """A secret string as it was written; ``None`` if absent or empty."""
        text = self.text_as_written(key)
        return Secret(text) if text else None

    def boolean(self, key: str) -> bool:
        """A boolean; false if absent."""
        value = self._values.get(key)
        if value is None:
            return False
        if isinstance(value, Scalar) and value.kind == "boolean":
            return is_true(value)
        raise self._wrong(key, "a boolean", value, hint="Write true or false, without quotes.")

    def data(self, key: str) -> bytes | None:
        """A base64 field; ``None`` if absent or empty."""
        text = self.text(key)
        try:
            return decode_base64(text) or None
        except ValueError as error:
            raise loading_error(
                self.origin,
                f"{self._path(key)}: {error}",
                hint="The *-data fields hold base64 of a PEM text; a path belongs in the field "
                "without -data.",
            ) from None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings as they were written; empty if absent."""
        items = {f"{key}[{i}]": item for i, item in enumerate(self._list(key))}
        listed = TypedMapping(items, self.origin, self.name)
        return tuple(listed.text_as_written(item) for item in listed)

    def __iter__(self) -> Iterator[str]:
        """The keys in file order."""
        return iter(self._values)

    def inside(self, key: str) -> "TypedMapping":
        """The mapping in that field; empty if absent."""
        return TypedMapping(self._values.get(key), self.origin, self._path(key))

    def items(self, key: str) -> Iterator["TypedMapping"]:
        """The mappings in the list in that field; none if absent."""
        for i, item in enumerate(self._list(key)):
            yield TypedMapping(item, self.origin, f"{self._path(key)}[{i}]")

    def raw(self, key: str) -> Value:
        """The untyped value of that field."""
        return self._values.get(key)

    def renamed(self, name: str) -> "TypedMapping":
        """The same values under another name for error messages."""
        return TypedMapping(self._values, self.origin, name)

    def _list(self, key: str) -> list[Value]:
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return value

    def _path(self, key: str) -> str:
        return ".".join(part for part in (self.name, key) if part)

    def _wrong(self, key: str, wanted: str, value: Value, *, hint: str = "") -> ConfigError:
        problem = f"{self._path(key)} must be {wanted}: it holds {_describe(value)}"
        return loading_error(self.origin, problem, hint=hint)


def _describe(value: Value) -> str:
    match value:
        case Scalar(kind=kind):
            return f"a {kind}"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _named(
    top: TypedMapping, key: str, inner: str, build: Callable[[TypedMapping, str], Entry]
) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for item in top.items(key):
        name = item.text("name")
        if name in entries:
            raise loading_error(
                top.origin,
                f'duplicate name "{name}" in {key}',
                hint="Rename or remove one of the two entries.",
            )
        entries[name] = build(item.inside(inner).renamed(f'{inner} "{name}"'), name)
    return entries


def _cluster(fields: TypedMapping, _name: str) -> Cluster:
    return Cluster(
        origin=fields.origin,
        server=fields.text("server"),
        tls_server_name=fields.text("tls-server-name"),
        insecure=fields.boolean("insecure-skip-tls-verify"),
        ca_file=fields.text("certificate-authority"),
        ca_data=fields.data("certificate-authority-data"),
        proxy_url=fields.secret("proxy-url"),
        disable_compression=fields.boolean("disable-compression"),
        exec_extension=_exec_extension(fields),
    )


def _exec_extension(fields: TypedMapping) -> Any:
    named: dict[str, Value] = {}
    for item in fields.items("extensions"):
        name = item.text("name")
        if name in named:
            raise loading_error(fields.origin, f'{item.name}: duplicate name "{name}"')
        named[name] = item.raw("extension")
    try:
        return to_python(named.get(EXEC_EXTENSION))
    except (DecodeError, RecursionError):
        problem = f"{fields.name}: the extension {EXEC_EXTENSION} holds too much"
        raise loading_error(fields.origin, problem) from None


def _context(fields: TypedMapping, _name: str) -> Context:
    return Context(
        origin=fields.origin,
        cluster=fields.text("cluster"),
        user=fields.text("user"),
        namespace=fields.text("namespace"),
    )


def _user(fields: TypedMapping, name: str) -> UserConfig:
    key = fields.data("client-key-data")
    extra = fields.inside("as-user-extra")
    return UserConfig(
        name=name,
        origin=fields.origin,
        token=fields.secret("token"),
        token_file=fields.text("tokenFile"),
        username=fields.text_as_written("username"),
        password=fields.secret("password"),
        certificate_data=fields.data("client-certificate-data"),
        certificate_file=fields.text("client-certificate"),
        key_data=Secret(key.decode("latin-1")) if key else None,
        key_file=fields.text("client-key"),
        exec=_exec(fields),
        auth_provider=_auth_provider(fields),
        impersonation=Impersonation(
            user=fields.text_as_written("as"),
            uid=fields.text_as_written("as-uid"),
            groups=fields.texts("as-groups"),
            extra=tuple((key, extra.texts(key)) for key in extra),
        ),
    )


def _exec(fields: TypedMapping) -> ExecConfig | None:
    if fields.raw("exec") is None:
        return None
    inner = fields.inside("exec")
    version = inner.text("apiVersion")
    # SetDefaults_ExecConfig in clientcmd/api/v1/defaults.go; v1 has no default.
    default_mode = "IfAvailable" if version == EXEC_V1BETA1 else ""
    return ExecConfig(
        command=inner.text("command"),
        args=inner.texts("args"),
        env=tuple(
            (item.text("name"), Secret(item.text_as_written("value")))
            for item in inner.items("env")
        ),
        api_version=version,
        install_hint=inner.text("installHint"),
        provide_cluster_info=inner.boolean("provideClusterInfo"),
        interactive_mode=inner.text("interactiveMode") or default_mode,
    )


def _auth_provider(fields: TypedMapping) -> AuthProvider | None:
    if fields.raw("auth-provider") is None:
        return None
    inner = fields.inside("auth-provider")
    config = inner.inside("config")
    return AuthProvider(
        name=inner.text("name"),
        config=tuple((key, Secret(config.text_as_written(key))) for key in config),
    )
