"""The network of a container: the API server, and Services by their names."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from ..status import Object

API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
API_ADDRESS = "10.96.0.1"
DOMAIN = "cluster.local"
"""What the names of Services end with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Finds what a name means within a pod's namespace."""

    server: str
    """The URL of the API server, as it can be reached from this process."""
    namespace: str
    find_pod: Callable[[str, str, int], Object | None]
    """A pod behind a Service: by namespace, name or address, and port."""

    def is_api(self, host: str, port: int) -> bool:
        """Whether it is the API server."""
        name = _short(host)
        local = name in API_NAMES[1:] or (name == API_NAMES[0] and self.namespace == "default")
        return port == 443 and (local or host == API_ADDRESS)

    def pod(self, host: str, port: int) -> Object | None:
        """The pod that listens there, if any."""
        name, _, namespace = _short(host).removesuffix(".svc").partition(".")
        if _is_address(host):
            return self.find_pod("", host, port)
        return self.find_pod(namespace or self.namespace, name, port)


def _short(host: str) -> str:
    return host.rstrip(".").removesuffix(f".{DOMAIN}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
