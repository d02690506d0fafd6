"""What may be shown: secrets are masked, and nothing that a peer sends can act on a terminal.

Queries hide by name (``token=``), since a value alone seldom tells; header fields show by name,
since nobody can list what all the fields are called that carry a secret. Pure functions of text.
"""

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote_plus

MASK: Final = "***"
# Beyond this a target or a user agent says nothing more to a reader, and fills disks.
LONGEST: Final = 2048

# No parameter is called so; one that is has something to hide.
_LONG_NAME: Final = 100

_SENSITIVE: Final = (
    "token|secret|passw|passphrase|pwd|credential|signature|bearer|auth|session|cookie|jwt|saml"
    "|assertion|(?:api|access|private)[-_.]?key"
)
_SECRET_NAME: Final = re.compile(
    rf"{_SENSITIVE}|\A(?:key|sig|sid|code|otp|pin|pass|state)\Z", re.IGNORECASE
)
# `redirect=https%3A%2F%2Fapp%2F%3Ftoken%3Dx`, or pairs that an application splits at `;`.
_ASSIGNMENT: Final = re.compile(rf"(?:{_SENSITIVE})[^=&;]*=", re.IGNORECASE)
# Labels and fields of objects, written `name=value`: no secrets, and too useful to hide.
_SELECTORS: Final = frozenset({"labelselector", "fieldselector"})
# Service account and OIDC tokens: two JSON objects and a signature (RFC 7519), wherever they are.
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.(?:eyJ)?[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?")
_BEARER: Final = re.compile(r"\b(bearer|basic) +[^\s,;\"']+", re.IGNORECASE)
_USERINFO: Final = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")

_URL_FIELDS: Final = frozenset({"location", "referer", "content-location"})
_SHOWN_FIELDS: Final = _URL_FIELDS | frozenset(
    """
    accept accept-charset accept-encoding accept-language accept-ranges
    access-control-request-headers access-control-request-method age allow audit-id cache-control
    connection content-encoding content-language content-length content-range content-type date
    etag expect expires host if-match if-modified-since if-none-match if-unmodified-since
    impersonate-group impersonate-uid impersonate-user keep-alive kubectl-command kubectl-session
    last-modified origin priority range retry-after sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-websocket-extensions sec-websocket-version server strict-transport-security te trailer
    transfer-encoding upgrade user-agent vary via warning x-content-type-options x-forwarded-for
    x-forwarded-host x-forwarded-proto x-kubernetes-pf-flowschema-uid
    x-kubernetes-pf-prioritylevel-uid x-real-ip x-stream-protocol-version
    """.split()  # noqa: SIM905 -- ten lines that can be read, or sixty that cannot
)


def printable(text: str) -> str:
    """The text with everything escaped that is not plainly visible.

    Control characters, line and paragraph separators, and characters that turn the direction of
    writing are all "not printable" to Unicode; a byte that is no UTF-8 is shown as such.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is no UTF-8
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str) -> str:
    """The text, or its beginning and how long it was."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}...({len(text)})"


def scrub(text: str) -> str:
    """The text without what has the form of a credential."""
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if " " in text:
        text = _BEARER.sub(rf"\1 {MASK}", text)
    return text


def mask_target(target: str) -> str:
    """A request target, or any URL, with the secrets in it masked."""
    path, mark, query = target.partition("?")
    if path[:1] != "/" and "@" in path:
        path = _USERINFO.sub(rf"\1{MASK}@", path)
    return scrub(path + mark + mask_query(query))


def mask_query(query: str) -> str:
    """A query with the values masked whose names, or whose own text, speak of secrets.

    Of a command to be executed the first word is kept; its arguments are where passwords are.
    """
    shown = []
    words = 0
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        kind = _kind_of_name(name) if len(name) < _LONG_NAME else "secret"
        if kind == "command":
            words += 1
            kind = "secret" if words > 1 else "plain"
        if value and (kind == "secret" or (kind != "selector" and _assigns(value))):
            pair = f"{name}={MASK}"  # noqa: PLW2901 -- shown instead of it
        shown.append(pair)
    return "&".join(shown)


@lru_cache(1024)
def _kind_of_name(name: str) -> Literal["secret", "selector", "command", "plain"]:
    plain = unquote_plus(name).lower()
    if plain == "command":
        return "command"
    if plain in _SELECTORS:
        return "selector"
    return "secret" if _SECRET_NAME.search(plain) else "plain"


def _assigns(value: str) -> bool:
    """The value holds a pair of its own whose name speaks of a secret."""
    return ("=" in value or "%" in value) and _ASSIGNMENT.search(unquote_plus(value)) is not None


def mask_field(name: bytes, value: bytes) -> tuple[str, str]:
    """A header field as it may be shown: its value only if the field is known to hold no secret."""
    shown, text = name.decode("latin-1"), value.decode("utf-8", "surrogateescape")
    lower = shown.lower()
    if lower == "sec-websocket-protocol":
        text = ", ".join(map(_mask_protocol, text.split(",")))
    elif lower in _URL_FIELDS:
        text = mask_target(text)
    elif lower not in _SHOWN_FIELDS:
        text = MASK
    return printable(shown), printable(shorten(scrub(text)))


def _mask_protocol(token: str) -> str:
    """Browsers put their bearer token among the subprotocols, for want of another place
    (kubernetes apiserver/pkg/authentication/request/websocket/protocol.go)."""
    token = token.strip()
    return token if token.endswith(".k8s.io") and "bearer" not in token else MASK
