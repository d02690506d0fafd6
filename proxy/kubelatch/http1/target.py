"""Parses the request target, so that the gate and the API server see the same path.

The gate decides on the path as the API server decodes it: percent-decoded once, not normalized. A
target that another server could take for a different one (a load balancer that resolves dot
segments, a server that decodes twice, a browser's backslash) is refused, or redirected to its clean
form, but never rewritten. An accepted target goes upstream byte for byte. It knows paths only: no
hosts, no policy.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class Target(NamedTuple):
    """An unambiguous request target.

    Attributes:
        raw: origin-form, as the client sent it, for the upstream request line. Bytes that are not
            UTF-8 are surrogate escapes.
        path: the path of ``raw``, percent-decoded once.
        query: what follows the question mark, as sent.
        authority: host and port of an absolute-form target, else None.
    """

    raw: str
    path: str
    query: str
    authority: str | None = None


class Moved(NamedTuple):
    """A target with another clean form, to which to redirect, as Go's ServeMux does."""

    location: str
    authority: str | None = None


class Malformed(NamedTuple):
    """A target that is refused; ``message`` has the reason."""

    message: str


_ABSOLUTE = re.compile(r"http://([^/?#@\\]*)(?=[/?#]|\Z)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SLASHES = re.compile("//+")
# Double encoding: decoded once more it is another path. No name in Kubernetes has a percent sign
# (apimachinery/pkg/api/validation/path/name.go).
_DOUBLE_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# `;` starts a path parameter: some servers drop it and resolve the dots that are left.
_DOTS = re.compile(r"(?:^|/)\.\.?(?:;[^/]*)?(?:/|$)")
# The API server hands what follows to the proxied application
# (kubernetes/pkg/registry/core/{pod,service,node}/rest, and the old verb in requestinfo.go). It may
# itself be reached below a path: --api-prefix, the server URL's, that of a gateway to many
# clusters (/k8s/clusters/ID), or of an aggregated API that proxies to them.
_PROXY_SUBRESOURCE = re.compile(
    r"/api/v1/(?:(?:namespaces/<name>/(?:pods|services)|nodes)/<name>/proxy"
    r"|proxy/(?:namespaces/<name>/(?:pods|services)|nodes)/<name>)(?=/)"
    # One segment as sent and as decoded: an encoded slash would make it two.
    .replace("<name>", "(?:[^/%]|%(?!2[Ff]))+")
)
# Below a group and version there may be an aggregated API with names of its own: a metric can be
# called s0-http://prom.
_GROUP_VERSION = re.compile(r"/apis/[^/%]+/[^/%]+/")


def parse_target(raw: str) -> Target | Moved | Malformed:
    """Parse a request target as received.

    Accepted are origin-form and absolute-form with the scheme ``http`` (RFC 9112 section 3.2);
    the caller handles ``*`` and the authority-form of CONNECT.
    """
    authority = None
    if raw[:1] != "/":
        match = _ABSOLUTE.match(raw)
        if match is None:
            return Malformed("the request target is neither a path nor an http:// URL")
        authority = match[1]
        raw = raw[match.end() :]
        if raw[:1] != "/":
            raw = "/" + raw
    path, _, query = raw.partition("?")
    if "//" in path or "/." in path or "%" in path or "\\" in path or not _is_plain(raw):
        return _parse_unusual(raw, path, query, authority)
    return Target(raw, path, query, authority)


def parse_application_target(raw: str) -> Target | Malformed:
    """Parse a request target of which all but its form is an application's affair: its path is
    neither decoded nor cleaned."""
    authority = None
    match = _ABSOLUTE.match(raw)
    if match is not None:
        authority = match[1]
        raw = raw[match.end() :]
        if raw[:1] != "/":
            raw = "/" + raw
    elif raw[:1] != "/":
        return Malformed("the request target is neither a path nor an http:// URL")
    if "#" in raw or " " in raw or _CONTROL.search(raw):
        return Malformed("the request target has a fragment, a space or a control character in it")
    path, _, query = raw.partition("?")
    return Target(raw, path, query, authority)


def strip_prefix(target: Target, prefix: str) -> Target:
    """The target without ``prefix``, with which ``target.raw`` begins.

    Unlike in kubectl, the rest keeps its escapes.

    Args:
        target: any.
        prefix: ends with a slash and has no escapes.
    """
    if prefix == "/":
        return target
    cut = len(prefix) - 1
    return target._replace(raw=target.raw[cut:], path=target.path[cut:])


def _is_plain(raw: str) -> bool:
    return raw.isascii() and raw.isprintable() and "#" not in raw and " " not in raw


def path_variants(path: str) -> tuple[str, ...]:
    """A decoded path and, if it differs, the path for a server or gateway that merges repeated
    slashes. Rules must allow both."""
    return (path, _SLASHES.sub("/", path)) if "//" in path else (path,)


def _parse_unusual(
    raw: str, path: str, query: str, authority: str | None
) -> Target | Moved | Malformed:
    if "#" in raw:
        return Malformed("the request target has a fragment ('#')")
    if _CONTROL.search(raw) or " " in raw:
        return Malformed("the request target has a control character or a space in it")
    if _BAD_ESCAPE.search(path):
        return Malformed("the path has a percent sign without two hexadecimal digits after it")
    decoded = _decode(path)
    if _CONTROL.search(decoded):
        return Malformed("the path has an encoded control character in it")
    if "\\" in decoded:
        return Malformed("the path has a backslash in it")
    head = _end_of_head(path)
    if "." in decoded and _hides_dots(path):
        return Malformed("the path has encoded or parameterised dot segments")
    if _needs_cleaning(path, head):
        return Moved(_clean(path, head) + raw[len(path) :], authority)
    decoded_head = decoded if head == len(path) else _decode(path[:head])
    if "//" in decoded_head and "//" in _decode(path[: _end_of_strict(path)]):
        return Malformed("the path has an encoded slash beside another slash")
    if _DOUBLE_ENCODED.search(decoded_head):
        return Malformed("the path is percent-encoded twice")
    return Target(raw, decoded, query, authority)


def _decode(path: str) -> str:
    raw = unquote_to_bytes(path.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def _end_of_head(path: str) -> int:
    """The index where the API server's part of the path ends and a proxied application's begins."""
    match = _PROXY_SUBRESOURCE.search(path)
    return match.end() if match else len(path)


def _end_of_strict(path: str) -> int:
    """The index where names of an aggregated API may begin, which may have encoded slashes."""
    match = _GROUP_VERSION.search(path)
    return match.end() if match else len(path)


def _hides_dots(path: str) -> bool:
    """Whether decoding yields a dot segment that was not one as sent.

    After a ``proxy`` subresource, too: the API server would pass such a path to the application,
    but a gateway before it may resolve the dots to another path of the API than the gate decided
    on. Browsers never send one, since they resolve ``%2e%2e`` as ``..`` (WHATWG URL, "double-dot
    URL path segment").
    """
    for segment in path.split("/"):
        if segment in (".", ".."):
            continue
        if _DOTS.search(_decode(segment) if "%" in segment else segment):
            return True
    return False


def _needs_cleaning(path: str, head: int) -> bool:
    if "//" in path[:head]:
        return True
    return "/." in path and any(segment in (".", "..") for segment in path.split("/"))


def _clean(path: str, head: int) -> str:
    """The path without empty and dot segments, escapes kept (Go's ServeMux, cleanPath).

    After a ``proxy`` subresource empty segments are kept, unless dots lead out of it. The result
    never begins with two slashes, which a browser would take for another host.
    """
    fixed = [segment for segment in path[:head].split("/") if segment not in ("", ".", "..")]
    kept: list[str] = []
    segments = path[1:].split("/")
    depth = path[:head].count("/")
    for index, segment in enumerate(segments):
        if segment == "..":
            del kept[-1:]
        elif segment != "." and (segment or index >= depth):
            kept.append(segment)
    inside = head < len(path) and kept[: len(fixed)] == fixed
    if not inside:
        kept = [segment for segment in kept if segment]
    elif kept[-1:] == [""]:
        kept.pop()
    cleaned = "/" + "/".join(kept)
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
