"""Kubernetes' ``metav1.Status``: the body of the proxy's error responses.

kubectl and client libraries print its message; a plain text body they would wrap into "an error on
the server (...) has prevented the request from succeeding".
"""

import json

from ..errors import sentence


def body(code: int, reason: str, message: str, *, hint: str = "", cause: str = "") -> bytes:
    """The JSON of a failure ``Status``.

    Args:
        code: HTTP status.
        reason: Kubernetes' reason word (apimachinery ``metav1.StatusReason``).
        message: what happened; kubectl prints it.
        hint: what to do next; appended to the message, as clients show nothing else.
        cause: the cause word, as in the access log.
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
