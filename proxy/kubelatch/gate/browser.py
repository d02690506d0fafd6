"""Browsers: which pages may send requests to this proxy.

The proxy adds a cluster's credential and requires none, so any page that a user opens could act as
the user. Browsers send the page's origin in ``Origin`` and ``Sec-Fetch-Site``, and no page can set
either (Fetch standard section 2.2.2, forbidden request-headers). A client that sends neither is no
browser, or does not let the page read the response.

``Sec-Fetch-Site`` is the browser's own comparison of the page's origin with the request's URL;
where it is not sent, ``Origin`` is compared with ``Host`` here. Where it is sent it takes
precedence: it is right even if a reverse proxy terminates TLS or changes ``Host``, or if a referrer
policy makes the origin ``null``. Browsers send it to https and loopback URLs only, so never to a
name that was rebound to this address (Fetch Metadata section 2).
"""

import re
from typing import Final, TypeAlias

from .decision import LocalResponse, Refusal, ResponseHeaders, forbidden
from .head import Found
from .patterns import PatternList

_TOKENS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,4096}")
# The origin of an absolute URL (RFC 6454 section 6.2) without user name.
_REFERER: Final = re.compile(r"([a-z][a-z0-9+.-]*://[^/?#@\\\s]+)(?:/.*)?")
# Response headers of the API server that clients use, beyond the CORS-safelisted ones.
_EXPOSED: Final = "Audit-Id, Date, ETag, Link, Location, Retry-After, Warning"
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_VARY: Final[ResponseHeaders] = (("Vary", "Origin"),)
_KINDS: Final = frozenset({"origin", "sec-fetch-site", "service-worker"})
# "none": a bookmark or the address bar (Fetch Metadata section 2.3). "same-site" is another port of
# this host, so another application.
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
# Traefik sends wss for a WebSocket.
_SECURE: Final = ([b"https"], [b"wss"])

Verdict: TypeAlias = Refusal | str | None


class OriginRule:
    """``--accept-origins``, and the proxy's own origin.

    Args:
        patterns: matched against the whole origin, such as ``http://localhost:3000``.
        tls: the proxy itself serves https; its own origin is never http then.
    """

    def __init__(self, patterns: PatternList, *, tls: bool = False) -> None:
        self._patterns = patterns
        self._tls = tls
        # If any origin is allowed, responses depend on Origin.
        self.headers_without_origin: ResponseHeaders = _VARY if patterns.patterns else ()

    def judge(self, found: Found, authority: str) -> Verdict:
        """Returns a refusal, the allowed foreign origin, or None if there is none.

        Args:
            found: the request's fields.
            authority: the request's host and port, already accepted.
        """
        if _KINDS.isdisjoint(found):
            return None
        verdict = self.judge_page(found, authority)
        if not isinstance(verdict, Refusal) and "service-worker" in found:
            return forbidden(
                "service-worker",
                "a service worker may not be installed here: it would outlive this proxy, and "
                "read what the next one on this port serves",
                "the page works without it",
            )
        return verdict

    def judge_page(self, found: Found, authority: str) -> Verdict:
        """As :meth:`judge`, but service workers may be installed."""
        origins = found.get("origin", ())
        sites = _values(found, "sec-fetch-site")
        foreign = [site for site in sites if site not in _OWN_SITES]
        if len(origins) > 1:
            return _foreign_origin(", ".join(v.decode("latin-1") for _, v in origins))
        if sites == [b"same-origin"]:
            return None
        if origins:
            return self._judge_origin(found, origins[0][1].decode("latin-1"), authority, foreign)
        return _foreign_site(found, foreign[0]) if foreign else None

    def _judge_origin(
        self, found: Found, origin: str, authority: str, foreign: list[bytes]
    ) -> Verdict:
        # A page cannot send this field to another origin without a preflight. If a reverse proxy
        # terminates TLS, a page of the same name over http may be an attacker's.
        secure = self._tls or _values(found, "x-forwarded-proto") in _SECURE
        scheme, port = ("https", ":443") if secure else ("http", ":80")
        # Origins omit the default port (RFC 6454 section 6.2); some reverse proxies send it.
        name = authority.lower().removesuffix(port)
        own = origin.lower() == f"{scheme}://{name}"
        if own and not foreign:
            return None
        # "null" is the origin of every sandboxed frame and every file.
        if origin != "null" and self._patterns.first_match(origin) is not None:
            return origin
        if own:
            # A reverse proxy set a Host that equals the page's origin; the browser used another.
            return _foreign_site(found, foreign[0])
        hint = "--accept-origins lets a page's origin in"
        if origin == "null":
            hint = "sandboxed frames and local files have no origin that could be let in"
        elif not secure and origin.lower() == f"https://{name}":
            hint = f"a proxy in front that ends TLS has to send X-Forwarded-Proto: https; {hint}"
        return _foreign_origin(origin, hint)


class NavigationRule:
    """``--accept-navigation``, and links on pages that ``--accept-origins`` allows.

    Other links from another site's page are refused: its author chose the path, and so which
    proxied application runs in the user's browser with the whole API as its own origin.

    Args:
        paths: paths that any page may link to.
        origins: pages that may link to any path, by their ``Referer``; their scripts have full
            access anyway.
    """

    def __init__(self, paths: PatternList, origins: PatternList) -> None:
        self._paths = paths
        self._origins = origins

    def accepts(self, path: str) -> bool:
        """Whether any page may link to this path."""
        return self._paths.first_match(path) is not None

    def admits(self, method: str, path: str, found: Found) -> bool:
        """Whether a page of another site may navigate to this path.

        GET only: a form of another site would act as the user if the pattern is too wide.

        Args:
            method: the request's.
            path: the path, percent-decoded, as for ``--accept-paths``.
            found: the request's fields.
        """
        if not is_link(method, found):
            return False
        if self.accepts(path):
            return True
        referer = referring_origin(found)
        return referer is not None and self._origins.first_match(referer) is not None


def is_link(method: str, found: Found) -> bool:
    """Whether a browser opens a link: it shows the response as a page, and sends no data."""
    return method == "GET" and "origin" not in found and _is_navigation(found)


def referring_origin(found: Found) -> str | None:
    """The origin in ``Referer``; None without one."""
    referers = _values(found, "referer")
    match = _REFERER.fullmatch(referers[0].decode("latin-1")) if len(referers) == 1 else None
    return match[1] if match is not None else None


def _is_navigation(found: Found) -> bool:
    """Whether the browser shows the response as a page, not in a frame of another page."""
    return _values(found, "sec-fetch-mode") == [b"navigate"] and _values(
        found, "sec-fetch-dest"
    ) == [b"document"]


def _values(found: Found, kind: str) -> list[bytes]:
    return [value for _, value in found.get(kind, ())]


def _foreign_site(found: Found, site: bytes) -> Refusal:
    return forbidden(
        "fetch-site",
        f"a browser sent this {site.decode('latin-1')!r} request: another site's page or link "
        "made it",
        "to open a link to this proxy, copy it into the address bar; --accept-navigation lets "
        "links to a path in"
        if _is_navigation(found)
        else "--accept-origins lets a page's scripts in",
    )


def _foreign_origin(origin: str, hint: str = "--accept-origins lets a page's origin in") -> Refusal:
    return forbidden("origin", f"a page of origin {origin!r} may not use this proxy", hint)


def cors_headers(origin: str) -> ResponseHeaders:
    """The CORS fields that let scripts of *origin* read a response.

    Without ``Access-Control-Allow-Credentials``: the proxy itself authenticates to the API, and a
    host's cookies are shared by the applications on all its ports.
    """
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Vary", "Origin"),
    )


def is_preflight(method: str, found: Found) -> bool:
    """Whether it is a CORS preflight (Fetch standard section 4.8), which has no credential and is
    not forwarded."""
    return method == "OPTIONS" and "access-control-request-method" in found


def preflight(found: Found, origin: str) -> LocalResponse:
    """The response to a CORS preflight from *origin*.

    The gate checks the request that follows again. ``Max-Age`` is ten minutes: long enough to halve
    the number of requests, short enough for a changed flag.
    """
    requested = ", ".join(
        value.decode("latin-1") for _, value in found.get("access-control-request-headers", ())
    )
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", _METHODS),
        ("Access-Control-Max-Age", "600"),
        ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if requested and _TOKENS.fullmatch(requested):
        headers.append(("Access-Control-Allow-Headers", requested))
    return LocalResponse(status=204, headers=tuple(headers), rule="preflight")
