"""``kubelatch wait``: return when a proxy is ready."""

import http.client
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..config.addresses import reachable_host
from ..config.commands import COMMANDS, reject_arguments
from ..config.settings import Settings, complete, flag_set, from_values
from ..errors import KubelatchError
from .connection import ProxyConnection, ProxyLocation, parse_admin_address

# Seconds.
_ATTEMPT_TIMEOUT: Final = 5.0
_INTERVAL: Final = 0.1


class NotReadyError(KubelatchError):
    """The proxy was not ready within ``--timeout`` of ``kubelatch wait``."""

    default_cause = "not-ready"


@dataclass(frozen=True, slots=True)
class _Probe:
    """A request whose response shows whether a proxy is ready."""

    address: ProxyLocation
    target: str
    tls: bool = False

    def send(self, seconds: float) -> int:
        """Send it; returns the response's status. Raises OSError, HTTPException."""
        connection = ProxyConnection(self.address, seconds, tls=self.tls)
        try:
            connection.request("GET", self.target, headers={"Host": "localhost"})
            return connection.getresponse().status
        finally:
            connection.close()


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
            msg = f"the proxy at {probe.address} is not ready after {timeout:g}s: {problem}"
            hint = "does it run, and on that address? Its log and /readyz?verbose say more"
            raise NotReadyError(msg, hint=hint)
        time.sleep(min(_INTERVAL, max(0.0, left)))


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _probe(settings: Settings) -> tuple[_Probe, int]:
    """The probe, and the highest status that counts as ready."""
    if settings.admin_address:
        return _Probe(parse_admin_address(settings.admin_address), "/readyz"), 200
    target = f"{settings.api_prefix.rstrip('/')}/version"
    host = reachable_host(settings.address.strip("[]"))
    # A refusal by the filter or the API server shows that the proxy works, too.
    tls = bool(settings.tls)
    return _Probe(ProxyLocation(host, settings.port, settings.unix_socket), target, tls), 499
