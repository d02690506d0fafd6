"""A permission: the smallest thing that a rule can allow. Pure."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from ...gate.request_info import RequestInfo
from ...redact import redact
from ..access_log.redaction import redact_target, visible_name

# A longer one is nothing that a rule is written for.
_LONGEST_PATH: Final = 1024
_LONGEST: Final = 253
_VERB: Final = re.compile(r"[a-z]+")
# With an asterisk, a rule would allow more.
_RESOURCE: Final = re.compile(r"[^*\s/]{1,253}")
_SUBRESOURCE: Final = re.compile(r"[^*\s]{0,253}")
_GROUP: Final = re.compile(r"[^*\s/]{0,253}")


class Permission(NamedTuple):
    """One verb on one resource, in one namespace or in all; or on one path.

    Attributes:
        namespace: empty: in all, or of what has none.
        resource: such as ``pods/log``.
        name: of an object; empty: of any.
        path: of what is no resource; then group, resource and name are empty.
    """

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""
    path: str = ""

    def wider(self) -> Iterator["Permission"]:
        """Those that allow it, too, the widest first."""
        if self.namespace:
            if self.name:
                yield self._replace(namespace="", name="")
            yield self._replace(namespace="")
        if self.name:
            yield self._replace(name="")


def permission_of(info: RequestInfo, *, with_name: bool) -> Permission | None:
    """The permission that a request needs; None if no rule can allow just that, or it would show
    what may be a secret.

    Args:
        info: the request as the API server resolves it.
        with_name: for the named object alone.
    """
    if not _VERB.fullmatch(info.verb):
        return None
    if not info.is_resource:
        path = info.path
        plain = 0 < len(path) <= _LONGEST_PATH and "*" not in path and path.isprintable()
        shown = plain and redact(path) == path and redact_target(path) == path
        return Permission("", "", "", info.verb, path=path) if shown else None
    parts = (
        (_GROUP, info.group),
        (_RESOURCE, info.resource),
        (_SUBRESOURCE, info.subresource),
    )
    for pattern, text in parts:
        if not pattern.fullmatch(text) or not text.isprintable() or redact(text) != text:
            return None
    name = info.name if with_name else ""
    if name:
        plain = len(name) <= _LONGEST and name.isprintable()
        if not plain or redact(name) != name or visible_name(name) != name:
            return None
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return Permission(info.namespace, info.group, resource, info.verb, name)
