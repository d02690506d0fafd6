"""What the command says on standard error: its own log, and a greeting at a terminal.

Standard output has the start line and nothing else, as scripts read it. Everything goes through
one writer, so that no line of one kind lands within another, and a terminal that is not read stops
nobody. Texts are made here; the command prints them.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ..config.settings import Settings
from ..credentials import SourceStatus
from ..gate import DEFAULT_ACCEPT_PATHS, DEFAULT_REJECT_METHODS, DEFAULT_REJECT_PATHS
from ..kubeconfig import ClientConfig
from ..redact import sanitize
from .access_log import LogHandler, LogWriter

_INFO_FROM: Final = 1
_DEBUG_FROM: Final = 4
TRACEBACKS_FROM: Final = 5
"""The ``-v`` from which a fault of ours says where in the code it came from."""
_MEANS: Final = {
    "client-certificate": "by client certificate",
    "token": "by token",
    "token-file": "by token file",
    "basic": "by password",
    "exec": "by exec plugin",
    "oidc": "by OpenID Connect",
    "anonymous": "anonymous, without a credential",
}
# The name that all our loggers begin with.
_ROOT: Final = "kubelatch"


def set_up_logging(
    writer: LogWriter, verbosity: int, *, mark: Callable[[int], str] | None = None
) -> None:
    """Send the program's log to standard error, as much of it as ``-v`` says.

    Args:
        writer: standard error.
        verbosity: of ``-v``.
        mark: see :class:`LogHandler`.
    """
    handler = LogHandler(writer, tracebacks=verbosity >= TRACEBACKS_FROM, mark=mark)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # That requests go elsewhere, or as somebody else, is said in any case.
    logging.getLogger(f"{_ROOT}.context.reload").setLevel(logging.INFO)
    if verbosity >= _INFO_FROM:
        level = logging.DEBUG if verbosity >= _DEBUG_FROM else logging.INFO
        logging.getLogger(_ROOT).setLevel(level)


def greeting(
    settings: Settings,
    config: ClientConfig,
    status: SourceStatus,
    *,
    admin: str,
    question: str,
) -> str:
    """The block that a person is shown once the proxy serves.

    Args:
        settings: the flags.
        config: the chosen cluster and user.
        status: how the credential is.
        admin: that of its admin listener, or empty.
        question: a command that is answered through the proxy, or empty.
    """
    rows = [
        ("context", f"{config.context or 'none'} ({_source(config)})"),
        ("server", config.server.url),
        ("user", user_words(config, status)),
        ("filter", filter_words(settings)),
        ("log", _log_words(settings)),
    ]
    if admin:
        rows.append(("admin", f"{admin}: /readyz?verbose"))
    rows.append(("next", f"{question}, or kubelatch --help" if question else "kubelatch --help"))
    return "".join(f"  {title:<8} {sanitize(text)}\n" for title, text in rows)


def user_words(config: ClientConfig, status: SourceStatus) -> str:
    """Who we are to the API server, and by what means; no secrets, no plugin's arguments."""
    words = _MEANS[status.kind]
    if status.detail:
        words += f" {status.detail}"
    if status.certificate is not None and status.certificate.common_name:
        words += f" of {status.certificate.common_name}"
    expiry = status.certificate.not_after if status.certificate else status.expires_at
    if expiry is not None:
        words += f", until {datetime.fromtimestamp(expiry, UTC):%Y-%m-%d %H:%M} UTC"
    if config.user_name:
        words = f"{config.user_name}, {words}"
    if config.impersonation:
        words += f", acting as {config.impersonation.user}"
    return words


def filter_words(settings: Settings) -> str:
    """What does not pass."""
    words = []
    if settings.read_only != "off":
        secrets = " but secrets" if settings.read_only == "on" else ", secrets too"
        words.append(f"view only, anything{secrets}")
    if settings.allow_rules:
        words.append(f"only what {', '.join(settings.allow_rules)} allow")
    if settings.disable_filter:
        words.append("paths, methods and hosts not filtered (--disable-filter)")
        return "; ".join(words)
    if settings.reject_paths == DEFAULT_REJECT_PATHS:
        words.append("no exec, no attach")
    elif settings.reject_paths:
        words.append(f"no paths {settings.reject_paths}")
    if settings.accept_paths != DEFAULT_ACCEPT_PATHS:
        words.append(f"only paths {settings.accept_paths or '(none)'}")
    if settings.reject_methods not in {"", DEFAULT_REJECT_METHODS}:
        words.append(f"no methods {settings.reject_methods}")
    return "; ".join(words) or "all paths and methods pass"


def _source(config: ClientConfig) -> str:
    if config.source == "in-cluster":
        return "the pod's service account"
    return ", ".join(config.files) if config.source == "kubeconfig" else "built in"


def _log_words(settings: Settings) -> str:
    where = settings.log_requests
    if where == "off":
        return "off"
    if where in {"auto", "-"}:
        return "each request, here; --log-requests=FILE keeps them, off hides them"
    return f"each request, in {where}"
