"""Caches the TLS session of one server for resumption (RFC 8446 section 2.2).

A resumed handshake verifies no certificate and signs nothing, which is most of the cost of a
connection. It relies on an earlier full handshake: that is repeated every ten minutes, and no
session is taken from a resumed connection. A session belongs to one ``SSLContext`` and one server
name, so that a new certificate or CA starts with a full handshake.
"""

import math
import ssl
import time
from collections.abc import Callable
from typing import Final

LIFETIME: Final = 600.0
"""Seconds after a full handshake in which its session may be resumed."""
MIN_INTERVAL: Final = 10.0
"""Seconds between two reads of a session: one address may have several servers, each of which
resumes only its own sessions."""


class Sessions:
    """See the module.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._session: ssl.SSLSession | None = None
        self._read_at = -math.inf

    def offer(self, tls: ssl.SSLObject) -> None:
        """Set the session to resume, before the handshake. The server may decline."""
        if self._session is not None and self._clock() < self._read_at + LIFETIME:
            tls.session = self._session

    def learn(self, tls: ssl.SSLObject) -> None:
        """Cache the session of a full handshake, if one is due.

        With TLS 1.3 the server sends it after the handshake: call this when data has arrived.
        """
        now = self._clock()
        if tls.session_reused or now < self._read_at + MIN_INTERVAL:
            return
        self._read_at = now
        # Each access copies the session, which takes 0.1 ms.
        session = tls.session
        self._session = session if session is not None and session.has_ticket else None

    def forget(self) -> None:
        """Drop the session: a handshake has failed, possibly because of it."""
        self._session = None
