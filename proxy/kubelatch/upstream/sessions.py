"""The TLS session of one server, which later connections resume (RFC 8446 section 2.2).

A resumed handshake verifies no certificate and signs nothing, which is most of what opening a
connection costs. It vouches for no more than the full handshake behind it: that one is repeated
every ten minutes, and no session is taken from a connection that itself resumed one. Sessions
belong to one ``SSLContext`` and one server name, so that a new certificate or CA begins without.
"""

import math
import ssl
import time
from collections.abc import Callable
from typing import Final

LIFETIME: Final = 600.0
"""Seconds after a full handshake for which others may resume it."""
REST: Final = 10.0
"""Seconds between two looks: behind one address may be servers that know only their own."""


class Sessions:
    """See the module.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._session: ssl.SSLSession | None = None
        self._looked = -math.inf

    def offer(self, tls: ssl.SSLObject) -> None:
        """Ask the server to resume, by a handshake that has not begun. It may decline."""
        if self._session is not None and self._clock() < self._looked + LIFETIME:
            tls.session = self._session

    def learn(self, tls: ssl.SSLObject) -> None:
        """Keep the session of a full handshake, if another is due.

        With TLS 1.3 the server sends it when the handshake is over: ask when it has spoken.
        """
        now = self._clock()
        if tls.session_reused or now < self._looked + REST:
            return
        self._looked = now
        # Each reading makes a copy, which takes a tenth of a millisecond.
        session = tls.session
        self._session = session if session is not None and session.has_ticket else None

    def forget(self) -> None:
        """Resume nothing for now: a handshake has failed, and this may be why."""
        self._session = None
