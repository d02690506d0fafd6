"""Answers that are not the API server's: refusals, faults, redirects, and how they are written.

A fault is told as a Kubernetes ``Status`` unless the client asks for text. Nothing here decides
what is refused.
"""

from aiohttp import web

from ..errors import KubelatchError, sentence
from ..gate import Refusal
from ..http1 import headers, status
from ..observe.record import Record
from .client import ClientConnection
from .request import Incoming
from .sent import CLOSE, GO_ON
from .tunnel import Refused

# Fields of a refused upgrade's answer that do not pass: its framing is made anew.
_DROP_FRAMING = headers.NOT_FOR_CLIENTS | {b"content-length"}


def refuse(
    client: ClientConnection, request: Incoming, refusal: Refusal, record: Record, *, last: bool
) -> web.StreamResponse:
    """Say what the gate has decided.

    Args:
        client: gets it.
        request: what it is the answer to.
        refusal: what it says.
        record: is filled in.
        last: the connection is to be closed behind it.
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
        extra=refusal.headers,
        last=last or refusal.close,
    )


def tell(
    client: ClientConnection,
    request: Incoming,
    error: KubelatchError,
    record: Record,
    *,
    last: bool,
) -> web.StreamResponse:
    """Say what has failed, if the client has got nothing yet; arguments as for :func:`refuse`."""
    record.cause = error.cause
    if record.status:
        # Something has been sent already: all that is left is not to let it look whole.
        client.cut(reset=True)
        return CLOSE
    extra = (("Retry-After", "1"),) if error.passing else ()
    return _failure(
        client,
        request,
        error.status,
        error.reason,
        error.message,
        record,
        hint=error.hint,
        cause=error.cause,
        extra=extra,
        # Its own descriptor is what the next attempt needs.
        last=last or error.cause == "no-descriptors",
    )


def _failure(
    client: ClientConnection,
    request: Incoming,
    code: int,
    reason: str,
    message: str,
    record: Record,
    *,
    hint: str,
    cause: str,
    extra: tuple[tuple[str, str], ...],
    last: bool,
) -> web.StreamResponse:
    if request.reads_no_status:
        code = min(code, 500)
        content = sentence(message, hint).encode()
        kind = "text/plain; charset=utf-8"
    elif request.prefers_text:
        first = "Forbidden" if code == 403 else reason
        content = "\n\n".join(filter(None, (first, message, hint))).encode() + b"\n"
        kind = "text/plain; charset=utf-8"
    else:
        content = status.body(code, reason, message, hint=hint, cause=cause)
        kind = "application/json"
    return send(client, request, code, content, record, kind=kind, extra=extra, last=last)


def relay_refusal(client: ClientConnection, refused: Refused, record: Record) -> web.StreamResponse:
    """The API server's own answer to an upgrade that it will not have."""
    head = refused.head
    lines = [
        b"HTTP/1.1 %d %b" % (head.status, head.reason),
        *headers.response_fields(head.headers, head.names, _DROP_FRAMING),
        b"Content-Length: %d" % len(refused.content),
        b"Connection: close",
        b"\r\n",
    ]
    record.status = head.status
    record.sent = len(refused.content)
    record.answer = head.headers
    record.audit_id = head.get(b"audit-id") or b""
    if client.transport is not None:
        client.transport.write(b"\r\n".join(lines) + refused.content)
    return CLOSE


def send(
    client: ClientConnection,
    request: Incoming,
    code: int,
    content: bytes,
    record: Record,
    *,
    kind: str = "application/json",
    extra: tuple[tuple[str, str], ...] = (),
    last: bool,
) -> web.StreamResponse:
    """Send an answer of our own."""
    # What follows an unread body or an upgrade that was not granted is not worth guessing.
    keep_alive = request.keep_alive and not last and request.content.is_eof() and not client.holding
    record.status = code
    record.sent = 0 if request.method == "HEAD" else len(content)
    if client.transport is not None:
        client.transport.write(
            status.answer(
                code,
                content,
                content_type=kind if content else "",
                http10=request.http10,
                keep_alive=keep_alive,
                head_only=request.method == "HEAD",
                extra=extra,
            )
        )
    return GO_ON if keep_alive else CLOSE
