"""JSON Web Tokens, signed with RS256 as the API server signs those of service accounts.

The key is made when the first token is, in a thread, since that takes up to a second of CPU. It
lives in memory only.
"""

import asyncio
import base64
import binascii
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Claims = dict[str, Any]

ALGORITHM = "RS256"


class Signer:
    """Signs claims, and reads them back from its own tokens."""

    def __init__(self) -> None:
        self._key: rsa.RSAPrivateKey | None = None
        self._key_id = ""
        self._lock = asyncio.Lock()

    async def prepare(self) -> None:
        """Make the key, unless there is one."""
        async with self._lock:
            if self._key is None:
                self._key = await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)
                public = self._key.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                self._key_id = _encode(hashlib.sha256(public).digest())

    def sign(self, claims: Claims) -> str:
        """A token.

        Raises:
            RuntimeError: it is not prepared.
        """
        if self._key is None:
            raise RuntimeError("there is no key yet")
        head = _encode_json({"alg": ALGORITHM, "kid": self._key_id})
        signed = f"{head}.{_encode_json(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"

    def read(self, token: str) -> Claims | None:
        """The claims of a token that was signed here; None for any other text."""
        signed, _, signature = token.rpartition(".")
        head, _, payload = signed.partition(".")
        if self._key is None:
            return None
        try:
            if json.loads(_decode(head)).get("alg") != ALGORITHM:
                return None
            self._key.public_key().verify(
                _decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            claims = json.loads(_decode(payload))
        except (ValueError, AttributeError, InvalidSignature):
            return None
        return claims if isinstance(claims, dict) else None

    def key_set(self) -> Claims:
        """The public key as a JSON Web Key Set (RFC 7517); empty before the first token."""
        if self._key is None:
            return {"keys": []}
        numbers = self._key.public_key().public_numbers()
        exponent = numbers.e.to_bytes(3, "big")
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self._key_id,
            "alg": ALGORITHM,
            "n": _encode(numbers.n.to_bytes(256, "big")),
            "e": _encode(exponent),
        }
        return {"keys": [key]}


def _encode_json(value: Claims) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """Base64url without padding (RFC 7515).

    Raises:
        ValueError: it is none.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(text) from error
