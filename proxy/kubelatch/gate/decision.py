"""The gate's decisions: forward the request, ask, serve a file, send a local response, or refuse.

The two that most requests get are named tuples, since a frozen dataclass takes three times as long
to create.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from ..http1.target import Target
from .request_info import RequestInfo

ResponseHeaders: TypeAlias = tuple[tuple[str, str], ...]

NOTHING_TO_STRIP: frozenset[bytes] = frozenset()


class Allowed(NamedTuple):
    """The request may go upstream.

    Attributes:
        target: ``target.raw`` goes upstream byte for byte.
        upgrade: ``websocket`` or ``SPDY/3.1`` if the client requests a tunnel; None: a plain
            request, whose ``Connection`` and ``Upgrade`` are ignored.
        strip: names of request headers, spelled as the client spelled them, that must not go
            upstream. Hop-by-hop headers are not among them.
        client_authorization: the client sends its own credential, which goes upstream instead of
            the proxy's.
        response_headers: to be set on the response, in place of the upstream's own of that name;
            ``Vary`` is to be merged. Empty unless ``--accept-origins`` is in use.
        info: the request as the API server resolves it, if the decision needed that.
        authority: the ``Host`` that the upstream gets, where that is not the API server's.
    """

    target: Target
    upgrade: str | None = None
    strip: frozenset[bytes] = NOTHING_TO_STRIP
    client_authorization: bool = False
    response_headers: ResponseHeaders = ()
    info: RequestInfo | None = None
    authority: bytes = b""


class Held(NamedTuple):
    """A policy stops the request, and somebody may let it pass (``--ask``).

    Attributes:
        allowed: the decision without that policy.
        refusal: the decision if nobody lets it pass.
    """

    allowed: Allowed
    refusal: "Refusal"


class Static(NamedTuple):
    """The request is for a file under ``--www``.

    Attributes:
        path: the percent-decoded path under the prefix, without a leading slash.
    """

    target: Target
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResponse:
    """The gate's own response, without a body: a redirect, or to ``OPTIONS``."""

    status: int
    headers: ResponseHeaders
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The request does not pass.

    Attributes:
        status: HTTP status.
        reason: the reason word of Kubernetes' ``metav1.Status``.
        message: what was refused, and why.
        hint: how to allow it; may be empty.
        rule: short stable name of the rule, for log and metrics.
        close: where the next request begins is unknown: the connection must be closed.
        headers: to be set on the response.
        info: the request as the API server resolves it, if the decision needed that.
    """

    status: int
    reason: str
    message: str
    hint: str = ""
    rule: str
    close: bool = False
    headers: ResponseHeaders = ()
    info: RequestInfo | None = None


Decision: TypeAlias = Allowed | Held | Static | LocalResponse | Refusal


def malformed(rule: str, message: str, hint: str = "", *, close: bool = False) -> Refusal:
    """400: the request is malformed or ambiguous."""
    return Refusal(
        status=400, reason="BadRequest", message=message, hint=hint, rule=rule, close=close
    )


def forbidden(rule: str, message: str, hint: str = "", info: RequestInfo | None = None) -> Refusal:
    """403: the request is not allowed."""
    return Refusal(status=403, reason="Forbidden", message=message, hint=hint, rule=rule, info=info)


def with_headers(decision: Decision, headers: ResponseHeaders) -> Decision:
    """The decision with more header fields for the response."""
    if isinstance(decision, Allowed):
        return decision._replace(response_headers=headers)
    if isinstance(decision, Held):
        allowed = decision.allowed._replace(response_headers=headers)
        refusal = replace(decision.refusal, headers=decision.refusal.headers + headers)
        return Held(allowed, refusal)
    if isinstance(decision, Refusal):
        return replace(decision, headers=decision.headers + headers)
    return decision
