"""Makes ``Authorization`` values from tokens and passwords, and reads a JWT's expiry."""

import base64
import binascii
import json

from ..errors import ConfigError
from ..secret import Secret

LATEST = 253402300799.0
"""9999-12-31T23:59:59Z, the last second of ``datetime``, in seconds since the epoch."""


def bearer(token: str, where: str) -> Secret:
    """The value for a bearer token, stripped of white space.

    Raises:
        ConfigError: the token, which is from *where*, is empty or cannot be in a header field.
    """
    token = token.strip()
    if not token:
        raise ConfigError(f"read empty token from {where}")
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"the token from {where} holds a character that no HTTP header may hold")
    return Secret(f"Bearer {token}")


def basic(username: str, password: str) -> Secret:
    """The value for a user name and a password (RFC 7617, in UTF-8)."""
    pair = f"{username}:{password}".encode()
    return Secret(f"Basic {base64.b64encode(pair).decode('ascii')}")


def jwt_expiry(token: Secret | None) -> float | None:
    """The ``exp`` of a JWT in seconds since the epoch, unverified; None for other tokens."""
    if token is None:
        return None
    parts = token.reveal().removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    if not isinstance(expiry, int | float) or expiry != expiry:  # noqa: PLR0124 -- NaN
        return None
    return float(min(max(expiry, 0), LATEST))
