"""From method and target to what is asked for.

The demo's own reading of the API's paths (apiserver ``request/requestinfo.go``), so that it can
disagree with a proxy in front of it.
"""

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from .rbac import Attributes

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPath:
    """A request's path and query, taken apart."""

    method: str
    path: str
    query: dict[str, list[str]]
    raw_query: str = ""
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows a ``proxy`` subresource, as it was sent."""
    verb: str = ""

    def option(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """A boolean query parameter: everything but ``false`` and ``0`` is true once it is there.

        ``runtime.Convert_Slice_string_To_bool`` reads it so.
        """
        values = self.query.get(name)
        return bool(values) and (values or [""])[0].lower() not in {"false", "0"}

    @property
    def scope(self) -> str:
        """``resource``, ``namespace`` or ``cluster``, as metrics have it; empty for no resource."""
        if not self.is_resource:
            return ""
        return "resource" if self.name else "namespace" if self.namespace else "cluster"

    @property
    def attributes(self) -> Attributes:
        """What must be allowed."""
        if not self.is_resource:
            return Attributes(verb=self.verb, path=self.path)
        return Attributes(
            verb=self.verb,
            group=self.group,
            resource=self.resource,
            subresource=self.subresource,
            namespace=self.namespace,
            name=self.name,
        )


def parse(method: str, target: str) -> ApiPath:
    """Take a request target apart."""
    raw_path, _, raw_query = target.partition("?")
    query = parse_qs(raw_query, keep_blank_values=True)
    path = unquote(raw_path)
    plain = ApiPath(
        method=method,
        path=path,
        query=query,
        raw_query=raw_query,
        verb=method.lower(),
    )
    parts = [part for part in path.split("/") if part]
    prefix = 3 if parts[:1] == ["apis"] else 2
    if parts[:1] not in (["api"], ["apis"]) or len(parts) <= prefix:
        return plain
    group, version = ("", parts[1]) if prefix == 2 else (parts[1], parts[2])
    rest = parts[prefix:]
    watching = rest[0] == "watch"
    if watching:
        rest = rest[1:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in {"status", "finalize"}:
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    return ApiPath(
        method=method,
        path=path,
        query=query,
        raw_query=raw_query,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        resource=resource,
        name=name,
        subresource=subresource,
        rest=_after_proxy(raw_path, parts, rest) if subresource == "proxy" else "/".join(rest[3:]),
        verb=_verb(method, query, name, watching=watching),
    )


def _verb(method: str, query: dict[str, list[str]], name: str, *, watching: bool) -> str:
    if method in {"GET", "HEAD"}:
        if watching:
            return "watch"
        if name:
            return "get"
        wanted = query.get("watch", ["false"])[0].lower()
        return "watch" if wanted not in {"false", "0"} else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return _VERBS.get(method, "")


def _after_proxy(raw_path: str, parts: list[str], rest: list[str]) -> str:
    """The raw path after ``proxy``: it belongs to the application and stays as it was sent."""
    depth = len(parts) - len(rest) + 3
    return "/".join(raw_path.split("/")[depth + 1 :])
