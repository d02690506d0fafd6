"""A connection of our commands to a proxy that runs: its port, or its admin address."""

import http.client
import socket
from typing import NamedTuple

from ..config.addresses import reachable_host
from ..errors import UsageError
from ..system.listeners import unix_address, unix_path


class ProxyLocation(NamedTuple):
    """Where a proxy can be reached: a unix socket, or else a host and port."""

    host: str
    port: int
    unix_socket: str = ""

    def __str__(self) -> str:
        return self.unix_socket or f"{self.host}:{self.port}"


class ProxyConnection(http.client.HTTPConnection):
    """A connection to a proxy.

    Args:
        address: of the proxy.
        seconds: how long each step may take.
        tls: speak TLS with whoever is there; nothing secret may be sent.
    """

    def __init__(self, address: ProxyLocation, seconds: float, *, tls: bool = False) -> None:
        super().__init__(address.host or "localhost", address.port, timeout=seconds)
        self._path = address.unix_socket
        self._tls = tls

    def connect(self) -> None:
        """See :class:`http.client.HTTPConnection`."""
        if not self._path:
            super().connect()
            if self._tls:
                self.sock = _unverified_tls(self.sock)
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(unix_address(self._path))


def _unverified_tls(sock: socket.socket) -> socket.socket:
    import ssl  # noqa: PLC0415 -- with --tls only

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def parse_admin_address(text: str) -> ProxyLocation:
    """The address in ``--admin-address``. Raises UsageError."""
    if path := unix_path(text):
        return ProxyLocation("", 0, path)
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        msg = f"invalid --admin-address {text!r}"
        raise UsageError(msg, hint="say 127.0.0.1:8002, or unix:/path")
    return ProxyLocation(reachable_host(host.strip("[]")), int(port))
