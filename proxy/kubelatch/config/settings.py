"""The table of flags: each field of :class:`Settings` is a flag.

Command line, environment variables, help, manual page, completion and the options of
:class:`kubelatch.Proxy` are all made from it. Names, shorthands, defaults and meanings of the first
groups are kubectl's (kubectl pkg/cmd/proxy/proxy.go, cli-runtime config_flags.go).

A new flag is a new field, its use, and what it contradicts (``consistency``). Two files are
generated from the table: ``kubelatch man > docs/kubelatch.1``, and ``python -m
tests.embedding.signature``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from ..secret import Secret
from .consistency import ASK_TIMEOUT, LOOPS, check_consistency
from .fields import (
    CLUSTER,
    DEMO,
    FILTER,
    IGNORED,
    LIMITS,
    PROCESS,
    SEEN,
    SERVING,
    FlagTable,
    choice,
    flag,
    switch,
)
from .flag_values import (
    at_least,
    checked,
    parse_body_size,
    parse_clients,
    parse_file_mode,
    parse_item,
    parse_items,
    parse_keep,
    parse_read_only,
    parse_secret,
    parse_tls,
)
from .goflags import (
    DIRECTORY,
    FILE,
    NAMES,
    Flag,
    FlagSet,
    is_service_link,
    parse_bool,
    parse_duration,
    parse_int,
    parse_level,
    parse_limit,
    quote,
    similar_names,
)

if TYPE_CHECKING:
    from .overrides import Overrides

INSPECT_ADDRESS: Final = "127.0.0.1:8002"
"""The admin address with ``--inspect``, if none is given."""


class Settings(FlagTable):
    """All flags, in the order of the help.

    ``notes``, which is no flag, holds remarks on flags and variables that have no effect.
    """

    # fmt: off
    port: int = flag(8001, parse_int, "The port to listen on; 0 lets the system choose.",
        shorthand="p", group=SERVING)
    address: str = flag("127.0.0.1", str, "The IP address to listen on.", group=SERVING)
    unix_socket: str = flag("", str, "Listen on this unix socket instead of a port; @NAME is one "
        "in Linux's abstract namespace.", shorthand="u", completion=FILE, group=SERVING)
    # kubectl's is made under umask 0077.
    unix_socket_mode: int | None = flag(None, parse_file_mode,
        "The mode of the unix socket, in octal: 0660 lets its group connect. The default is 0700, "
        "or 0660 with --unix-socket-group.", value_name="MODE", group=SERVING)
    unix_socket_group: str = flag("", str, "The group of the unix socket, by name or number.",
        value_name="GROUP", group=SERVING)
    tls: str = flag("", checked(parse_tls), "Serve https: with a certificate and its key from "
        "files, or with a certificate made at the start, for loopback, --address and the names of "
        "--accept-hosts.", value_name="auto|CERT,KEY", completion=("auto",), group=SERVING)
    tls_ca_file: str = flag("", str, "The authority that clients of --tls have to trust; with "
        "--tls=auto it is written here as long as the proxy runs.", completion=FILE, group=SERVING)
    api_prefix: str = flag("/", str, "Serve the API under this prefix.", group=SERVING)
    www: str = flag("", str, "Also serve the static files of this directory.", shorthand="w",
        completion=DIRECTORY, group=SERVING)
    www_prefix: str = flag("/static/", str, "Serve the static files under this prefix.",
        shorthand="P", group=SERVING)
    www_symlinks: bool = switch("Follow symbolic links out of the --www directory.",
        group=SERVING)
    append_server_path: bool = switch("Put the path of the cluster's server before each "
        "request's.", group=SERVING)
    service_hosts: tuple[str, ...] = flag((), parse_items, "Also serve the cluster's services, "
        "each at http://SERVICE--NAMESPACE--CONTEXT.localhost, by port-forward: all, or those that "
        "are named, which --read-only then does not refuse; docs/services.md.", bare=("all",),
        value_name="all|NAMESPACE/SERVICE,...", completion=("all",), group=SERVING)
    keepalive: float = flag(0.0, parse_duration, "Silence after which TCP probes the upstream of "
        "a tunnel, e.g. 30s; 0 is the default of 15s, a negative value switches it off.",
        group=SERVING)
    accept_paths: str = flag("^.*", str, "Regular expressions for paths to accept.", group=FILTER)
    reject_paths: str = flag("^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach", str,
        "Regular expressions for paths to refuse, even if accepted above.", group=FILTER)
    accept_hosts: str = flag(r"^localhost$,^127\.0\.0\.1$,^\[::1\]$", str,
        "Regular expressions for hosts (the Host header) to accept.", group=FILTER)
    reject_methods: str = flag("^$", str, "Regular expressions for HTTP methods to refuse, e.g. "
        "'POST,PUT,PATCH,DELETE'.", group=FILTER)
    disable_filter: bool = switch("Refuse nothing by path, method or host. Dangerous.",
        group=FILTER)
    accept_origins: str = flag("", str, "Regular expressions for the origins of web pages to let "
        "in, each matched as a whole, e.g. 'http://localhost:3000'.", group=FILTER)
    accept_navigation: str = flag("", str, "Regular expressions for paths that links and "
        "redirects of other sites may open, e.g. '^/api/v1/.../web/proxy/callback$'.",
        group=FILTER)
    read_only: Literal["off", "on", "with-secrets"] = flag("off", parse_read_only,
        "Let only requests through that change nothing, and no secrets; --read-only=with-secrets "
        "lets secrets be read.", bare="on", completion=("true", "false", "with-secrets"),
        group=FILTER)
    allow_rules: tuple[str, ...] = flag((), parse_item, "A file of Role and ClusterRole manifests "
        "that say what may pass, and nothing else may; may be repeated.", repeat=True,
        completion=FILE, group=FILTER)
    write_rules: str = flag("", str, "At the end, write a file of Role and ClusterRole manifests "
        "that allow what has passed, and no more; docs/agents.md.", completion=FILE, group=FILTER)
    write_rules_names: bool = switch("With --write-rules, allow each verb for the objects alone "
        "that were named.", group=FILTER)
    write_contexts: tuple[str, ...] = flag((), parse_items, "Let these of --contexts be changed "
        "too, by alias, with commas; or all.", value_name="all|ALIAS,...", repeat=True,
        completion=("all",), group=FILTER)
    ask: bool = switch("Hold what --read-only or --allow-rules refuse, and ask a person instead: "
        "in the inspector, or with kubelatch pending, approve and deny; docs/approvals.md.",
        group=FILTER)
    ask_timeout: float = flag(ASK_TIMEOUT, parse_limit, "How long a request waits for approval "
        "before it is refused; 0 is for ever.", group=FILTER)
    client_auth: Literal["pass", "replace", "refuse"] = choice("pass",
        ("pass", "replace", "refuse"), "What becomes of a client's own Authorization: pass, "
        "replace or refuse.", group=FILTER)
    clients: frozenset[int] | Literal["auto", "any", "same-user"] = flag("auto", parse_clients,
        "Whose processes may connect: any, same-user, or user ids with commas; auto is same-user "
        "on an abstract unix socket, which has no file mode, and any elsewhere.",
        value_name="auto|any|same-user|UID,...", completion=("auto", "any", "same-user"),
        group=FILTER)
    client_token_file: str = flag("", str, "A file with a secret that clients must send, as a "
        "bearer token or as the password of basic authentication.", completion=FILE, group=FILTER)
    kubeconfig: str = flag("", str, "The kubeconfig file to use.", completion=FILE, library=False,
        group=CLUSTER)
    context: str = flag("", str, "The kubeconfig context to use.", completion=NAMES, group=CLUSTER)
    contexts: tuple[str, ...] = flag((), parse_items, "Also serve these contexts, each under "
        "/clusters/ALIAS/: all, or names, with commas; docs/contexts.md. Those beside the chosen "
        "one can only be read.", value_name="all|[ALIAS=]NAME,...", repeat=True,
        completion=NAMES, group=CLUSTER)
    cluster: str = flag("", str, "The kubeconfig cluster to use.", completion=NAMES, group=CLUSTER)
    user: str = flag("", str, "The kubeconfig user to use.", completion=NAMES, group=CLUSTER)
    server: str = flag("", str, "The API server's address and port.", shorthand="s", group=CLUSTER)
    certificate_authority: str = flag("", str, "A file with the certificate authority.",
        completion=FILE, group=CLUSTER)
    insecure_skip_tls_verify: bool | None = flag(None, parse_bool,
        "Do not verify the server's certificate. Dangerous.", bare=True, group=CLUSTER)
    tls_server_name: str = flag("", str, "The name that the server's certificate must carry.",
        group=CLUSTER)
    client_certificate: str = flag("", str, "A file with the client certificate.", completion=FILE,
        group=CLUSTER)
    client_key: str = flag("", str, "A file with the client certificate's key.", completion=FILE,
        group=CLUSTER)
    token: Secret | None = flag(None, parse_secret, "The bearer token to authenticate with.",
        secret=True, group=CLUSTER)
    username: str = flag("", str, "The name for basic authentication.", group=CLUSTER)
    password: Secret | None = flag(None, parse_secret, "The password for basic authentication.",
        secret=True, group=CLUSTER)
    impersonate_user: str = flag("", str, "The user to impersonate.", name="as", library=False,
        group=CLUSTER)
    impersonate_groups: tuple[str, ...] = flag((), parse_item,
        "A group to impersonate; may be repeated.", name="as-group", repeat=True, group=CLUSTER)
    impersonate_uid: str = flag("", str, "The UID to impersonate.", name="as-uid", group=CLUSTER)
    impersonate_user_extra: tuple[str, ...] = flag((), parse_item,
        "An extra field KEY=VALUE to impersonate; may be repeated.", name="as-user-extra",
        repeat=True, group=CLUSTER)
    disable_compression: bool | None = flag(None, parse_bool,
        "Do not ask the server for compressed responses.", bare=True, group=CLUSTER)
    proxy_url: Secret | None = flag(None, parse_secret, "The proxy through which to reach the API "
        "server (http, https, socks5).", secret=True, group=CLUSTER)
    request_timeout: str = flag("0", str, "How long a request may take, e.g. 30s; watches, logs, "
        "proxied services and tunnels are exempt; 0 is for ever.", value_name="DURATION",
        group=CLUSTER)
    connect_timeout: float = flag(30.0, parse_limit, "How long it may take to find and reach the "
        "API server, or the proxy on the way and from there the API server; 0 is for ever.",
        group=CLUSTER)
    tls_timeout: float = flag(10.0, parse_limit, "How long the TLS handshake with the API server "
        "may take; 0 is for ever.", group=CLUSTER)
    response_timeout: float = flag(300.0, parse_limit, "How long the API server may take to begin "
        "its response to a whole request; watches, logs, proxied services and tunnels are exempt; "
        "0 is for ever.", group=CLUSTER)
    http2: Literal["auto", "off"] = choice("auto", ("auto", "off"), "Whether watches share HTTP/2 "
        "connections to the API server: auto, where it offers that, or off.", group=CLUSTER)
    kuberc: str = flag("", str, "kubectl's preferences, for its policy on exec plugins.",
        completion=FILE, group=CLUSTER)
    in_cluster: bool | None = flag(None, parse_bool, "Use the pod's service account and no "
        "kubeconfig; --in-cluster=false: never.", bare=True, group=CLUSTER)
    no_in_cluster: bool = switch("The same as --in-cluster=false.", library=False, group=CLUSTER)
    exec_allow: tuple[str, ...] = flag((), parse_items, "The exec plugins that may run, by name or "
        "path; may be repeated.", repeat=True, group=CLUSTER)
    no_exec: bool = switch("Run no exec plugin.", group=CLUSTER)
    exec_timeout: float = flag(0.0, parse_limit, "How long an exec plugin may take; 0: five "
        "minutes at a terminal, else one.", group=CLUSTER)
    # Go's limit for a server (net/http DefaultMaxHeaderBytes), and so kubectl proxy's.
    max_header_bytes: int = flag(1024 * 1024, at_least(1024),
        "How many bytes a request's line and header fields may have, or a chunked body besides "
        "its data.", value_name="N", group=LIMITS)
    # Kubernetes clients send some ten. Apache allows 100, aiohttp 128, kubectl proxy any number.
    max_headers: int = flag(256, at_least(8), "How many header fields a request may have.",
        value_name="N", group=LIMITS)
    # Local clients send a head at once; nginx waits 60 s, the API server 32 s.
    head_timeout: float = flag(30.0, parse_limit, "How long a request's line and header fields "
        "may take to come, from the first byte on, and how long a new connection may take to send "
        "them; 0 is for ever.", group=LIMITS)
    # Far more than honest clients make at once, whose heads come in one or two pieces.
    max_partial_header_bytes: int = flag(64 * 1024 * 1024, at_least(1024), "How many bytes of line "
        "and header fields the proxy holds, over all connections, of requests of which they have "
        "come in part; beyond it the largest is refused.", value_name="N", group=LIMITS)
    # As --response-timeout; the API server gives a whole request 60 s.
    body_timeout: float = flag(300.0, parse_limit, "How long no byte of a request's body may come, "
        "while the API server takes it; 0 is for ever.", group=LIMITS)
    # Longer than clients keep connections in their pools (Go 90 s), so that the proxy never closes
    # one while a client sends on it.
    idle_timeout: float = flag(3600.0, parse_limit, "How long a connection may be without a "
        "request; 0 is for ever.", group=LIMITS)
    # Each watch and tunnel takes one, so the right number depends on the use.
    max_connections: int = flag(0, at_least(0), "How many connections clients may have at once; 0 "
        "is any number.", value_name="N", group=LIMITS)
    log_requests: str = flag("auto", str, "Where to log requests: a file, - for standard error, "
        "off, or auto: all of them at a terminal, elsewhere those that were refused here or "
        "failed.", completion=FILE, group=SEEN)
    log_format: str = choice("text", ("text", "json", "combined"),
        "How to log requests: text, json, or combined as Apache does. With json, all else on "
        "standard error is JSON too.", group=SEEN)
    log_skip_paths: str = flag("", str, "Regular expressions for paths of which only what goes "
        "wrong is logged, e.g. '^/(livez|readyz)'.", group=SEEN)
    admin_address: str = flag("", str, "Serve /livez, /readyz, /version, /metrics and POST "
        "/quitquitquit here, e.g. 127.0.0.1:8002 or unix:/run/kubelatch.sock. --clients and "
        "--client-token-file hold here too, but for health and readiness.", group=SEEN)
    inspect: bool = switch("Serve a page that shows each request live, at /inspect/ of the admin "
        "address, which is 127.0.0.1:8002 if none is given; docs/inspector.md.", group=SEEN)
    inspect_secret_file: str = flag("", str, "A file with the secret that the inspector requires; "
        "it is made if it does not exist. Without it a new one is made at each start.",
        completion=FILE, group=SEEN)
    inspect_keep: str = flag("1000,32MiB", checked(parse_keep), "How many requests the inspector "
        "keeps, or how many bytes they may have, or both.", value_name="N,SIZE", group=SEEN)
    inspect_bodies: str = flag("64KiB", checked(parse_body_size), "Up to which size the inspector "
        "keeps bodies, 1MiB at most; or off.", value_name="SIZE|off", completion=("off",),
        group=SEEN)
    open_browser: bool = switch("Open the inspector in a browser.", name="open", library=False,
        group=SEEN)
    quiet: bool = switch("Print the start line and what goes wrong, and no more.", library=False,
        group=SEEN)
    verbosity: int = flag(0, parse_level, "How much to log: 0 warnings and reloads, 1 more "
        "about each request at a terminal, 2 streams as they begin, 3 decisions of the filter, 4 "
        "details, 5 tracebacks of faults of its own, 6 timing, 7 request and 8 response headers, "
        "redacted.", name="v", shorthand="v",
        library=False, group=SEEN)
    demo: bool = switch("Start an API server with a small demo cluster inside the proxy, and serve "
        "that.", group=DEMO)
    demo_kubeconfig: str = flag("", str, "Write a kubeconfig for the demo's own TLS port here, and "
        "its certificate authority beside it, as FILE with the suffix .ca.crt.", completion=FILE,
        group=DEMO)
    demo_load: tuple[str, ...] = flag((), parse_item, "A file with objects for the demo to begin "
        "with, as YAML or JSON; may be repeated.", repeat=True, completion=FILE, group=DEMO)
    demo_seed: int | None = flag(None, parse_int, "Make names and uids in the demo the same in "
        "each run, by this number.", value_name="N", group=DEMO)
    drain_timeout: float = flag(25.0, parse_limit, "How long requests in flight may take to "
        "finish after SIGTERM; 0 cuts them at once.", group=PROCESS)
    allow_core_dumps: bool = switch("Let core files be written, which hold keys and tokens, and "
        "let debuggers of this user attach.", library=False, group=PROCESS)
    loop: str = flag("auto", str, "The event loop: uvloop, asyncio, or auto for uvloop where it "
        "exists.", completion=LOOPS, group=PROCESS)
    version: bool = switch("Print the version, and exit.", env=False, library=False, group=PROCESS)
    help: bool = switch("Print this help, and exit.", shorthand="h", env=False, library=False,
        group=PROCESS)
    namespace: str = flag("", str, "The namespace scope of kubectl's other commands.",
        shorthand="n", ignored="requests name their namespace themselves", group=IGNORED)
    cache_dir: str = flag("", str, "kubectl's discovery cache.", completion=DIRECTORY,
        ignored="the proxy caches nothing", group=IGNORED)
    match_server_version: bool = switch("Require kubectl's version of the server.",
        ignored="the proxy works with every version of the API server", group=IGNORED)
    warnings_as_errors: bool = switch("Fail on warnings of the server.",
        ignored="warnings of the server go to the client", group=IGNORED)
    profile: str = flag("none", str, "A Go profile to capture.",
        ignored="this is not a Go program", group=IGNORED)
    profile_output: str = flag("profile.pprof", str, "Where to write the Go profile.",
        ignored="this is not a Go program", group=IGNORED)
    log_flush_frequency: float = flag(5.0, parse_duration, "How often to flush the log.",
        ignored="the log is not buffered", group=IGNORED)
    vmodule: str = flag("", str, "Log levels by Go source file.",
        ignored="this is not a Go program", group=IGNORED)
    # fmt: on
    notes: tuple[str, ...] = ()

    @property
    def overrides(self) -> "Overrides":
        """The overrides of kubeconfig entries."""
        from .overrides import Overrides  # noqa: PLC0415 -- not for the help

        values = {name: getattr(self, name) for name in Overrides.__dataclass_fields__}
        if self.no_in_cluster:
            values["in_cluster"] = False
        return Overrides(**values)


FLAGS: Final = Settings.flags


def flag_set(more: Sequence[Flag] = ()) -> FlagSet:
    """The proxy's flags, and those of a command."""
    return FlagSet((*FLAGS, *more), "see 'kubelatch --help' for usage")


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values of all flags by field name.

    Positional arguments are ignored, as by kubectl, with a note, since one may be a mistyped
    command.

    Raises:
        UsageError: a flag is unknown, or its value is invalid.
    """
    given, words = flag_set().parse(arguments, environ)
    values = complete(given, environ=environ)
    if words:
        values["notes"] += (f"{quote(words[0])} has no effect: it is neither a flag nor a command",)
    return values


def complete(
    given: Mapping[str, Any], more: Sequence[Flag] = (), *, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The values of all flags by field name, defaults included, and notes on what has no effect.

    Args:
        given: the values of the flags that were given.
        more: the flags of a command.
        environ: the environment, checked for unknown variables.
    """
    values = {**{flag.field: flag.default for flag in (*FLAGS, *more)}, **given}
    ignored = [
        f"--{flag.name} has no effect: {flag.ignored}"
        for flag in FLAGS
        if flag.ignored and flag.field in given
    ]
    values["notes"] = (*ignored, *_unknown_variables(environ))
    return values


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Notes on unknown ``KUBELATCH_`` variables: a misspelt one may be meant to restrict access."""
    # The last two are set by kubelatch run for its command.
    known = {*(flag.variable for flag in FLAGS if flag.env), "KUBELATCH_URL", "KUBELATCH_CA_FILE"}
    for name, text in sorted(environ.items()):
        ours = name.startswith("KUBELATCH_") and name not in known
        if text and ours and not is_service_link(name, text):
            meant = name.removeprefix("KUBELATCH_").replace("_", "-").lower()
            flags = {flag.name: flag.variable for flag in FLAGS if flag.env and not flag.ignored}
            similar = [f"${flags[each]}" for each in similar_names(meant, list(flags))]
            hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
            yield f"${name} has no effect: it is the variable of no flag{hint}"


def from_values(values: Mapping[str, Any]) -> Settings:
    """Settings from the values of flags.

    Raises:
        UsageError: flags contradict each other.
    """
    check_consistency(values)
    if values["inspect"] and not values["admin_address"]:
        values = {**values, "admin_address": INSPECT_ADDRESS}
    return Settings(**{name: values[name] for name in ("notes", *(flag.field for flag in FLAGS))})
