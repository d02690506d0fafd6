"""What kind of request an exchange carries."""

import enum

from ..gate.request_info import RequestInfo


class Kind(enum.Enum):
    """What kind of request an exchange carries, found out once."""

    PLAIN = "plain"
    WATCH = "watch"
    LOG = "log"
    #: Proxied services and the like: the API server sets them no time limit.
    LONG_RUNNING = "long-running"
    UPGRADE = "upgrade"
    #: A response of our own.
    LOCAL = "local"


def kind_of(info: RequestInfo | None, *, upgrade: bool) -> Kind:
    """Return the kind of a request that goes upstream.

    Args:
        info: what it asks of Kubernetes.
        upgrade: it asks for another protocol.
    """
    if upgrade:
        return Kind.UPGRADE
    if info is None or not info.long_running:
        return Kind.PLAIN
    if info.verb == "watch":
        return Kind.WATCH
    return Kind.LOG if info.subresource == "log" else Kind.LONG_RUNNING
