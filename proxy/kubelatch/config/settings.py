"""What can be set: one table of flags, and one frozen value made of it.

The table drives the command line, the environment variables, the help text, completion and the
documentation, so that they cannot drift apart. Names, shorthands, defaults and meanings of the
first groups are kubectl's (kubectl pkg/cmd/proxy/proxy.go, cli-runtime config_flags.go).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..errors import UsageError
from ..secret import Secret
from .flag_values import at_least, clients, commas, file_mode, one_of, read_only, repeated
from .goflags import (
    Flag,
    FlagSet,
    is_service_link,
    parse_bool,
    parse_duration,
    parse_int,
    parse_level,
    parse_limit,
    quote,
)
from .overrides import Overrides

_SERVING: Final = "Serving"
_FILTER: Final = "Filter"
_CLUSTER: Final = "Cluster and credentials"
_LIMITS: Final = "Limits for clients"
_SEEN: Final = "Log, health and metrics"
_OWN: Final = "Beyond kubectl"
_IGNORED: Final = "Accepted for kubectl's sake, without effect"


_client_auth = one_of("pass", "replace", "refuse")


def _flag(name: str, help_text: str, *, default: str = "", **more: Any) -> Flag:
    return Flag(name=name, default=default, help=help_text, **more)


def _switch(name: str, help_text: str, **more: Any) -> Flag:
    return Flag(name=name, default=False, help=help_text, parse=parse_bool, bare=True, **more)


FLAGS: Final = (
    Flag(name="port", shorthand="p", default=8001, parse=parse_int, group=_SERVING,
         help="The port to listen on; 0 lets the system choose."),
    _flag("address", "The IP address to listen on.", default="127.0.0.1", group=_SERVING),
    _flag("unix-socket", "Listen on this unix socket instead of a port; @NAME is one in Linux's "
          "abstract namespace.", shorthand="u", group=_SERVING),
    # kubectl's is made under umask 0077.
    Flag(name="unix-socket-mode", default=None, parse=file_mode, value_name="MODE",
         group=_SERVING, help="The mode of the unix socket, in octal: 0660 lets its group connect. "
         "The default is 0700, or 0660 with --unix-socket-group."),
    _flag("unix-socket-group", "The group of the unix socket, by name or number.",
          value_name="GROUP", group=_SERVING),
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
    _flag("accept-origins", "Regular expressions for the origins of web pages to let in, each "
          "matched as a whole, e.g. 'http://localhost:3000'.", group=_FILTER),
    _flag("accept-navigation", "Regular expressions for paths that links and redirects of other "
          "sites may open, e.g. '^/api/v1/.../web/proxy/callback$'.", group=_FILTER),
    Flag(name="read-only", default="off", bare="on", parse=read_only, group=_FILTER,
         help="Let only requests through that change nothing, and no secrets; "
              "--read-only=with-secrets lets secrets be read."),
    Flag(name="allow-rules", default=(), parse=repeated, repeat=True, group=_FILTER,
         help="A file of Role and ClusterRole manifests that say what may pass, and nothing "
              "else may; may be repeated."),
    _flag("client-auth", "What becomes of a client's own Authorization: pass, replace or refuse.",
          default="pass", parse=_client_auth, group=_FILTER),
    Flag(name="clients", default="auto", parse=clients, group=_FILTER,
         value_name="auto|any|same-user|UID,...",
         help="Whose processes may connect: any, same-user, or user ids with commas; auto is "
              "same-user on an abstract unix socket, which has no file mode, and any elsewhere."),
    _flag("client-token-file", "A file with a secret that clients must send, as a bearer token "
          "or as the password of basic authentication.", group=_FILTER),
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
    Flag(name="as-group", default=(), parse=repeated, repeat=True, group=_CLUSTER,
         help="A group to impersonate; may be repeated."),
    _flag("as-uid", "The UID to impersonate.", group=_CLUSTER),
    Flag(name="as-user-extra", default=(), parse=repeated, repeat=True, group=_CLUSTER,
         help="An extra field KEY=VALUE to impersonate; may be repeated."),
    Flag(name="disable-compression", default=None, parse=parse_bool, bare=True, group=_CLUSTER,
         help="Do not ask the server for compressed answers."),
    _flag("proxy-url", "The proxy through which to reach the API server (http, https, socks5).",
          group=_CLUSTER, secret=True),
    _flag("request-timeout", "How long a request may take, e.g. 30s; watches, logs, proxied "
          "services and tunnels are exempt; 0 is for ever.", default="0", group=_CLUSTER,
          value_name="DURATION"),
    Flag(name="connect-timeout", default=30.0, parse=parse_limit, group=_CLUSTER,
         help="How long it may take to find and reach the API server, or the proxy on the way and "
              "from there the API server; 0 is for ever."),
    Flag(name="tls-timeout", default=10.0, parse=parse_limit, group=_CLUSTER,
         help="How long the TLS handshake with the API server may take; 0 is for ever."),
    Flag(name="response-timeout", default=300.0, parse=parse_limit, group=_CLUSTER,
         help="How long the API server may take to begin its answer to a whole request; watches, "
              "logs, proxied services and tunnels are exempt; 0 is for ever."),
    _flag("kuberc", "kubectl's preferences, for its policy on exec plugins.", group=_CLUSTER),
    Flag(name="in-cluster", default=None, parse=parse_bool, bare=True, group=_CLUSTER,
         help="Use the pod's service account and no kubeconfig; --in-cluster=false: never."),
    _switch("no-in-cluster", "The same as --in-cluster=false.", group=_CLUSTER),
    Flag(name="exec-allow", default=(), parse=commas, repeat=True, group=_CLUSTER,
         help="The exec plugins that may run, by name or path; may be repeated."),
    _switch("no-exec", "Run no exec plugin.", group=_CLUSTER),
    Flag(name="exec-timeout", default=0.0, parse=parse_limit, group=_CLUSTER,
         help="How long an exec plugin may take; 0: five minutes at a terminal, else one."),
    # Go's limit for a server (net/http DefaultMaxHeaderBytes), and so kubectl proxy's.
    Flag(name="max-header-bytes", default=1024 * 1024, parse=at_least(1024), value_name="N",
         group=_LIMITS, help="How many bytes a request's line and header fields may have."),
    # Kubernetes clients send some ten. Apache allows 100, aiohttp 128, kubectl proxy any number.
    Flag(name="max-headers", default=256, parse=at_least(8), value_name="N", group=_LIMITS,
         help="How many header fields a request may have."),
    # Local clients send a head at once; nginx waits 60 s, the API server 32 s.
    Flag(name="head-timeout", default=30.0, parse=parse_limit, group=_LIMITS,
         help="How long a request's line and header fields may take to come, from the first "
              "byte on; 0 is for ever."),
    # Longer than clients keep connections in their pools (Go 90 s), so that it is never we who
    # close one as they send on it.
    Flag(name="idle-timeout", default=3600.0, parse=parse_limit, group=_LIMITS,
         help="How long a connection may be without a request; 0 is for ever."),
    # Each watch and tunnel takes one, and how many are right only the user can know.
    Flag(name="max-connections", default=0, parse=at_least(0), value_name="N", group=_LIMITS,
         help="How many connections clients may have at once; 0 is any number."),
    _flag("log-requests", "Where to log requests: a file, - for standard error, off, or auto: all "
          "of them at a terminal, elsewhere those that were refused here or failed.",
          default="auto", group=_SEEN),
    _flag("log-format", "How to log requests: text, json, or combined as Apache does. What auto "
          "logs away from a terminal is text in any case.",
          default="text", parse=one_of("text", "json", "combined"), group=_SEEN),
    _flag("log-skip-paths", "Regular expressions for paths of which only what goes wrong is "
          "logged, e.g. '^/(livez|readyz)'.", group=_SEEN),
    _flag("admin-address", "Serve /livez, /readyz, /version, /metrics and POST /quitquitquit "
          "here, e.g. 127.0.0.1:8002 or unix:/run/kubelatch.sock. --clients and "
          "--client-token-file hold here too, but for health and readiness.", group=_SEEN),
    _switch("quiet", "Print the start line and what goes wrong, and no more.", group=_SEEN),
    Flag(name="v", shorthand="v", default=0, parse=parse_level, group=_SEEN,
         help="How much to tell: 0 warnings, 1 reloads, 2 streams as they begin, 3 decisions of "
              "the filter, 4 details, 5 tracebacks of faults of its own, 6 timing, 7 request and 8 "
              "response headers, masked."),
    _switch("demo", "Start an API server of our own with a small demo cluster, and serve that.",
            group=_OWN),
    _switch("www-symlinks", "Follow symbolic links out of the --www directory.", group=_OWN),
    Flag(name="drain-timeout", default=25.0, parse=parse_limit, group=_OWN,
         help="How long requests in flight may take to finish after SIGTERM; 0 cuts them at once."),
    _switch("allow-core-dumps", "Let core files be written, which hold keys and tokens, and let "
            "debuggers of this user attach.", group=_OWN),
    _flag("loop", "The event loop: uvloop, asyncio, or auto for uvloop where it exists.",
          default="auto", group=_OWN),
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

    ``overrides`` holds what concerns kubeconfig; ``notes`` are remarks on what has no
    effect.
    """

    port: int
    address: str
    unix_socket: str
    unix_socket_mode: int | None
    unix_socket_group: str
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
    accept_origins: str
    accept_navigation: str
    read_only: Literal["off", "on", "with-secrets"]
    allow_rules: tuple[str, ...]
    client_auth: Literal["pass", "replace", "refuse"]
    clients: frozenset[int] | Literal["auto", "any", "same-user"]
    client_token_file: str
    proxy_url: str
    connect_timeout: float
    tls_timeout: float
    response_timeout: float
    exec_timeout: float
    max_header_bytes: int
    max_headers: int
    head_timeout: float
    idle_timeout: float
    max_connections: int
    log_requests: str
    log_format: str
    log_skip_paths: str
    admin_address: str
    quiet: bool
    demo: bool
    drain_timeout: float
    allow_core_dumps: bool
    loop: str
    verbosity: int
    overrides: Overrides
    notes: tuple[str, ...] = ()


def flag_set(more: Sequence[Flag] = ()) -> FlagSet:
    """The command's flags, and those of a sub-command."""
    return FlagSet((*FLAGS, *more), "see 'kubelatch --help' for usage")


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values of all flags by field name.

    Other words are ignored, as kubectl does; a note says so, since one may be a mistyped command.

    Raises:
        UsageError: a flag is unknown, or its value is no good.
    """
    given, words = flag_set().parse(arguments, environ)
    values = complete(given, environ=environ)
    if words:
        values["notes"] += (f"{quote(words[0])} has no effect: it is neither a flag nor a command",)
    return values


def complete(
    given: Mapping[str, Any], more: Sequence[Flag] = (), *, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The values of all flags, of which some were given, and notes on what has no effect.

    Args:
        given: the values that were given, by field name.
        more: the flags of a sub-command.
        environ: where they may have been given.
    """
    values = {**{flag.field: flag.default for flag in (*FLAGS, *more)}, **given}
    ignored = [
        f"--{flag.name} has no effect: {flag.ignored}"
        for flag in FLAGS
        if flag.ignored and flag.field in given
    ]
    values["notes"] = (*ignored, *_strange_variables(environ))
    return values


def _strange_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Notes on variables that look like a flag's and are none: a misspelt one opens the fence."""
    # The last is what kubelatch run tells its command.
    known = {*(flag.variable for flag in FLAGS if flag.env), "KUBELATCH_URL"}
    for name, text in sorted(environ.items()):
        ours = name.startswith("KUBELATCH_") and name not in known
        if text and ours and not is_service_link(name, text):
            yield f"${name} has no effect: it is the variable of no flag"


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
    file_flags = values["unix_socket_mode"] is not None or values["unix_socket_group"]
    if file_flags and values["unix_socket"].startswith("@"):
        msg = "an abstract unix socket has neither mode nor group"
        raise UsageError(msg, hint="--clients says whose processes may connect")
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
        in_cluster=False if values["no_in_cluster"] else values["in_cluster"],
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
    "request_timeout",
    "kuberc",
    "exec_allow",
    "no_exec",
)
