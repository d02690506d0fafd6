"""Restricts which local clients may send requests: by user id, and by a shared secret.

Both are off by default, as in kubectl, where any client that reaches the port acts as the user.
"""

import base64
import binascii
import hmac
from dataclasses import replace

from ..secret import Secret
from .decision import Refusal, forbidden
from .head import Found


def judge_user(uid: int | None, allowed: frozenset[int]) -> Refusal | None:
    """``--clients``: refuse a process of another user.

    Args:
        uid: the user id of the process that connected; None if unknown.
        allowed: the user ids that may connect.
    """
    if uid in allowed:
        return None
    who = "a process that cannot be identified" if uid is None else f"a process of user id {uid}"
    refusal = forbidden(
        "clients",
        f"{who} may not use this proxy",
        "the proxy's --clients flag says who may",
    )
    return replace(refusal, close=True)


def judge_token(found: Found, token: Secret) -> Refusal | None:
    """``--client-token-file``: refuse a request that does not have the secret.

    It may be a bearer token (RFC 6750), or the password of basic authentication with any user name
    (RFC 7617), for which browsers and curl prompt.
    """
    expected = token.reveal().encode()
    lines = found.get("authorization", ())
    if len(lines) == 1 and hmac.compare_digest(_secret(lines[0][1]), expected):
        return None
    return Refusal(
        status=401,
        reason="Unauthorized",
        message="this proxy wants its own token from clients"
        if not lines
        else "this is not the token that this proxy wants from clients",
        hint="send the content of its --client-token-file as a bearer token, or as the password "
        "of basic authentication",
        rule="client-token",
        headers=(("WWW-Authenticate", 'Basic realm="kubelatch", charset="UTF-8"'),),
    )


def _secret(value: bytes) -> bytes:
    """The secret in an ``Authorization`` field; empty if there is none."""
    scheme, _, rest = value.strip().partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
