"""Standard error of the command: the program's log, and the start block at a terminal.

Standard output has the start line alone, since scripts read it. Everything else goes through one
:class:`LogWriter`, so that lines are never mixed and a terminal that is not read blocks nothing.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

from ..config.settings import Settings
from ..credentials import SourceStatus
from ..gate import DEFAULT_ACCEPT_PATHS, DEFAULT_REJECT_METHODS, DEFAULT_REJECT_PATHS
from ..kubeconfig import ClientConfig
from ..redact import sanitize
from .access_log import LogWriter
from .program_log import LogHandler

_INFO_FROM: Final = 1
_DEBUG_FROM: Final = 4
TRACEBACKS_FROM: Final = 5
"""The ``-v`` from which internal errors have a traceback."""
_METHODS: Final = {
    "client-certificate": "by client certificate",
    "token": "by token",
    "token-file": "by token file",
    "basic": "by password",
    "exec": "by exec plugin",
    "oidc": "by OpenID Connect",
    "anonymous": "anonymous, without a credential",
}
# The parent of all of the package's loggers.
_ROOT: Final = "kubelatch"
START_LOGGER: Final = f"{_ROOT}.start"
"""The logger that says what is served, at every ``-v``."""


def set_up_logging(
    writer: LogWriter,
    verbosity: int,
    *,
    mark: Callable[[int], str] | None = None,
    json: bool = False,
) -> None:
    """Send the program's log to standard error, at the level that ``-v`` sets.

    Args:
        writer: of standard error.
        verbosity: of ``-v``.
        mark: see :class:`LogHandler`.
        json: see :class:`LogHandler`.
    """
    handler = LogHandler(writer, tracebacks=verbosity >= TRACEBACKS_FROM, mark=mark, json=json)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # A reload can send requests to another server, or as another user: reported at every level.
    logging.getLogger(f"{_ROOT}.context").setLevel(logging.INFO)
    logging.getLogger(START_LOGGER).setLevel(logging.INFO)
    if verbosity >= _INFO_FROM:
        level = logging.DEBUG if verbosity >= _DEBUG_FROM else logging.INFO
        logging.getLogger(_ROOT).setLevel(level)


def greeting(
    settings: Settings,
    config: ClientConfig,
    status: SourceStatus,
    *,
    admin: str,
    example: str,
    interactive: bool = True,
    more: Sequence[tuple[str, str]] = (),
) -> str:
    """The start block: what a person at a terminal is shown once the proxy serves.

    Args:
        settings: the flags.
        config: the chosen cluster and user.
        status: of the credential.
        admin: the address of the admin listener, or empty.
        example: a command that gets a response through the proxy, or empty.
        interactive: the proxy is in the foreground of its terminal.
        more: rows on what else is served.
    """
    log_row = ("log", _describe_log(settings, interactive=interactive))
    rows = [*describe(settings, config, status), *more, log_row]
    if settings.demo_kubeconfig:
        authority = PurePath(settings.demo_kubeconfig).with_suffix(".ca.crt")
        rows.append(("demo", f"kubeconfig {settings.demo_kubeconfig}, authority {authority}"))
    if admin:
        rows.append(("admin", f"{admin}: /readyz?verbose"))
    if settings.tls:
        rows.append(("clients", "kubelatch kubeconfig with the same flags prints one for them"))
    rows.append(("next", f"{example}, or kubelatch --help" if example else "kubelatch --help"))
    return "".join(block_row(title, text) for title, text in rows)


def block_row(title: str, text: str) -> str:
    """A row of the start block, with its line end."""
    return f"  {title:<8} {sanitize(text)}\n"


def describe(
    settings: Settings, config: ClientConfig, status: SourceStatus
) -> list[tuple[str, str]]:
    """What is served, as whom, and what is refused: names and texts, which are not sanitized."""
    rows = [
        ("context", f"{config.context or 'none'} ({_source(config)})"),
        ("server", config.server.url),
        ("user", describe_user(config, status)),
        ("filter", describe_filter(settings)),
    ]
    if settings.service_hosts:
        which = ", ".join(settings.service_hosts)
        rows.append(("services", f"{which}, by name; a browser finds them at apps.localhost"))
    return rows


def describe_user(config: ClientConfig, status: SourceStatus) -> str:
    """The user and how it authenticates; no secrets, no arguments of plugins."""
    text = _METHODS[status.kind]
    if status.detail:
        text += f" {status.detail}"
    if status.certificate is not None and status.certificate.common_name:
        text += f" of {status.certificate.common_name}"
    expiry = status.certificate.not_after if status.certificate else status.expires_at
    if expiry is not None:
        text += f", until {datetime.fromtimestamp(expiry, UTC):%Y-%m-%d %H:%M} UTC"
    if config.user_name:
        text = f"{config.user_name}, {text}"
    if config.impersonation:
        text += f", acting as {config.impersonation.user}"
    return text


def describe_filter(settings: Settings) -> str:
    """Which requests the filter refuses."""
    parts = []
    if settings.read_only != "off":
        secrets = " but secrets" if settings.read_only == "on" else ", secrets too"
        parts.append(f"reading only, anything{secrets}")
    if settings.allow_rules:
        parts.append(f"only what {', '.join(settings.allow_rules)} allow")
    if settings.ask:
        parts.append("what that stops waits for approval")
    if settings.disable_filter:
        parts.append("paths, methods and hosts not filtered (--disable-filter)")
        return "; ".join(parts)
    if settings.reject_paths == DEFAULT_REJECT_PATHS:
        parts.append("no exec, no attach")
    elif settings.reject_paths:
        parts.append(f"no paths {settings.reject_paths}")
    if settings.accept_paths != DEFAULT_ACCEPT_PATHS:
        parts.append(f"only paths {settings.accept_paths or '(none)'}")
    if settings.reject_methods not in {"", DEFAULT_REJECT_METHODS}:
        parts.append(f"no methods {settings.reject_methods}")
    return "; ".join(parts) or "all paths and methods pass"


def _source(config: ClientConfig) -> str:
    if config.source == "in-cluster":
        return "the pod's service account"
    return ", ".join(config.files) if config.source == "kubeconfig" else "built in"


def _describe_log(settings: Settings, *, interactive: bool) -> str:
    where = settings.log_requests
    if where == "off":
        return "off"
    if where == "auto" and not interactive:
        return "requests that are refused or fail, here; --log-requests=- logs each"
    if where in {"auto", "-"}:
        return "each request, here; --log-requests=FILE keeps them, off hides them"
    return f"each request, in {where}"
