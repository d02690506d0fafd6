"""Redaction for the request log. What is shown is also escaped, so that no terminal acts on it.

Query parameters are redacted by name (``token=``), since a value alone seldom shows that it is a
secret. Header fields are shown by name, since the names of those that carry secrets cannot be
listed. Pure functions of text.
"""

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote_plus

from ...redact import REDACTED, printable, scrub

# Characters of a target or a user agent that are shown.
MAX_LENGTH: Final = 2048
# UUIDs, as in Audit-Id, which has another value in each response.
_PLAIN: Final = re.compile(rb"[0-9a-f-]{1,64}")
# The longest name that Kubernetes allows (RFC 1123 subdomain).
_MAX_NAME_LENGTH: Final = 253
# Text beyond this is dropped unseen. More than is shown, so that a secret's end is found.
_MOST: Final = 4 * MAX_LENGTH
# Put at the cut, it makes userinfo of a password that was cut off before its end.
_CUT: Final = "@"

# Longer names of parameters are redacted.
_MAX_PARAMETER_NAME: Final = 100
# How many layers of percent-encoding are undone: a URL within a URL within a URL.
_ENCODINGS: Final = 3

_SENSITIVE: Final = re.compile(
    "token|secret|passw|passphrase|pwd|credential|signature|bearer|auth|session|cookie|jwt|saml"
    "|assertion|ticket|hmac|csrf|xsrf|(?:api|access|private|ssh|encryption)[-_.]?key",
    re.IGNORECASE,
)
_SECRET_NAMES: Final = frozenset(
    {"key", "sig", "sid", "code", "otp", "pin", "pass", "pw", "creds", "state"}
)
# Separates a name from its value: `token=x`, or `{"token": "x"}`.
_ASSIGNMENT: Final = re.compile(r"""=|["'] *:""")
# Their values are written `name=value` too, but hold labels and fields of objects, not secrets.
_SELECTORS: Final = frozenset({"labelselector", "fieldselector"})
# Userinfo of a URL: `//user:password@host`, and without leading slashes.
_USERINFO: Final = re.compile(r"//[^/?#&\s@]*@")
_LEADING_USERINFO: Final = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*:/+)?[^/?#]*@")

_URL_FIELDS: Final = frozenset({"location", "referer", "content-location"})
_AUTHORITY_FIELDS: Final = frozenset({"host", "x-forwarded-host"})
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


def shorten(text: str, whole: int = 0) -> str:
    """The text, or if it is too long, its beginning and its length.

    Args:
        text: what may be too long.
        whole: the length before an earlier cut; 0 if *text* is complete.
    """
    if len(text) <= MAX_LENGTH and not whole:
        return text
    return f"{text[:MAX_LENGTH]}...({whole or len(text)})"


def visible(value: bytes) -> str:
    """The value of a header field that should hold no secret, redacted and escaped."""
    if _PLAIN.fullmatch(value):
        return value.decode()
    size, text = len(value), value[:_MOST].decode("utf-8", "surrogateescape")
    if size > _MOST:
        return shorten(printable(scrub(text + _CUT)), size)
    return shorten(printable(scrub(text)))


def visible_target(target: str) -> str:
    """A request target, or any URL: redacted, escaped and shortened."""
    size = len(target)
    if size > _MOST:
        return shorten(printable(redact_target(target[:_MOST] + _CUT)), size)
    return shorten(printable(redact_target(target)))


def visible_name(text: str) -> str:
    """A segment of a path, such as an object's name: redacted, escaped and shortened."""
    return printable(scrub(_redact_segment(text[:_MAX_NAME_LENGTH])))


def redact_target(target: str) -> str:
    """A request target, or any URL, with its secrets redacted."""
    path, mark, query = target.partition("?")
    if path[:1] != "/":
        path = _redact_userinfo(path)
    if "=" in path or "%" in path:
        path = "/".join(map(_redact_segment, path.split("/")))
    return scrub(path + mark + (redact_query(query) if query else ""))


def _redact_userinfo(text: str) -> str:
    """``user:password@host``, with or without a scheme before it."""
    return _LEADING_USERINFO.sub(rf"\1{REDACTED}@", text)


def _redact_segment(text: str) -> str:
    """Parameters in a path (RFC 3986 section 3.3): ``;jsessionid=x``."""
    return REDACTED if _assigns(text) else text


def redact_query(query: str) -> str:
    """A query without the values whose names, or whose own text, indicate a secret.

    Of a command to be executed the program is kept, and the arguments are redacted.
    """
    shown = []
    commands = 0
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        kind = _kind_of_name(name) if len(name) < _MAX_PARAMETER_NAME else "secret"
        if kind == "command":
            commands += 1
            kind = "secret" if commands > 1 else "plain"
        if _assigns(name):
            pair = REDACTED  # noqa: PLW2901 -- shown instead of it
        elif value and (kind == "secret" or (kind != "selector" and _assigns(value))):
            pair = f"{name}={REDACTED}"  # noqa: PLW2901 -- shown instead of it
        shown.append(pair)
    return "&".join(shown)


@lru_cache(1024)
def _kind_of_name(name: str) -> Literal["secret", "selector", "command", "plain"]:
    plain = unquote_plus(name).lower()
    if plain == "command":
        return "command"
    if plain in _SELECTORS:
        return "selector"
    return "secret" if plain in _SECRET_NAMES or _SENSITIVE.search(plain) else "plain"


def _assigns(text: str) -> bool:
    """Whether the text contains a ``name=value`` whose name indicates a secret, or userinfo."""
    if not ("=" in text or "%" in text or '"' in text):
        return False
    for _ in range(_ENCODINGS):
        text, encoded = unquote_plus(text), text
        if text == encoded:
            break
    if "@" in text and _USERINFO.search(text):
        return True
    return any(
        _SENSITIVE.search(name)
        for pair in re.split("[&;]", text)
        for name in _ASSIGNMENT.split(pair)[:-1]
    )


def redact_field(name: bytes, value: bytes) -> tuple[str, str]:
    """A header field, redacted and escaped; the value is shown only if the field is listed."""
    shown, text = name.decode("latin-1"), value[:_MOST].decode("utf-8", "surrogateescape")
    lower = shown.lower()
    if lower == "sec-websocket-protocol":
        text = ", ".join(map(_redact_protocol, text.split(",")))
    elif lower in _URL_FIELDS:
        text = redact_target(text)
    elif lower in _AUTHORITY_FIELDS:
        text = _redact_userinfo(text)
    elif lower not in _SHOWN_FIELDS:
        text = REDACTED
    whole = len(value) if len(value) > _MOST and text != REDACTED else 0
    return shorten(printable(shown)), shorten(printable(scrub(text)), whole)


def visible_host(value: bytes) -> str:
    """The value of ``Host``, redacted and escaped."""
    return redact_field(b"host", value)[1]


def _redact_protocol(token: str) -> str:
    """Redact a WebSocket subprotocol: browsers send their bearer token as one
    (kubernetes apiserver/pkg/authentication/request/websocket/protocol.go)."""
    token = token.strip()
    return token if token.endswith(".k8s.io") and "bearer" not in token.lower() else REDACTED
