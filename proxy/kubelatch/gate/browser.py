"""Browsers: which pages may make a browser talk to this proxy.

The proxy holds a cluster's credential and asks for none, so any page that a user opens could act
in the user's name. Browsers say who is asking, in ``Origin`` and ``Sec-Fetch-Site``, and no page
can forge either. A client that sends neither is not a browser, or is one asking for something
that it will not let a page read.

Refused, among others, is a link to the proxy on another site's page: the one who wrote the link
chose its path, and so which application behind the proxy runs in the user's browser with the
whole API as its own origin.
"""

import re
from typing import Final, TypeAlias

from .decision import Answer, Refusal, ResponseHeaders, forbidden
from .head import Found
from .patterns import PatternList

_TOKENS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,4096}")
# Response headers of the API server, beyond the safelisted ones, that a client has a use for.
_EXPOSED: Final = "Audit-Id, Date, ETag, Link, Location, Retry-After, Warning"
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_VARY: Final[ResponseHeaders] = (("Vary", "Origin"),)

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
        origins = found.get("origin")
        if origins is not None:
            return self._judge_origin(origins, authority)
        for _, value in found.get("sec-fetch-site", ()):
            # "none" is the user's own doing: a bookmark, the address bar (Fetch Metadata
            # section 2.3). "same-site" is another port of this host, another application.
            if value not in (b"same-origin", b"none"):
                return forbidden(
                    "fetch-site",
                    f"a browser sent this {value.decode('latin-1')!r} request: another site's "
                    "page or link made it",
                    "to open a link to this proxy, copy it into the address bar; "
                    "--accept-origins lets a page's scripts in",
                )
        return None

    def _judge_origin(self, origins: list[tuple[bytes, bytes]], authority: str) -> Verdict:
        origin = origins[0][1].decode("latin-1")
        if len(origins) == 1:
            if origin.lower() == f"http://{authority.lower()}":
                return None
            # "null" is every sandboxed frame and every file: it names nobody.
            if origin != "null" and self._patterns.first_match(origin) is not None:
                return origin
        return forbidden(
            "origin",
            f"a page of origin {origin!r} may not use this proxy",
            "--accept-origins lets a page's origin in",
        )


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


def preflight(found: Found, origin: str) -> Answer:
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
    return Answer(status=204, headers=tuple(headers), rule="preflight")
