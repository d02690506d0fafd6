"""Kubernetes' ``metav1.Status``: how refusals and faults are said to clients.

kubectl and every client library print its message; a plain text body they would wrap into
"an error on the server (...) has prevented the request from succeeding".
"""

import json
from email.utils import formatdate
from http import HTTPStatus

from ..errors import sentence


def body(code: int, reason: str, message: str, *, hint: str = "", cause: str = "") -> bytes:
    """The JSON of a failure ``Status``.

    Args:
        code: HTTP status.
        reason: Kubernetes' reason word (apimachinery ``metav1.StatusReason``).
        message: what happened; kubectl prints it.
        hint: what to do next; appended to the message, as clients show nothing else.
        cause: our word for it, as in the access log.
    """
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": sentence(message, hint),
        "reason": reason,
        "code": code,
    }
    if cause:
        status["details"] = {"causes": [{"reason": cause, "message": message}]}
    return json.dumps(status, separators=(",", ":")).encode() + b"\n"


def answer(
    code: int,
    content: bytes,
    *,
    content_type: str = "application/json",
    http10: bool = False,
    keep_alive: bool = True,
    head_only: bool = False,
    extra: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A whole HTTP answer of ours.

    Args:
        code: HTTP status.
        content: the body.
        content_type: its media type; empty if there is no body.
        http10: the client speaks HTTP/1.0.
        keep_alive: the connection stays open.
        head_only: the request was HEAD.
        extra: more header fields.
    """
    lines = [
        f"HTTP/1.{0 if http10 else 1} {code} {_phrase(code)}",
        *([f"Content-Type: {content_type}"] if content_type else ()),
        # RFC 9110 section 8.6: not in a 204.
        *([f"Content-Length: {len(content)}"] if code != HTTPStatus.NO_CONTENT else ()),
        f"Date: {formatdate(usegmt=True)}",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in extra),
    ]
    if not keep_alive:
        lines.append("Connection: close")
    elif http10:
        lines.append("Connection: keep-alive")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return head if head_only else head + content


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Unknown"
