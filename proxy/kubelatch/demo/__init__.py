"""A Kubernetes API server in a box, for newcomers without a cluster and for tests.

It speaks TLS with client certificates on a loopback port of its own and keeps its objects in
memory. It must not know of the proxy: what stands in front of it sees an API server like any
other.
"""

from .access import DemoAccess
from .errors import DemoError
from .server import DemoServer

__all__ = ["DemoAccess", "DemoError", "DemoServer"]
