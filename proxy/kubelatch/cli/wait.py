"""``kubelatch wait``: return when a proxy is ready."""

import http.client
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..config.addresses import reachable_host
from ..config.commands import COMMANDS, reject_arguments
from ..config.settings import Settings, complete, flag_set, from_values
from ..errors import KubelatchError, UsageError
from ..system.listeners import unix_address, unix_path

# Seconds.
_ATTEMPT_TIMEOUT: Final = 5.0
_INTERVAL: Final = 0.1


class NotReadyError(KubelatchError):
    """The proxy was not ready within ``--timeout`` of ``kubelatch wait``."""

    default_cause = "not-ready"


@dataclass(frozen=True, slots=True)
class _Probe:
    """A request whose response shows whether a proxy is ready."""

    host: str
    port: int
    unix_socket: str
    target: str
    tls: bool = False

    def send(self, seconds: float) -> int:
        """Send it; returns the response's status. Raises OSError, HTTPException."""
        connection = _ProbeConnection(self, seconds)
        try:
            connection.request("GET", self.target, headers={"Host": "localhost"})
            return connection.getresponse().status
        finally:
            connection.close()


class _ProbeConnection(http.client.HTTPConnection):
    def __init__(self, probe: _Probe, seconds: float) -> None:
        super().__init__(probe.host or "localhost", probe.port, timeout=seconds)
        self._path = probe.unix_socket
        self._tls = probe.tls

    def connect(self) -> None:
        if not self._path:
            super().connect()
            if self._tls:
                self.sock = _unverified_tls(self.sock)
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(unix_address(self._path))


def _unverified_tls(sock: socket.socket) -> socket.socket:
    """TLS with whoever is there: nothing secret is sent, and the response's status is all that
    counts."""
    import ssl  # noqa: PLC0415 -- with --tls only

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def wait(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Return when the proxy that the flags describe is ready.

    With ``--admin-address``, that is when its ``/readyz`` returns 200; without, when a request
    through it gets a response.

    Raises:
        UsageError: a flag cannot be used.
        NotReadyError: ``--timeout`` is over.
    """
    own = COMMANDS["wait"].flags
    given, words = flag_set(own).parse(arguments, environ)
    reject_arguments("wait", words)
    values = complete(given, own, environ=environ)
    timeout, settings = values["timeout"], from_values(values)
    probe, wanted = _probe(settings)
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            status = probe.send(max(0.1, min(left, _ATTEMPT_TIMEOUT)))
        except (OSError, http.client.HTTPException) as error:
            problem = _reason(error)
        else:
            if status <= wanted:
                return
            problem = f"it answers {status}"
        if left <= 0:
            where = probe.unix_socket or f"{probe.host}:{probe.port}"
            msg = f"the proxy at {where} is not ready after {timeout:g}s: {problem}"
            hint = "does it run, and on that address? Its log and /readyz?verbose say more"
            raise NotReadyError(msg, hint=hint)
        time.sleep(min(_INTERVAL, max(0.0, left)))


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _probe(settings: Settings) -> tuple[_Probe, int]:
    """The probe, and the highest status that counts as ready."""
    if address := settings.admin_address:
        if path := unix_path(address):
            return _Probe("", 0, path, "/readyz"), 200
        host, _, port = address.rpartition(":")
        if not port.isdecimal():
            msg = f"invalid --admin-address {address!r}"
            raise UsageError(msg, hint="say 127.0.0.1:8002, or unix:/path")
        return _Probe(reachable_host(host.strip("[]")), int(port), "", "/readyz"), 200
    target = f"{settings.api_prefix.rstrip('/')}/version"
    host = reachable_host(settings.address.strip("[]"))
    # A refusal by the filter or the API server shows that the proxy works, too.
    tls = bool(settings.tls)
    return _Probe(host, settings.port, settings.unix_socket, target, tls), 499
