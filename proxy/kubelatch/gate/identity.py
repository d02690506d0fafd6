"""Identity headers: ``Authorization``, ``Impersonate-*`` and ``X-Remote-*`` of clients.

The upstream request has one identity, the proxy's or, if allowed, the client's; never a mixture of
both. The same rules apply to plain requests and upgrades.
"""

from typing import Literal, NamedTuple, TypeAlias

from .decision import NOTHING_TO_STRIP, Refusal, forbidden, malformed
from .head import Found

ClientAuth: TypeAlias = Literal["pass", "replace", "refuse"]

# k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go
_BEARER_PROTOCOL = b"base64url.bearer.authorization.k8s.io."


class Identity(NamedTuple):
    """The headers to drop, and which client credential replaces the proxy's.

    Attributes:
        strip: names of headers to drop.
        client_authorization: the client's ``Authorization`` passes.
        websocket_token: there is a token in ``Sec-WebSocket-Protocol``, which is used if the
            request is a WebSocket upgrade.
    """

    strip: frozenset[bytes] = NOTHING_TO_STRIP
    client_authorization: bool = False
    websocket_token: bool = False


_PROXY_IDENTITY = Identity()
_KINDS = frozenset(
    {"authorization", "sec-websocket-protocol", "x-remote", "impersonate", "disguised-impersonate"}
)


def judge_identity(
    found: Found, *, client_auth: ClientAuth, impersonation_configured: bool
) -> Identity | Refusal:
    """Decide which of the client's identity headers pass.

    Args:
        found: the request's fields.
        client_auth: ``pass`` sends the client's ``Authorization`` instead of the proxy's, as in
            kubectl (client-go/transport/round_trippers.go); ``replace`` drops it; ``refuse``
            refuses the request.
        impersonation_configured: the proxy itself impersonates (``--as`` or kubeconfig ``as``).
    """
    if _KINDS.isdisjoint(found):
        return _PROXY_IDENTITY
    # Set by a front proxy; only the API server's aggregator may send them.
    strip = {name for name, _ in found.get("x-remote", ())}
    refusal = _judge_impersonation(found, impersonation_configured)
    if refusal is not None:
        return refusal

    authorization = found.get("authorization", ())
    if len(authorization) > 1:
        return malformed("client-auth", "the request has more than one Authorization header")
    passes = False
    for name, value in authorization:
        if value and client_auth == "refuse":
            return _no_client_credential("an Authorization header")
        passes = bool(value) and client_auth == "pass"
        if not passes:
            # An empty one is ignored (client-go/transport/round_trippers.go).
            strip.add(name)
    in_protocol = any(
        _BEARER_PROTOCOL in value for _, value in found.get("sec-websocket-protocol", ())
    )
    if in_protocol and client_auth != "pass":
        return _no_client_credential("a bearer token in Sec-WebSocket-Protocol")
    return Identity(frozenset(strip), passes, in_protocol)


def _judge_impersonation(found: Found, configured: bool) -> Refusal | None:
    if "disguised-impersonate" in found:
        # The API server ignores these; a gateway that treats underscores as dashes does not.
        return forbidden(
            "impersonation",
            "impersonation headers spelled with underscores are not forwarded",
            "spell them with dashes",
        )
    if configured and "impersonate" in found:
        return forbidden(
            "impersonation",
            "this proxy already impersonates a user, and a client cannot choose another",
            "start the proxy without --as, and without 'as' in the kubeconfig's user, "
            "to let clients send Impersonate-* headers",
        )
    return None


def _no_client_credential(what: str) -> Refusal:
    return forbidden(
        "client-auth",
        f"this proxy does not accept {what} from its clients",
        "send the request without it, or start the proxy with --client-auth=pass",
    )
