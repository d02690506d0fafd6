"""Responses that are not the API server's: refusals, faults, redirects.

A fault is sent as a Kubernetes ``Status`` unless the client asks for text. Nothing here decides
what is refused.
"""

from typing import TYPE_CHECKING

from ..errors import KubelatchError, sentence
from ..gate import Refusal
from ..http1 import status
from ..http1.writer import local_response
from .record import Record
from .request import ClientRequest
from .states import State

if TYPE_CHECKING:
    from .client import ClientProtocol

_RETRY_AFTER = (("Retry-After", "1"),)


def refuse(
    client: "ClientProtocol",
    request: ClientRequest,
    refusal: Refusal,
    record: Record,
    *,
    last: bool,
) -> bool:
    """Send what the gate has decided.

    Args:
        client: gets it.
        request: what it is the response to.
        refusal: why.
        record: is filled in.
        last: the connection takes no further request.

    Returns:
        whether it takes one.
    """
    record.rule = refusal.rule
    return _failure(
        client,
        request,
        refusal.status,
        refusal.reason,
        refusal.message,
        record,
        hint=refusal.hint,
        cause=refusal.rule,
        fields=refusal.headers,
        last=last or refusal.close,
    )


def fail(
    client: "ClientProtocol",
    request: ClientRequest,
    error: KubelatchError,
    record: Record,
    *,
    last: bool,
) -> bool:
    """Send what has failed, as nothing has been sent; arguments and result as of :func:`refuse`."""
    record.cause = error.cause
    return _failure(
        client,
        request,
        error.status,
        error.reason,
        error.message,
        record,
        hint=error.hint,
        cause=error.cause,
        fields=_RETRY_AFTER if error.transient else (),
        # Its own descriptor is what the next attempt needs.
        last=last or error.cause == "no-descriptors",
    )


def _failure(
    client: "ClientProtocol",
    request: ClientRequest,
    code: int,
    reason: str,
    message: str,
    record: Record,
    *,
    hint: str,
    cause: str,
    fields: tuple[tuple[str, str], ...],
    last: bool,
) -> bool:
    if request.ignores_status:
        code = 500 if code == 404 else min(code, 500)
        content = sentence(message, hint).encode()
        content_type = "text/plain; charset=utf-8"
    elif request.prefers_text:
        first = "Forbidden" if code == 403 else reason
        content = "\n\n".join(filter(None, (first, message, hint))).encode() + b"\n"
        content_type = "text/plain; charset=utf-8"
    else:
        content = status.body(code, reason, message, hint=hint, cause=cause)
        content_type = "application/json"
    return send(
        client, request, code, content, record, content_type=content_type, fields=fields, last=last
    )


def send(
    client: "ClientProtocol",
    request: ClientRequest,
    code: int,
    content: bytes,
    record: Record,
    *,
    content_type: str = "",
    length: int | None = None,
    fields: tuple[tuple[str, str], ...] = (),
    last: bool,
) -> bool:
    """Send a response of our own.

    Args:
        client: gets it.
        request: what it is the response to.
        code: HTTP status.
        content: the body, or its beginning.
        record: is filled in.
        content_type: the body's media type; empty if there is none.
        length: the body's size in bytes; None: *content* is all of it.
        fields: more header fields.
        last: the connection takes no further request.

    Returns:
        whether it takes one.
    """
    # What follows an unread body or an upgrade that was not granted is not worth guessing.
    keep_alive = request.keep_alive and not last and client.state is State.RESPONSE
    record.status = code
    record.sent = 0 if request.method == "HEAD" else len(content)
    if client.transport is not None:
        client.transport.write(
            local_response(
                code,
                content,
                content_type=content_type,
                length=length,
                http10=request.http10,
                keep_alive=keep_alive,
                head_only=request.method == "HEAD",
                fields=fields,
            )
        )
    return keep_alive


def error_response(error: KubelatchError) -> tuple[bytes, int]:
    """The whole response for *error*, after which the connection ends, and its body's size."""
    body = status.body(
        error.status, error.reason, error.message, hint=error.hint, cause=error.cause
    )
    fields = _RETRY_AFTER if error.transient else ()
    return local_response(error.status, body, keep_alive=False, fields=fields), len(body)
