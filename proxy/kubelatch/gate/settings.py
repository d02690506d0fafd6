"""The gate's settings, their validation, and warnings about them."""

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ..errors import UsageError
from ..secret import Secret
from .hosts import beyond_loopback
from .identity import ClientAuth
from .patterns import split_warnings
from .rules import RuleSet

CLUSTERS: Final = "/clusters/"
"""Where contexts are served beside the chosen one, whatever ``--api-prefix`` says."""

ReadOnly: TypeAlias = Literal["off", "on", "with-secrets"]

# kubectl/pkg/proxy/proxy_server.go
DEFAULT_ACCEPT_HOSTS: Final = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$"
DEFAULT_ACCEPT_PATHS: Final = "^.*"
DEFAULT_REJECT_PATHS: Final = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"
DEFAULT_REJECT_METHODS: Final = "^$"

_DISABLED: Final = (
    "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious"
)
_RELAXED: Final = (
    "Request filter has been relaxed, your proxy may be vulnerable to attacks, please be cautious"
)
# One line each at 100 columns; SECURITY.md has the rest.
_REBINDING: Final = (
    "--disable-filter: any web page can act as you by DNS rebinding; see --client-token-file"
)
_UNTRUSTED: Final = "--accept-hosts=%s: over http any web page can act as you"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GateSettings:
    """The gate's settings; the defaults are kubectl's.

    Attributes:
        accept_paths: patterns after ``split_patterns``; so are the three that follow.
        disable_filter: disable kubectl's filter: paths, methods and hosts. Checks that kubectl does
            not have remain: a user who disables the filter for a dashboard does not want to allow
            every web site.
        accept_origins: patterns that match a whole origin.
        accept_navigation: patterns for paths that links of other sites may open.
        client_token: the secret that clients must send; if set, their ``Authorization`` never goes
            upstream.
        impersonation_configured: the proxy itself sends ``Impersonate-*``.
        allow_rules: None when no ``--allow-rules`` is given.
        ask: what ``read_only`` and ``allow_rules`` stop is held instead of refused.
        api_prefix: where the API is mounted; a final slash is added if missing.
        www_prefix: where static files are mounted; None when there are none.
        unix_socket: the proxy listens on a unix socket, which a browser cannot reach.
        shares_origin: the API of another context is at the root of the same origin.
        serves_applications: applications have names of their own (``--service-hosts``), and one
            whose name is typed into the address bar may lead the browser here.
        read_only_hint: how ``read_only`` came to be set, if not by its flag.
        tls: the proxy's own pages are https.
    """

    accept_paths: tuple[str, ...] = tuple(DEFAULT_ACCEPT_PATHS.split(","))
    reject_paths: tuple[str, ...] = tuple(DEFAULT_REJECT_PATHS.split(","))
    accept_hosts: tuple[str, ...] = tuple(DEFAULT_ACCEPT_HOSTS.split(","))
    reject_methods: tuple[str, ...] = tuple(DEFAULT_REJECT_METHODS.split(","))
    disable_filter: bool = False
    accept_origins: tuple[str, ...] = ()
    accept_navigation: tuple[str, ...] = ()
    read_only: ReadOnly = "off"
    client_auth: ClientAuth = "pass"
    client_token: Secret | None = None
    impersonation_configured: bool = False
    allow_rules: RuleSet | None = None
    ask: bool = False
    api_prefix: str = "/"
    www_prefix: str | None = None
    unix_socket: bool = False
    shares_origin: bool = False
    serves_applications: bool = False
    read_only_hint: str = ""
    tls: bool = False


def warnings_about(settings: GateSettings) -> tuple[str, ...]:
    """Warnings to report at start; kubectl's own come first."""
    found = []
    if settings.disable_filter:
        if not settings.unix_socket:
            found.append(_DISABLED)
            if settings.client_token is None:
                found.append(_REBINDING)
    elif not settings.reject_paths or not settings.reject_methods:
        found.append(_RELAXED)
    others = () if settings.disable_filter else beyond_loopback(settings.accept_hosts)
    if others and settings.client_token is None:
        found.append(_UNTRUSTED % ", ".join(others))
    for flag, patterns in (
        ("--accept-paths", settings.accept_paths),
        ("--reject-paths", settings.reject_paths),
        ("--accept-hosts", settings.accept_hosts),
        ("--reject-methods", settings.reject_methods),
        ("--accept-origins", settings.accept_origins),
        ("--accept-navigation", settings.accept_navigation),
    ):
        found += split_warnings(flag, patterns)
    if settings.allow_rules is not None:
        found += settings.allow_rules.warnings
    return tuple(found)


def mount_points(settings: GateSettings) -> tuple[str, str | None]:
    """The API's and the static files' prefix, each with a slash at both ends.

    Raises:
        UsageError: a prefix is not a plain path, or both are the same.
    """
    api = _prefix("--api-prefix", settings.api_prefix)
    if settings.www_prefix is None:
        return api, None
    www = _prefix("--www-prefix", settings.www_prefix)
    if www == api:
        raise UsageError(
            f"--api-prefix and --www-prefix are both {api!r}",
            hint="mount one of them elsewhere, e.g. --api-prefix=/api/ or --www-prefix=/static/",
            cause="prefix",
        )
    return api, www


def stripped_prefix(api_prefix: str) -> str:
    """The part of ``--api-prefix`` that is stripped, with a slash at both ends.

    kubectl mounts a prefix that begins with /api without stripping it (proxy_server.go, NewServer).
    """
    prefix = api_prefix if api_prefix.endswith("/") else api_prefix + "/"
    return "/" if prefix.startswith("/api") else prefix


def _prefix(flag: str, value: str) -> str:
    prefix = value if value.endswith("/") else value + "/"
    if not prefix.startswith("/"):
        raise UsageError(
            f"{flag}={value}: it must begin with a slash", hint=f"{flag}=/{value}", cause="prefix"
        )
    if not re.fullmatch(r"/(?:(?!\.{1,2}/)[A-Za-z0-9._~!$&'()*+,;=:@-]+/)*", prefix):
        raise UsageError(
            f"{flag}={value}: not a plain path",
            hint="use letters, digits and any of -._~!$&'()*+,;=:@ between single slashes",
            cause="prefix",
        )
    return prefix


def leaves_context(target: str, location: str) -> bool:
    """Whether dot segments lead from one context to another, of which a client that follows a
    redirect would not know.

    Args:
        target: as received.
        location: its path without dot segments.
    """
    path = target if target[:1] == "/" else "/" + target.partition("//")[2].partition("/")[2]
    path = path.partition("?")[0]
    return "/.." in path and _alias(path) != _alias(location.partition("?")[0])


def _alias(path: str) -> str | None:
    """Of the context that a path is below, served or not; None: it is below none."""
    return path[len(CLUSTERS) :].partition("/")[0] if path.startswith(CLUSTERS) else None
