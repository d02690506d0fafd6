"""The errors of this package, all derived from :class:`KubelatchError`.

An error carries what every interface needs to report it: a message that says what happened and
where, a hint at what to do, the cause word for log and metrics, the HTTP status and Kubernetes
reason for clients, the command's exit code. Messages quote names and values from files, flags,
plugins and servers; they are redacted and escaped here, once for all interfaces.
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
    "bad-request": "This address speaks HTTP/1.1: is the URL one of http, or of https with --tls?",
}
"""Default hints by cause, for errors raised without one."""


def sentence(message: str, hint: str = "") -> str:
    """Message and hint in one line, as sentences."""
    if not hint:
        return message
    end = "" if hint.endswith((".", "?")) else "."
    return f"{message.rstrip('.')}. {hint[:1].upper()}{hint[1:]}{end}"


class KubelatchError(Exception):
    """Base of this package's errors.

    Args:
        message: one sentence: what happened, and where; sanitized here.
        hint: what to do; if empty, the default hint of the cause; sanitized here.
        cause: one word for log and metrics, e.g. ``refused`` or ``tls-ca``.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    default_cause: ClassVar[str] = "internal"
    transient: ClassVar[bool] = False
    """Whether the failure is temporary and nothing has been sent upstream. The response then has
    ``Retry-After``, and client-go repeats the request, a POST too, up to ten times
    (rest/with_retry.go)."""

    def __init__(self, message: str, *, hint: str = "", cause: str = "") -> None:
        self.message = sanitize(message)
        # For repr().
        super().__init__(self.message)
        self.cause = cause or self.default_cause
        self.hint = sanitize(hint) if hint else _HINTS.get(self.cause, "")

    def __str__(self) -> str:
        return sentence(self.message, self.hint)


class UsageError(KubelatchError):
    """A flag or an environment variable has an invalid value."""

    exit_code = 2
    default_cause = "usage"


class ConfigError(KubelatchError):
    """A kubeconfig, certificate, key, rule or other file cannot be used."""

    exit_code = 2
    default_cause = "config"


class ListenError(KubelatchError):
    """An address cannot be listened on."""

    exit_code = 1
    default_cause = "listen"


class CredentialError(KubelatchError):
    """No credential is available: 503. Not transient, since that usually lasts until the user logs
    in, and client-go would retry without showing the message."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "credential"


class UpstreamError(KubelatchError):
    """The API server could not be reached, or its response violates HTTP."""

    status = 502
    reason = "BadGateway"
    default_cause = "upstream"


class NotProcessedError(UpstreamError):
    """The API server reports that it has done nothing with a request, so that it may be sent again
    (RFC 9113 section 8.7)."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "reset"
    transient = True

    def __init__(self, message: str) -> None:
        hint = "the API server has done nothing with it: it may be repeated"
        super().__init__(message, hint=hint)


class UpstreamTimeoutError(UpstreamError):
    """The API server took too long."""

    status = 504
    reason = "Timeout"
    default_cause = "timeout"


class ClientRequestError(KubelatchError):
    """The client's request cannot be forwarded."""

    status = 400
    reason = "BadRequest"
    default_cause = "bad-request"


class NotFoundError(ClientRequestError):
    """The request names something that is not served here."""

    status = 404
    reason = "NotFound"
    default_cause = "not-found"


class ExpectationError(ClientRequestError):
    """The request has an unknown ``Expect`` (RFC 9110 section 10.1.1)."""

    status = 417
    default_cause = "expectation"
