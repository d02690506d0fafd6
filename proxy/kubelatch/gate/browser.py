"""Browsers: which pages may make a browser talk to this proxy.

The proxy holds a cluster's credential and asks for none, so any page that a user opens could act
in the user's name. Browsers say who is asking, in ``Origin`` and ``Sec-Fetch-Site``, and no page
can set either (Fetch standard section 2.2.2, forbidden request-headers). A client that sends
neither is not a browser, or is one asking for something that it will not let a page read.

``Sec-Fetch-Site`` is the browser's own comparison of the page's origin with the URL that it asks
for; comparing ``Origin`` with ``Host`` here is the substitute for where it is not sent. So where
it is sent it decides: it is right where a proxy in front ended TLS or changed ``Host``, and where
a referrer policy made the origin ``null``. Browsers send it to https and loopback URLs only, so
that a name which was rebound to this address never brings it (Fetch Metadata section 2).
"""

import re
from typing import Final, TypeAlias

from .decision import LocalResponse, Refusal, ResponseHeaders, forbidden
from .head import Found
from .patterns import PatternList

_TOKENS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,4096}")
# Of an absolute URL (RFC 6454 section 6.2): no user name, and a path behind it, or nothing.
_REFERER: Final = re.compile(r"([a-z][a-z0-9+.-]*://[^/?#@\\\s]+)(?:/.*)?")
# Response headers of the API server, beyond the safelisted ones, that a client has a use for.
_EXPOSED: Final = "Audit-Id, Date, ETag, Link, Location, Retry-After, Warning"
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_VARY: Final[ResponseHeaders] = (("Vary", "Origin"),)
_KINDS: Final = frozenset({"origin", "sec-fetch-site", "service-worker"})
# "none" is the user's own doing: a bookmark, the address bar (Fetch Metadata section 2.3).
# "same-site" is another port of this host, another application.
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
# Traefik says wss of a WebSocket.
_SECURE: Final = ([b"https"], [b"wss"])

Verdict: TypeAlias = Refusal | str | None


class OriginRule:
    """``--accept-origins``, and the proxy's own origin.

    Args:
        patterns: matched against the whole origin, such as ``http://localhost:3000``.
    """

    __slots__ = ("_patterns", "headers_without_origin")

    def __init__(self, patterns: PatternList) -> None:
        self._patterns = patterns
        # What a cache may reuse depends on Origin as soon as any origin is let in.
        self.headers_without_origin: ResponseHeaders = _VARY if patterns.patterns else ()

    def judge(self, found: Found, authority: str) -> Verdict:
        """Refuse, or return the foreign origin that is let in, or None if there is none.

        Args:
            found: the request's headers.
            authority: the host and port that the client called the proxy by, already accepted.
        """
        if _KINDS.isdisjoint(found):
            return None
        verdict = self._judge_page(found, authority)
        if not isinstance(verdict, Refusal) and "service-worker" in found:
            return forbidden(
                "service-worker",
                "a service worker may not be installed here: it would outlive this proxy, and "
                "read what the next one on this port serves",
                "the page works without it",
            )
        return verdict

    def _judge_page(self, found: Found, authority: str) -> Verdict:
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
        # No page can make a browser send this field to another origin: that takes a preflight.
        # Where TLS was ended in front, a page of the same name by http is anybody's on the way.
        secure = _values(found, "x-forwarded-proto") in _SECURE
        scheme, port = ("https", ":443") if secure else ("http", ":80")
        # Origins have no default port (RFC 6454 section 6.2); some proxies in front write it.
        name = authority.lower().removesuffix(port)
        own = origin.lower() == f"{scheme}://{name}"
        if own and not foreign:
            return None
        # "null" is every sandboxed frame and every file: it names nobody.
        if origin != "null" and self._patterns.first_match(origin) is not None:
            return origin
        if own:
            # A proxy in front called us by a name that the page has too, and the browser has not.
            return _foreign_site(found, foreign[0])
        hint = "--accept-origins lets a page's origin in"
        if origin == "null":
            hint = "sandboxed frames and local files have no origin that could be let in"
        elif origin.lower() == f"https://{name}":
            hint = f"a proxy in front that ends TLS has to send X-Forwarded-Proto: https; {hint}"
        return _foreign_origin(origin, hint)


class NavigationRule:
    """``--accept-navigation``, and links on pages that ``--accept-origins`` lets in.

    A link to the proxy on another site's page is refused otherwise: whoever wrote it chose its
    path, and so which application behind the proxy runs in the user's browser with the whole API
    as its own origin.

    Args:
        paths: what may be opened from anywhere.
        origins: those of pages that may open anything, by their ``Referer``. They may do as they
            please anyway.
    """

    __slots__ = ("_origins", "_paths")

    def __init__(self, paths: PatternList, origins: PatternList) -> None:
        self._paths = paths
        self._origins = origins

    def admits(self, method: str, path: str, found: Found) -> bool:
        """Whether a page of another site may make the browser show this as a page of its own.

        GET only: a form that another site sends would act in the user's name wherever the
        pattern is wider than it had to be.

        Args:
            method: the request's.
            path: the path, percent-decoded, as ``--accept-paths`` sees it.
            found: the request's headers.
        """
        if method != "GET" or "origin" in found or not _is_navigation(found):
            return False
        if self._paths.first_match(path) is not None:
            return True
        referers = _values(found, "referer")
        match = _REFERER.fullmatch(referers[0].decode("latin-1")) if len(referers) == 1 else None
        return match is not None and self._origins.first_match(match[1]) is not None


def _is_navigation(found: Found) -> bool:
    """The browser will show what comes as a page of its own, not in a frame of another."""
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
    """What lets scripts of *origin* read a response.

    Without ``Access-Control-Allow-Credentials``: the proxy itself authenticates to the API, and
    a host's cookies are shared by all its ports, so they may be any other application's.
    """
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Vary", "Origin"),
    )


def is_preflight(method: str, found: Found) -> bool:
    """A browser asks what scripts of an origin may send (Fetch standard section 4.8). It brings
    no credential, and its answer lets nothing through."""
    return method == "OPTIONS" and "access-control-request-method" in found


def preflight(found: Found, origin: str) -> LocalResponse:
    """The answer to a CORS preflight from *origin*.

    It promises nothing that the gate will not check again. ``Max-Age`` is ten minutes: long
    enough to halve the requests, short enough to forget a changed flag.
    """
    wanted = ", ".join(
        value.decode("latin-1") for _, value in found.get("access-control-request-headers", ())
    )
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", _METHODS),
        ("Access-Control-Max-Age", "600"),
        ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if wanted and _TOKENS.fullmatch(wanted):
        headers.append(("Access-Control-Allow-Headers", wanted))
    return LocalResponse(status=204, headers=tuple(headers), rule="preflight")
