"""Identity headers: who a request may claim to be.

The upstream request carries one identity, the proxy's, or the client's own where that is let
through; never a mixture of both. The same rules hold for plain requests and for upgrades.
"""

from typing import Literal, NamedTuple, TypeAlias

from .decision import NOTHING_TO_STRIP, Refusal, forbidden, malformed
from .head import Found

ClientAuth: TypeAlias = Literal["pass", "replace", "refuse"]

# k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go
_BEARER_PROTOCOL = b"base64url.bearer.authorization.k8s.io."


class Identity(NamedTuple):
    """Which headers to drop, and what of the client's goes upstream in place of our credential.

    Attributes:
        strip: names of headers to drop.
        client_authorization: its ``Authorization`` passes.
        websocket_token: a token passes in ``Sec-WebSocket-Protocol``, which counts if the request
            becomes a WebSocket.
    """

    strip: frozenset[bytes] = NOTHING_TO_STRIP
    client_authorization: bool = False
    websocket_token: bool = False


_OURS = Identity()
_KINDS = frozenset(
    {"authorization", "sec-websocket-protocol", "x-remote", "impersonate", "disguised-impersonate"}
)


def judge_identity(
    found: Found, *, client_auth: ClientAuth, impersonation_configured: bool
) -> Identity | Refusal:
    """Decide what becomes of the client's identity headers.

    Args:
        found: the request's headers.
        client_auth: ``pass`` sends the client's ``Authorization`` in place of ours, as kubectl
            does (client-go/transport/round_trippers.go); ``replace`` drops it; ``refuse`` refuses.
        impersonation_configured: the proxy itself impersonates (``--as`` or kubeconfig ``as``).
    """
    if _KINDS.isdisjoint(found):
        return _OURS
    # A front proxy's claim, which only the API server's own aggregator may make.
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
            # An empty one is none (client-go/transport/round_trippers.go).
            strip.add(name)
    in_protocol = any(
        _BEARER_PROTOCOL in value for _, value in found.get("sec-websocket-protocol", ())
    )
    if in_protocol and client_auth != "pass":
        return _no_client_credential("a bearer token in Sec-WebSocket-Protocol")
    return Identity(frozenset(strip), passes, in_protocol)


def _judge_impersonation(found: Found, configured: bool) -> Refusal | None:
    if "disguised-impersonate" in found:
        # To the API server these are unknown; to a gateway that folds underscores they are not.
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
