"""Rewrites redirects that name the API server, so that they lead to the proxy.

An application behind a ``proxy`` subresource gets the API server's name in ``Host``, and uses it in
redirects (RFC 9110 section 10.2.2 allows absolute and relative ones). The client can reach that
server only through the proxy, and has no credential for it. Pure.
"""

import re
from typing import Final

from .fields import Fields

FIELDS: Final = frozenset({b"location", b"content-location", b"refresh"})

_ABSOLUTE: Final = re.compile(
    rb"(?:(https?):)?//([^/?#\\]*)((?:[/?#].*)?)", re.IGNORECASE | re.DOTALL
)
_PATH: Final = re.compile(rb"/(?![/\\])")
# HTML, "shared declarative refresh steps": seconds, then a URL with or without its name.
_REFRESH: Final = re.compile(
    rb"(\s*[0-9.]*\s*[;,]?\s*(?:url\s*=\s*)?[\"']?)(.*)", re.IGNORECASE | re.DOTALL
)
_PORTS: Final = {b"http": b"80", b"https": b"443"}


class LinkRewriter:
    """Rewrites the API server's URLs into the proxy's, as paths.

    Args:
        scheme: the API server's, ``http`` or ``https``.
        authority: its host and port, as in ``Host``.
        path: the path of the server's URL, without a trailing slash.
        mount: the path under which clients find the API, without a trailing slash.
    """

    def __init__(self, scheme: bytes, authority: bytes, path: bytes, mount: bytes) -> None:
        self._scheme = scheme
        host = _without_default(scheme, authority)
        # With and without the port, since an application may not know of TLS, and use http.
        self._names = {host, host if _has_port(host) else b"%b:%b" % (host, _PORTS[scheme])}
        self._path = path
        self._mount = mount

    def rewrite(self, fields: Fields) -> Fields:
        """A response's fields for the client.

        Args:
            fields: the upstream's.
        """
        pairs = [
            (pair[0], self._field(name, pair[1])) if name in FIELDS else pair
            for name, pair in zip(fields.names.lower, fields.pairs, strict=True)
        ]
        return Fields(pairs, fields.names)

    def _field(self, name: bytes, value: bytes) -> bytes:
        if name == b"refresh" and (match := _REFRESH.fullmatch(value)):
            return match[1] + self.url(match[2])
        return self.url(value)

    def url(self, url: bytes) -> bytes:
        """The URL as a path of the proxy if it is one of the API server's; else unchanged."""
        match = _ABSOLUTE.fullmatch(url)
        if match is None:
            if not (self._path or self._mount) or not _PATH.match(url):
                return url
            return self._proxy_path(url) or url
        scheme = (match[1] or self._scheme).lower()
        if self._names.isdisjoint({_without_default(scheme, match[2]), match[2].lower()}):
            return url
        rest: bytes = match[3]
        return self._proxy_path(rest if rest.startswith(b"/") else b"/" + rest) or url

    def _proxy_path(self, path: bytes) -> bytes:
        """The proxy's path for one of the API server, query included; empty if there is none."""
        if self._path:
            if not path.startswith(self._path) or path[len(self._path) :][:1] not in b"/?#":
                return b""
            path = path[len(self._path) :]
            if not path.startswith(b"/"):
                path = b"/" + path
        if not self._mount and path.translate(None, b"\t\r\n")[1:2] in {b"/", b"\\"}:
            # A browser would take it for a host (WHATWG URL, "relative slash state").
            path = b"/." + path
        return self._mount + path


def _without_default(scheme: bytes, authority: bytes) -> bytes:
    """Host and port in lower case, without the scheme's default port."""
    host = authority.lower()
    if _has_port(host) and host.rpartition(b":")[2] in {b"", _PORTS[scheme]}:
        return host.rpartition(b":")[0]
    return host


def _has_port(authority: bytes) -> bool:
    return b":" in authority.rpartition(b"]")[2]
