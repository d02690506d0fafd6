"""The header fields of a request that rules need, and its framing.

One pass selects the few fields that any rule needs. Ambiguous framing is refused here as well,
although the HTTP parser is strict: where a request ends must not depend on one check alone.
"""

import re
from dataclasses import replace
from typing import Final, TypeAlias

from ..http1.fields import Fields
from .decision import Refusal, malformed

Found: TypeAlias = dict[str, list[tuple[bytes, bytes]]]

# RFC 9110 section 5.5: in a field value no control bytes but HTAB.
_CONTROL: Final = bytes([*range(9), *range(10, 32), 127])
# No longer: a reader with 64 signed bits must take it for the same number (Go refuses 2^63).
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
COMMON_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VERSIONS: Final = frozenset({(1, 0), (1, 1)})

_EXACT: Final = frozenset(
    {
        b"host",
        b"connection",
        b"upgrade",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"origin",
        b"referer",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"service-worker",
        b"x-forwarded-proto",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"authorization",
        b"sec-websocket-protocol",
    }
)


def sort_fields(fields: Fields) -> Found | Refusal:
    """Select the fields that any rule needs, by kind; a kind that is absent has no key.

    The kind is the name in lower case, ``impersonate`` for ``Impersonate-*``,
    ``disguised-impersonate`` where underscores stand in for its dashes, and ``x-remote`` for
    ``X-Remote-*`` in any spelling.
    """
    found: Found = {}
    for name, pair in zip(fields.names.lower, fields.pairs, strict=True):
        kind = _kind(name)
        if kind:
            found.setdefault(kind, []).append(pair)
    values = b"".join([value for _, value in fields.pairs])
    if len(values.translate(None, _CONTROL)) != len(values):
        return malformed("framing", "a header value has a control character in it", close=True)
    return found


def _kind(name: bytes) -> str:
    if name in _EXACT:
        return name.decode()
    dashed = name.replace(b"_", b"-")
    if dashed.startswith(b"x-remote-"):
        return "x-remote"
    if dashed.startswith(b"impersonate-"):
        # The key that follows "Impersonate-Extra-" may have underscores of its own.
        plain = name == dashed or name.startswith(b"impersonate-extra-")
        return "impersonate" if plain else "disguised-impersonate"
    return ""


def check_framing(found: Found, version: tuple[int, int]) -> Refusal | None:
    """Refuse a head that frames its message, or names its host, in more than one way.

    RFC 9112 sections 3.2, 6.1 and 6.3. The connection is closed: where the next request begins
    is not certain.
    """
    if version not in _VERSIONS:
        # RFC 9110 section 15.6.6. Before 1.0 responses had no status.
        message = "the request's version is neither HTTP/1.1 nor HTTP/1.0"
        return replace(_broken(message), status=505 if version >= (2, 0) else 400)
    hosts = found.get("host", ())
    if len(hosts) > 1:
        return _broken("the request has more than one Host header")
    if not hosts and version >= (1, 1):
        return _broken("the request has no Host header")
    lengths = found.get("content-length", ())
    encodings = found.get("transfer-encoding", ())
    if lengths and encodings:
        return _broken("the request has both Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or (lengths and not _DIGITS.fullmatch(lengths[0][1])):
        return _broken("the request's Content-Length is not one number")
    if encodings:
        if version < (1, 1):
            return _broken("an HTTP/1.0 request cannot have Transfer-Encoding")
        if len(encodings) > 1 or encodings[0][1].strip().lower() != b"chunked":
            return _broken("the request has a Transfer-Encoding other than chunked")
    return None


def judge_method(method: str) -> Refusal | None:
    """Refuse TRACE, CONNECT, and invalid methods.

    TRACE would return the credential that the proxy adds to the client; CONNECT is for forward
    proxies (RFC 9110 sections 9.3.6 and 9.3.8).
    """
    if method.upper() in {"TRACE", "CONNECT"}:
        return Refusal(
            status=405,
            reason="MethodNotAllowed",
            message=f"this proxy does not forward {method}",
            rule="method",
            close=True,
        )
    if not _METHOD.fullmatch(method):
        return malformed("method", "the request's method is not a token", close=True)
    return None


def host_of(found: Found) -> str:
    """The value of ``Host``; empty without one."""
    return found["host"][0][1].decode("latin-1") if "host" in found else ""


def has_body(found: Found) -> bool:
    """Whether a body follows the head."""
    if "transfer-encoding" in found:
        return True
    return any(value.strip(b"0") for _, value in found.get("content-length", ()))


def requested_upgrade(found: Found, method: str, version: tuple[int, int]) -> str | Refusal | None:
    """The protocol to which the client asks to upgrade, if it is one that the proxy tunnels.

    ``Connection`` must name the token ``upgrade``, and ``Upgrade`` exactly one protocol (RFC 9110
    section 7.8). Any other, such as h2c, which some clients send with each request, is
    ignored. An upgrade with a body is refused, since a server that switches early would take the
    body for the new protocol.
    """
    lines = found.get("upgrade")
    if not lines or version < (1, 1):
        return None
    protocols = {value.strip().lower() for value in _elements(lines)}
    options = {value.strip().lower() for value in _elements(found.get("connection", []))}
    if b"upgrade" not in options:
        return None
    if protocols == {b"websocket"}:
        protocol, methods = "websocket", {"GET"}
    elif protocols == {b"spdy/3.1"}:
        protocol, methods = "SPDY/3.1", {"GET", "POST"}
    else:
        return None
    if method not in methods:
        return malformed(
            "upgrade", f"an upgrade to {protocol} cannot be asked for with {method}", close=True
        )
    if has_body(found):
        return malformed("upgrade", "a request to upgrade cannot have a body", close=True)
    return protocol


def _elements(lines: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [element for _, value in lines for element in value.split(b",") if element.strip()]


def _broken(message: str) -> Refusal:
    return malformed("framing", message, close=True)
