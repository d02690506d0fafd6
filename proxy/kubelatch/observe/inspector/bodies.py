"""Parses and redacts bodies: what may be kept of one, or why nothing is.

Values of Secrets never are, wherever an object is found: alone, in a list, in a table, in an event
of a watch, in the annotation that ``kubectl apply`` writes. Neither are bodies that are secret as a
whole. Pure functions; parsing takes long, so they are for a thread.
"""

import json
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from ...gate.request_info import RequestInfo
from ...kubeconfig.decode import decode_all, to_python
from ...redact import REDACTED, scrub

# Of objects within objects; the API server's own are less deep.
_MAX_DEPTH: Final = 64
_SECRET_FIELDS: Final = frozenset({"data", "stringData"})
_SECRET_KINDS: Final = frozenset({"Secret", "SecretList"})
# Keys whose text is a secret in some API: TokenRequest, TokenReview, ExecCredential, kubeconfig and
# usual CRDs.
_SECRET_KEYS: Final = frozenset(
    """
    accesskey accesstoken apikey apitoken authtoken bearertoken clientkeydata clientsecret idtoken
    passphrase password passwd privatekey refreshtoken secretaccesskey secretkey sessiontoken token
    """.split()  # noqa: SIM905 -- as in access_log.redaction
)
# Names of environment variables, parameters and header fields whose value is one.
_SECRET_NAMES: Final = re.compile(
    "token|secret|passw|passphrase|pwd|credential|bearer|authorization|cookie|jwt|api[-_]?key"
    "|access[-_]?key|private[-_]?key|dsn|connection[-_]?string",
    re.IGNORECASE,
)
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# "-----BEGIN " in base64, unless a certificate follows, which is public.
_ENCODED_KEY: Final = re.compile(r"LS0tLS1CRUdJTi(?!BDRVJU|BQVUJM)[A-Za-z0-9+/=]+")
# In a body without any of these, in lower case, no text needs redaction by itself.
_ESCAPE: Final = b"\\u"
_MARKS: Final = (
    _ESCAPE, b"eyj", b"@", b"bearer", b"basic", b"private key", b"ls0tls1crudjti", b"secret",
)  # fmt: skip
# All of _SECRET_KEYS and _SECRET_NAMES have one of these, without dashes and underscores.
_SECRET_MARKS: Final = re.compile(
    rb"token|secret|passw|passphrase|pwd|credential|bearer|authorization|cookie|jwt|apikey"
    rb"|accesskey|privatekey|clientkeydata|dsn|connectionstring"
)
# A text within a body has JSON in it.
_QUOTED: Final = b'\\"'
_JSON_IN_TEXT: Final = re.compile(r"\s*[{\[]")

_EXEMPT: Final = {
    "secrets": "it is about Secrets",
    "tokenreviews": "it holds a token",
    "tokenrequests": "it holds a token",
}


class NotKept(Exception):  # noqa: N818 -- no fault: the reason is shown
    """Why a body is not kept."""


def why_exempt(info: RequestInfo) -> str:
    """Why no body of such a request is kept; empty if they are."""
    if not info.is_resource:
        return "" if info.path else "its target is not understood"
    if info.verb == "proxy" or info.subresource in {"proxy", "portforward"}:
        return "it is an application's"
    if info.subresource == "token":
        return "it holds a token"
    return _EXEMPT.get(info.resource, "")


def parse(data: bytes, content_type: bytes, encoding: bytes, limit: int) -> Any:
    """The body as redacted JSON values; a watch's events as a list.

    Args:
        data: the body as it was sent.
        content_type: its media type, with parameters.
        encoding: its ``Content-Encoding``.
        limit: the most bytes that it may have when decompressed.

    Raises:
        NotKept: it cannot be parsed, or is too long.
    """
    if encoding.strip().lower() == b"gzip" and data[:2] == b"\x1f\x8b":
        data = _decompress(data, limit)
    elif encoding.strip() and encoding.strip().lower() not in {b"identity", b"gzip"}:
        msg = "its compression is not read"
        raise NotKept(msg)
    kind = content_type.partition(b";")[0].strip().lower()
    try:
        if kind == b"application/json" or kind.endswith(b"+json"):
            return redact(_parse_json(data), data)
        if kind in {b"application/yaml", b"application/apply-patch+yaml", b"text/yaml"}:
            return redact(_parse_yaml(data))
    except (ValueError, RecursionError):
        msg = "it cannot be parsed"
        raise NotKept(msg) from None
    msg = f"{_name(kind)} is not kept"
    raise NotKept(msg)


def _name(kind: bytes) -> str:
    if b"protobuf" in kind:
        return "protobuf"
    if b"cbor" in kind:
        return "CBOR"
    return "what is neither JSON nor YAML"


def _decompress(data: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=31)
    try:
        plain = decompressor.decompress(data, limit + 1)
    except zlib.error:
        msg = "its compression is broken"
        raise NotKept(msg) from None
    if len(plain) > limit:
        msg = "it is too long"
        raise NotKept(msg)
    if not decompressor.eof:
        msg = "its compression is cut"
        raise NotKept(msg)
    return plain


def _parse_json(data: bytes) -> Any:
    try:
        return _load(data)
    except ValueError:
        lines = data.splitlines()
        if len(lines) < 2 or not data.startswith(b"{"):
            raise
        # A watch: each event is a line.
        return [_load(line) for line in lines if line.strip()]


def _load(data: bytes | str) -> Any:
    return _DECODER.decode(data if isinstance(data, str) else data.decode())


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _parse_yaml(data: bytes) -> Any:
    documents = [to_python(document) for document in decode_all(data)]
    return documents[0] if len(documents) == 1 else documents


def redact(value: Any, data: bytes = _ESCAPE, *, secret: bool = False) -> Any:
    """The value without secrets.

    Args:
        value: JSON values.
        data: what they were parsed from; where no text in it can need redaction, texts are not
            looked at one by one.
        secret: it is a Secret, or a patch of one, though it does not say so.

    Raises:
        NotKept: it is nested too deeply.
    """
    lower = data.lower()
    named = _has_secret_name(lower)
    texts = any(mark in lower for mark in _MARKS) or (named and _QUOTED in data)
    if not (texts or secret or named) and data.count(b"{") + data.count(b"[") <= _MAX_DEPTH:
        # As most small bodies.
        return value
    return _Redaction(texts=texts).redact(value, 0, secret=secret)


class _Redaction:
    """Redacts one body.

    Args:
        texts: whether texts are looked at.
    """

    __slots__ = ("_texts",)

    def __init__(self, *, texts: bool) -> None:
        self._texts = texts

    def redact(self, value: Any, depth: int, *, secret: bool = False) -> Any:
        """The value without secrets; *secret*: it is an item of a SecretList."""
        if isinstance(value, str):
            return _redact_text(value, depth) if self._texts else value
        if not isinstance(value, dict | list):
            return value
        if depth > _MAX_DEPTH:
            msg = "it is nested too deeply"
            raise NotKept(msg)
        if isinstance(value, list):
            return [self.redact(item, depth + 1, secret=secret) for item in value]
        return self._redact_object(value, depth, secret=secret)

    def _redact_object(
        self, value: Mapping[str, Any], depth: int, *, secret: bool
    ) -> dict[str, Any]:
        kind = value.get("kind")
        # Items of a SecretList have no kind of their own.
        secret = secret or (isinstance(kind, str) and kind in _SECRET_KINDS)
        redacted = {}
        for key, item in value.items():
            if secret and key in _SECRET_FIELDS:
                redacted[key] = _without_values(item)
            elif isinstance(item, str) and item and _is_secret_key(key):
                redacted[key] = REDACTED
            else:
                redacted[key] = self.redact(item, depth + 1, secret=secret and key == "items")
        name = value.get("name")
        named = isinstance(name, str) and isinstance(value.get("value"), str | list)
        if named and _SECRET_NAMES.search(str(name)):
            redacted["value"] = REDACTED
        return redacted


@lru_cache(2048)
def _is_secret_key(key: str) -> bool:
    return key.lower().replace("-", "").replace("_", "") in _SECRET_KEYS


def _without_values(item: Any) -> Any:
    """The names in a Secret's data, without what they stand for."""
    return dict.fromkeys(item, REDACTED) if isinstance(item, dict) else REDACTED


def _has_secret_name(lower: bytes) -> bool:
    """Whether something in a body may be secret by its name."""
    return bool(_SECRET_MARKS.search(lower.translate(None, b"-_")))


def _redact_text(text: str, depth: int) -> str:
    if _JSON_IN_TEXT.match(text) and _has_secret_name(text.lower().encode("utf-8", "replace")):
        # An object as text: kubectl.kubernetes.io/last-applied-configuration and its like.
        try:
            value = _load(text)
            redacted = _Redaction(texts=True).redact(value, depth + 1)
        except (ValueError, RecursionError):
            if "Secret" in text:
                return REDACTED
        else:
            return text if redacted == value else json.dumps(redacted)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    if "LS0tLS1CRUdJTi" in text:
        text = _ENCODED_KEY.sub(REDACTED, text)
    return scrub(text)
