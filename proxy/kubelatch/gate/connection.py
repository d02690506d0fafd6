"""Refuses requests whose ``Connection`` names end-to-end fields.

A proxy removes the fields that ``Connection`` names. If one is a credential, the proxy would add
its own, and the request would be executed as another user; without other fields it would be another
request. RFC 9110 section 7.6.1 forbids clients to name end-to-end fields. Other names are allowed:
``close``, ``keep-alive``, ``upgrade``, ``te``, ``http2-settings``, and unknown ones.
"""

from typing import Final

from .decision import Refusal, malformed
from .head import Found

# The end-to-end request fields of the IANA registry, those that frame a message, and those by which
# Kubernetes, gateways and applications identify a client.
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
    """Refuse a request whose ``Connection`` names an end-to-end field.

    Underscores count as dashes, as in some gateways.
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
