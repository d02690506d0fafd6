"""What can be set: one table of flags, and one frozen value made of it.

The table drives the command line, the environment variables, the help text, completion and the
documentation, so that they cannot drift apart. Names, shorthands, defaults and meanings of the
first groups are kubectl's (kubectl pkg/cmd/proxy/proxy.go, cli-runtime config_flags.go).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import UsageError
from .goflags import Flag, FlagSet, parse_bool, parse_duration, parse_int
from .kubeconfig import Overrides
from .secret import Secret

_SERVING: Final = "Serving"
_FILTER: Final = "Filter"
_CLUSTER: Final = "Cluster and credentials"
_OWN: Final = "Beyond kubectl"
_IGNORED: Final = "Accepted for kubectl's sake, without effect"


def _repeated(text: str) -> tuple[str, ...]:
    return (text,)


def _flag(name: str, help_text: str, *, default: str = "", **more: Any) -> Flag:
    return Flag(name=name, default=default, help=help_text, **more)


def _switch(name: str, help_text: str, **more: Any) -> Flag:
    return Flag(name=name, default=False, help=help_text, parse=parse_bool, bare=True, **more)


FLAGS: Final = (
    Flag(name="port", shorthand="p", default=8001, parse=parse_int, group=_SERVING,
         help="The port to listen on; 0 lets the system choose."),
    _flag("address", "The IP address to listen on.", default="127.0.0.1", group=_SERVING),
    _flag("unix-socket", "Listen on this unix socket instead of a port.", shorthand="u",
          group=_SERVING),
    _flag("api-prefix", "Serve the API under this prefix.", default="/", group=_SERVING),
    _flag("www", "Also serve the static files of this directory.", shorthand="w", group=_SERVING),
    _flag("www-prefix", "Serve the static files under this prefix.", shorthand="P",
          default="/static/", group=_SERVING),
    _switch("append-server-path", "Put the path of the cluster's server before each request's.",
            group=_SERVING),
    Flag(name="keepalive", default=0.0, parse=parse_duration, group=_SERVING,
         help="Silence after which TCP probes the upstream of a tunnel, e.g. 30s; 0 is the "
              "default of 15s, a negative value switches it off."),
    _flag("accept-paths", "Regular expressions for paths to accept.", default="^.*",
          group=_FILTER),
    _flag("reject-paths", "Regular expressions for paths to refuse, even if accepted above.",
          default="^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach", group=_FILTER),
    _flag("accept-hosts", "Regular expressions for hosts (the Host header) to accept.",
          default=r"^localhost$,^127\.0\.0\.1$,^\[::1\]$", group=_FILTER),
    _flag("reject-methods", "Regular expressions for HTTP methods to refuse, e.g. "
          "'POST,PUT,PATCH,DELETE'.", default="^$", group=_FILTER),
    _switch("disable-filter", "Refuse nothing by path, method or host. Dangerous.",
            group=_FILTER),
    _flag("kubeconfig", "The kubeconfig file to use.", group=_CLUSTER),
    _flag("context", "The kubeconfig context to use.", group=_CLUSTER),
    _flag("cluster", "The kubeconfig cluster to use.", group=_CLUSTER),
    _flag("user", "The kubeconfig user to use.", group=_CLUSTER),
    _flag("server", "The API server's address and port.", shorthand="s", group=_CLUSTER),
    _flag("certificate-authority", "A file with the certificate authority.", group=_CLUSTER),
    Flag(name="insecure-skip-tls-verify", default=None, parse=parse_bool, bare=True,
         group=_CLUSTER, help="Do not verify the server's certificate. Dangerous."),
    _flag("tls-server-name", "The name that the server's certificate must carry.",
          group=_CLUSTER),
    _flag("client-certificate", "A file with the client certificate.", group=_CLUSTER),
    _flag("client-key", "A file with the client certificate's key.", group=_CLUSTER),
    _flag("token", "The bearer token to authenticate with.", group=_CLUSTER, secret=True),
    _flag("username", "The name for basic authentication.", group=_CLUSTER),
    _flag("password", "The password for basic authentication.", group=_CLUSTER, secret=True),
    _flag("as", "The user to impersonate.", group=_CLUSTER),
    Flag(name="as-group", default=(), parse=_repeated, repeat=True, group=_CLUSTER,
         help="A group to impersonate; may be repeated."),
    _flag("as-uid", "The UID to impersonate.", group=_CLUSTER),
    Flag(name="as-user-extra", default=(), parse=_repeated, repeat=True, group=_CLUSTER,
         help="An extra field KEY=VALUE to impersonate; may be repeated."),
    Flag(name="disable-compression", default=None, parse=parse_bool, bare=True, group=_CLUSTER,
         help="Do not ask the server for compressed answers."),
    _switch("demo", "Start an API server of our own with a small demo cluster, and serve that.",
            group=_OWN),
    _switch("www-symlinks", "Follow symbolic links out of the --www directory.", group=_OWN),
    Flag(name="drain-timeout", default=25.0, parse=parse_duration, group=_OWN,
         help="How long requests in flight may take to finish after SIGTERM."),
    _flag("loop", "The event loop: uvloop, asyncio, or auto for uvloop where it exists.",
          default="auto", group=_OWN),
    Flag(name="v", shorthand="v", default=0, parse=parse_int, group=_OWN,
         help="How much to log: 0 warnings, 3 decisions of the filter, 4 and up more."),
    _switch("version", "Print the version, and exit.", group=_OWN, env=False),
    _switch("help", "Print this help, and exit.", shorthand="h", group=_OWN, env=False),
    _flag("namespace", "The namespace scope of kubectl's other commands.", shorthand="n",
          group=_IGNORED, ignored="requests name their namespace themselves"),
    _flag("cache-dir", "kubectl's discovery cache.", group=_IGNORED,
          ignored="the proxy caches nothing"),
    _switch("match-server-version", "Require kubectl's version of the server.", group=_IGNORED,
            ignored="the proxy works with every version of the API server"),
    _switch("warnings-as-errors", "Fail on warnings of the server.", group=_IGNORED,
            ignored="warnings of the server go to the client"),
    _flag("profile", "A Go profile to capture.", default="none", group=_IGNORED,
          ignored="this is not a Go program"),
    _flag("profile-output", "Where to write the Go profile.", default="profile.pprof",
          group=_IGNORED, ignored="this is not a Go program"),
    Flag(name="log-flush-frequency", default=5.0, parse=parse_duration, group=_IGNORED,
         help="How often to flush the log.", ignored="the log is not buffered"),
    _flag("vmodule", "Log levels by Go source file.", group=_IGNORED,
          ignored="this is not a Go program"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was set. Field names are the flags'.

    ``overrides`` holds what concerns kubeconfig; ``notes`` are remarks on flags without effect.
    """

    port: int
    address: str
    unix_socket: str
    api_prefix: str
    www: str
    www_prefix: str
    www_symlinks: bool
    append_server_path: bool
    keepalive: float
    accept_paths: str
    reject_paths: str
    accept_hosts: str
    reject_methods: str
    disable_filter: bool
    demo: bool
    drain_timeout: float
    loop: str
    verbosity: int
    overrides: Overrides
    notes: tuple[str, ...] = ()


def flag_set() -> FlagSet:
    """The command's flags."""
    return FlagSet(FLAGS, "see 'kubelatch --help' for usage")


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values of all flags by field name; positional arguments are ignored, as in kubectl.

    Raises:
        UsageError: a flag is unknown, or its value is no good.
    """
    given, _ = flag_set().parse(arguments, environ)
    values = {flag.field: flag.default for flag in FLAGS} | given
    values["notes"] = tuple(
        f"--{flag.name} has no effect: {flag.ignored}"
        for flag in FLAGS
        if flag.ignored and flag.field in given
    )
    return values


def from_values(values: Mapping[str, Any]) -> Settings:
    """Settings from parsed flags.

    Raises:
        UsageError: flags contradict each other.
    """
    # kubectl cannot tell its default port from one that was given; neither may we
    # (scripts pass --port=8001 with a socket).
    if values["unix_socket"] and values["port"] != 8001:
        msg = "cannot set --unix-socket and --port at the same time"
        raise UsageError(msg, hint="leave one of them out")
    if not -1 < values["port"] < 65536:
        msg = f"listen tcp: address {values['port']}: invalid port"
        raise UsageError(msg, hint="a port is a number from 0 to 65535")
    if values["loop"] not in {"auto", "uvloop", "asyncio"}:
        msg = f"invalid --loop {values['loop']!r}"
        raise UsageError(msg, hint="say auto, uvloop or asyncio")
    overrides = Overrides(
        impersonate_user=values["as"],
        impersonate_groups=values["as_group"],
        impersonate_uid=values["as_uid"],
        impersonate_user_extra=values["as_user_extra"],
        token=Secret(values["token"]) if values["token"] else None,
        password=Secret(values["password"]) if values["password"] else None,
        **{name: values[name] for name in _OVERRIDES},
    )
    plain = {name: values[name] for name in Settings.__dataclass_fields__ if name in values}
    return Settings(**plain, verbosity=values["v"], overrides=overrides)


_OVERRIDES: Final = (
    "kubeconfig",
    "context",
    "cluster",
    "user",
    "server",
    "username",
    "client_certificate",
    "client_key",
    "certificate_authority",
    "insecure_skip_tls_verify",
    "tls_server_name",
    "disable_compression",
)
