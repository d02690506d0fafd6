"""Which fields a client may have dropped by naming them in ``Connection``.

A proxy removes what ``Connection`` names. If that is a credential, the proxy's own would take its
place, and a request made as somebody else would be carried out as the proxy's user; without other
fields it would be another request. RFC 9110 section 7.6.1 forbids clients to name fields that are
for the recipient of the content, so such a request is refused. Everything else may be named:
``close``, ``keep-alive``, ``upgrade``, ``te``, ``http2-settings``, and what is unknown.
"""

from typing import Final

from .decision import Refusal, malformed
from .head import Found

# The IANA registry's fields of requests that are end-to-end, those that frame a message, and what
# Kubernetes, its gateways and their applications know a client by.
_END_TO_END: Final = frozenset(
    b"""
    accept alt-used api-key apikey audit-id authorization baggage cache-control cookie cookie2 date
    dnt dpop early-data etag expect expires forwarded from host idempotency-key last-modified link
    max-forwards origin pragma prefer priority private-token purpose range referer save-data
    service-worker signature signature-input soapaction trace-id traceparent tracestate
    transfer-encoding upgrade-insecure-requests user-agent via want-digest want-repr-digest warning
    x-api-key x-client-cert x-client-dn x-client-ip x-client-verify x-csrf-token x-csrftoken
    x-http-method-override x-real-ip x-request-id x-requested-with x-user x-username
    x-xsrf-token
    """.split()
)
_FAMILIES: Final = (
    b"accept-",
    b"access-control-",
    b"authentication-",
    b"client-cert",
    b"content-",
    b"if-",
    b"impersonate-",
    b"kubectl-",
    b"sec-",
    b"ssl-client-",
    b"x-amz-",
    b"x-auth-",
    b"x-authenticated-",
    b"x-forwarded-",
    b"x-goog-",
    b"x-kubernetes-",
    b"x-ms-",
    b"x-remote-",
    b"x-ssl-",
    b"x-stream-protocol-",
    b"x-vault-",
)


def judge_connection(found: Found) -> Refusal | None:
    """Refuse a request whose ``Connection`` names a field that is not between us and its sender.

    Underscores count as dashes, for some gateways take them for such.
    """
    for _, value in found.get("connection", ()):
        for element in value.split(b","):
            name = element.partition(b";")[0].strip().lower()
            folded = name.replace(b"_", b"-")
            if folded in _END_TO_END or folded.startswith(_FAMILIES):
                return malformed(
                    "connection",
                    f"the request's Connection names {name.decode('latin-1')!r}, "
                    "which is not a field of the connection",
                    "leave the name out, or the field, if it is not to be sent on",
                )
    return None
