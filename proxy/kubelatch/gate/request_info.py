"""Resolves a request to verb, resource and name from its method, path and query.

It follows ``apiserver/pkg/endpoints/request/requestinfo.go`` line by line, so that the gate, the
access log and the metrics see a request as the API server's authorizer does. Pure: no I/O, no
policy, no discovery.
"""

import re
from functools import cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})

# kube-apiserver's arguments to BasicLongRunningRequestCheck
# (cmd/kube-apiserver/app/server.go, apiserver/pkg/server/filters/longrunning.go).
_LONG_RUNNING_VERBS = frozenset({"watch", "proxy"})
_LONG_RUNNING_SUBRESOURCES = frozenset({"attach", "exec", "proxy", "log", "portforward"})

MAX_PARAMETERS: Final = 10_000
MAX_VALUE: Final = 64 * 1024

_LIST_OPTIONS = frozenset({"watch", "fieldSelector", "labelSelector", "limit", "timeoutSeconds"})
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Longer ones are refused here too, before Python refuses to convert them.
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_SEPARATE_TERMS = re.compile(r"((?:[^\\,]|\\.|\\\Z)*)(?:,|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\,=])")


class RequestInfo(NamedTuple):
    """A request as the API server resolves it; the fields are those of its ``RequestInfo``.

    A named tuple, since one may be created per request and a dataclass takes longer.

    Attributes:
        is_resource: whether it concerns an API resource; if not, only ``verb`` and ``path`` count.
        verb: ``get``, ``list``, ``watch``, ``create``, ``deletecollection``…; the method in lower
            case when it is not about a resource; empty for a method that has no verb.
        path: the path, percent-decoded.
        prefix: ``api`` or ``apis``.
        group: empty for the core group.
        namespace: empty when cluster-scoped. For a namespace object it is that object's name.
        name: empty for collections; a list or watch with the field selector
            ``metadata.name=x`` has the name ``x``.
    """

    is_resource: bool
    verb: str
    path: str
    prefix: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""

    @property
    def long_running(self) -> bool:
        """Whether the API server exempts it from its request timeout."""
        if self.verb in _LONG_RUNNING_VERBS:
            return True
        if self.is_resource:
            return self.subresource in _LONG_RUNNING_SUBRESOURCES
        return self.path.startswith("/debug/pprof/")


def request_info(method: str, path: str, query: str = "") -> RequestInfo:
    """Resolve a request as the API server does.

    Args:
        method: as the client sent it.
        path: the path, percent-decoded once, as Go's ``URL.Path``.
        query: the query as the client sent it, without the question mark.
    """
    parts = path.strip("/").split("/")
    prefix = parts[0]
    if prefix == "api":
        head = 1
    elif prefix == "apis":
        head = 2
    else:
        return RequestInfo(False, method.lower(), path)
    if len(parts) < head + 2:
        return RequestInfo(False, method.lower(), path)

    group = parts[1] if head == 2 else ""
    version = parts[head]
    rest = parts[head + 1 :]
    if rest[0] in ("proxy", "watch"):
        if len(rest) < 2:
            # The API server responds 500 here; the verb stays that of a non-resource request.
            return RequestInfo(True, method.lower(), path, prefix, group, version)
        verb = rest[0]
        rest = rest[1:]
    else:
        verb = _VERBS.get(method, "")

    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]

    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 and verb != "proxy" else ""
    if not name:
        if verb == "get":
            verb, name = _list_or_watch(query)
        elif verb == "delete":
            verb = "deletecollection"
    return RequestInfo(
        True, verb, path, prefix, group, version, namespace, rest[0], subresource, name
    )


def query_values(query: str, keys: frozenset[str]) -> dict[str, list[str]]:
    """The query's values of some keys, as Go's ``url.ParseQuery`` reads them.

    Pairs with a semicolon or a bad escape are dropped, ``+`` is a space, order is kept
    (net/url/url.go, parseQuery). Of more than :data:`MAX_PARAMETERS` none is read, as in Go since
    1.26 (urlmaxqueryparams). What cannot be a key is not decoded, nor is a value over
    :data:`MAX_VALUE` characters: a megabyte of escapes would take a tenth of a second.

    Args:
        query: as it was sent.
        keys: those to look for.
    """
    values: dict[str, list[str]] = {}
    if query.count("&") >= MAX_PARAMETERS:
        return values
    # Each character may be an escape.
    longest = 3 * max(map(len, keys))
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if len(key) > longest or (key := _unquote(key)) not in keys:
            continue
        if ";" not in pair and not _BAD_ESCAPE.search(pair):
            values.setdefault(key, []).append(_unquote(value) if len(value) <= MAX_VALUE else value)
    return values


def _unquote(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    raw = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def _list_or_watch(query: str) -> tuple[str, str]:
    """The verb, and the name a field selector requires, of a GET without a name."""
    if not query:
        return "list", ""
    values = query_values(query, _LIST_OPTIONS)
    # Only absence, "false" and "0" are false (apimachinery/pkg/runtime/conversion.go).
    watch = values.get("watch")
    verb = "watch" if watch and watch[0].lower() not in ("false", "0") else "list"
    selector = values.get("fieldSelector", [""])[0]
    if not selector or len(selector) > MAX_VALUE or not _list_options_decode(values):
        return verb, ""
    return verb, _required_name(selector)


def _list_options_decode(values: dict[str, list[str]]) -> bool:
    """Whether the rest of ListOptions can be decoded; if not, the selector counts for nothing."""
    for key in ("limit", "timeoutSeconds"):
        for text in values.get(key, [])[:1]:
            if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
                return False
    labels = values.get("labelSelector", [""])[0]
    if len(labels) > MAX_VALUE:
        return False
    return not labels or _label_selector_pattern().fullmatch(labels) is not None


def _required_name(selector: str) -> str:
    """The value that a field selector requires of ``metadata.name``, or an empty string.

    As fields.ParseSelector and RequiresExactMatch do: the terms are sorted, the first that
    requires the name wins, one bad term spoils the whole selector, and a name that cannot be a
    path segment is no name (apimachinery/pkg/fields/selector.go, api/validation/path/name.go).
    """
    found: str | None = None
    terms = [match[1] for match in _SEPARATE_TERMS.finditer(selector) if match[1]]
    for term in sorted(terms):
        match = re.match(r"(.*?)(!=|==|=)(.*)\Z", term, re.DOTALL)
        if match is None:
            return ""
        field, operator, value = match.groups()
        bare = _ESCAPED.sub("", value)
        if "\\" in bare or "=" in bare:
            return ""
        if found is None and field == "metadata.name" and operator != "!=":
            found = _ESCAPED.sub(r"\1", value)
    if found is None or found in (".", "..") or "/" in found or "%" in found:
        return ""
    return found


@cache
def _label_selector_pattern() -> re.Pattern[str]:
    """The grammar of label selectors (apimachinery/pkg/labels/selector.go) as one pattern.

    Where the two could differ (a key's prefix is matched loosely in length) this one is the
    stricter: a selector that it does not know makes the request one without a name.
    """
    # Possessive: two of these stand side by side where a value is missing, and a megabyte of
    # spaces would be divided between them in every way.
    space = r"[ \t\r\n]*+"
    word = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
    label = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
    key = rf"(?:(?=[^/]{{1,253}}/){label}(?:\.{label})*/)?{word}"
    value = rf"(?:{word})?"
    values = rf"\({space}{value}{space}(?:,{space}{value}{space})*\)"
    requirement = (
        rf"(?:!{space}{key}"
        rf"|{key}(?:{space}(?:==?|!=){space}{value}"
        rf"|{space}[<>]{space}[0-9]{{1,18}}"
        rf"|[ \t\r\n]+(?:in|notin){space}{values})?)"
    )
    return re.compile(rf"{space}{requirement}{space}(?:,{space}{requirement}{space})*")
