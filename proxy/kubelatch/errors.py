"""What can go wrong, and what to say of it.

One family tree. An error carries everything that any door needs to show it: a sentence that
says what and where, a hint that says what to do next, the cause word that log and metrics
count, and the HTTP status and Kubernetes reason that a client is given. Messages quote names and
values from files, flags, plugins and servers: they are redacted and escaped here, once for every
place that shows them.
"""

from typing import ClassVar, Final

from .redact import sanitize

_HINTS: Final = {
    "reset": "It may have been carried out all the same: look before you repeat a change. "
    "If it happens often, a load balancer or a firewall on the way may be cutting connections",
    "truncated": "It may have been carried out all the same: look before you repeat a change",
    "bad-answer": "Is the cluster's server in kubeconfig the API server, and does nothing on the "
    "way speak in its place?",
    "tls-closed": "Something before the API server may have cut the connection: a load balancer, "
    "a firewall, or a port that is not the API server's",
    "tls": "kubelatch check shows which certificates are in use",
    "credential": "kubelatch check shows where the credential comes from",
    "bad-request": "This address speaks plain HTTP/1.1: is the URL one of http, not https?",
}
"""What to do next, by cause, where the place that raises an error has nothing better to say."""


def sentence(message: str, hint: str = "") -> str:
    """Message and hint as people read them, in one line."""
    if not hint:
        return message
    end = "" if hint.endswith((".", "?")) else "."
    return f"{message.rstrip('.')}. {hint[:1].upper()}{hint[1:]}{end}"


class KubelatchError(Exception):
    """Base of all errors of ours.

    Args:
        message: one sentence: what happened, and where. It is kept sanitized.
        hint: what to do next; if empty, what can be said of the cause in general. The same.
        cause: one word for log and metrics, e.g. ``refused`` or ``tls-ca``.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    default_cause: ClassVar[str] = "internal"
    transient: ClassVar[bool] = False
    """It will pass by itself, and nothing has been sent: any request may be sent again. client-go
    then does so by itself, a POST too, up to ten times (rest/with_retry.go)."""

    def __init__(self, message: str, *, hint: str = "", cause: str = "") -> None:
        self.message = sanitize(message)
        # repr() shows these.
        super().__init__(self.message)
        self.cause = cause or self.default_cause
        self.hint = sanitize(hint) if hint else _HINTS.get(self.cause, "")

    def __str__(self) -> str:
        return sentence(self.message, self.hint)


class UsageError(KubelatchError):
    """A flag or an environment variable that cannot be used as it is given."""

    exit_code = 2
    default_cause = "usage"


class ConfigError(KubelatchError):
    """A kubeconfig, certificate, key, rule or other file that cannot be used."""

    exit_code = 2
    default_cause = "config"


class ListenError(KubelatchError):
    """An address that cannot be listened on."""

    exit_code = 1
    default_cause = "listen"


class CredentialError(KubelatchError):
    """No credential could be had just now: 503. It seldom passes before somebody has logged in,
    and client-go would keep that to itself while it tries again."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "credential"


class UpstreamError(KubelatchError):
    """The API server could not be reached, or did not answer as HTTP demands."""

    status = 502
    reason = "BadGateway"
    default_cause = "upstream"


class UpstreamTimeoutError(UpstreamError):
    """The API server took too long."""

    status = 504
    reason = "Timeout"
    default_cause = "timeout"


class ClientRequestError(KubelatchError):
    """The client sent something that cannot be forwarded."""

    status = 400
    reason = "BadRequest"
    default_cause = "bad-request"


class ExpectationError(ClientRequestError):
    """The client expects what this proxy does not know (RFC 9110 section 10.1.1)."""

    status = 417
    default_cause = "expectation"
