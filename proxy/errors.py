"""What can go wrong, and what to say of it.

One family tree. An error carries everything that any door needs to show it: a sentence that
says what and where, a hint that says what to do next, the cause word that log and metrics
count, and the HTTP status and Kubernetes reason that a client is given. It imports nothing of
this package, and no message may hold a secret.
"""

from typing import ClassVar


def sentence(message: str, hint: str = "") -> str:
    """Message and hint as people read them, in one line."""
    if not hint:
        return message
    return f"{message.rstrip('.')}. {hint[:1].upper()}{hint[1:].rstrip('.')}."


class KubelatchError(Exception):
    """Base of all errors of ours.

    Args:
        message: one sentence: what happened, and where.
        hint: what to do next; may be empty.
        cause: one word for log and metrics, e.g. ``refused`` or ``tls-ca``.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    default_cause: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause or self.default_cause

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
    """No credential could be had just now: 503, since another try may succeed."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "credential"


class DrainingError(KubelatchError):
    """The proxy is on its way out and takes no new work."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "draining"


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
