"""What the gate may say of a request.

Four answers, each an immutable value: go on to the API server, serve a file, this is the whole
answer, or no. They carry everything the data plane needs and nothing that it would have to
decide again. The two that lie on the way of each request are named tuples: a frozen dataclass
costs three times as much to make.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ..http1.target import Target
from .request_info import RequestInfo

ResponseHeaders: TypeAlias = tuple[tuple[str, str], ...]

NOTHING_TO_STRIP: frozenset[bytes] = frozenset()


class Allowed(NamedTuple):
    """The request may go upstream.

    Attributes:
        target: ``target.raw`` is what goes upstream, byte for byte.
        upgrade: ``websocket`` or ``SPDY/3.1`` when the client asks for a tunnel; None means a
            plain request, whose ``Connection`` and ``Upgrade`` headers mean nothing.
        strip: names of request headers, spelled as the client spelled them, that must not go
            upstream. Hop-by-hop headers are not among them.
        client_authorization: the client brought a credential of its own, which goes upstream in
            place of ours.
        response_headers: to be set on the response, in place of the upstream's own of that name;
            ``Vary`` is to be merged. Empty unless ``--accept-origins`` is in use.
        info: the request in the API server's terms, when the decision needed it.
    """

    target: Target
    upgrade: str | None = None
    strip: frozenset[bytes] = NOTHING_TO_STRIP
    client_authorization: bool = False
    response_headers: ResponseHeaders = ()
    info: RequestInfo | None = None


class Static(NamedTuple):
    """A file under ``--www`` is asked for.

    Attributes:
        path: the percent-decoded path under the prefix, without a leading slash.
    """

    target: Target
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResponse:
    """The gate's own complete answer, without a body: a redirect, or to an ``OPTIONS``."""

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
        hint: what would change it; may be empty.
        rule: short stable name of the rule, for log and metrics.
        close: the connection cannot be trusted to be in step any more and must be closed.
        headers: to be set on the response.
        info: the request in the API server's terms, when the decision needed it.
    """

    status: int
    reason: str
    message: str
    hint: str = ""
    rule: str
    close: bool = False
    headers: ResponseHeaders = ()
    info: RequestInfo | None = None


Decision: TypeAlias = Allowed | Static | LocalResponse | Refusal


def malformed(rule: str, message: str, hint: str = "", *, close: bool = False) -> Refusal:
    """400: the request has no single meaning."""
    return Refusal(
        status=400, reason="BadRequest", message=message, hint=hint, rule=rule, close=close
    )


def forbidden(rule: str, message: str, hint: str = "", info: RequestInfo | None = None) -> Refusal:
    """403: the request is understood, and refused."""
    return Refusal(status=403, reason="Forbidden", message=message, hint=hint, rule=rule, info=info)
