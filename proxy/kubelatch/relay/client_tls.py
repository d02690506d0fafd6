"""TLS with clients: a handshake, after which the client's protocol takes over.

Nothing is made for a client that sends nothing. A handshake may take as long as a request's head
(as for Go's server, net/http ``tlsHandshakeTimeout``), and have so many bytes; of those that are
not done the oldest end, where there are too many.
"""

import asyncio
import contextlib
import logging
import ssl
from typing import Final, cast

from ..credentials.tls import is_cut
from ..credentials.tls.serving import ServerContext
from ..errors import ClientRequestError
from ..system.peer import Peer
from ..upstream.tls_transport import TlsTransport
from .client import ClientProtocol
from .deadline import Deadline
from .server import ClientServer

log = logging.getLogger(__name__)

# Unfinished handshakes, of 45 KB each.
_MAX_UNFINISHED: Final = 1024
# A burst of clients that make progress is no reason to end one of them; seconds.
_PROGRESS: Final = 1.0
# Bytes of a handshake. A ClientHello with the key shares of today has up to 2,000, and OpenSSL
# would wait for 128 KiB of one.
_MAX_BYTES: Final = 16 * 1024
# How long a client that sent no TLS may take to read why, in seconds.
_LINGER: Final = 2.0
# As Go's server (net/http server.go).
_PLAIN: Final = (
    b"HTTP/1.0 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n"
)
_PLAIN_TEXT: Final = b"Client sent an HTTP request to an HTTPS server.\n"
_UNTRUSTED: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
    }
)


class ClientTlsError(ClientRequestError):
    """There was no TLS with a client, which gets no response."""

    status = 0
    default_cause = "client-tls"


class PlainRequestError(ClientTlsError):
    """A client sent plain HTTP, and was sent why that cannot be."""

    status = 400


class ClientHandshakes:
    """Makes the protocol of each new connection; see the module.

    Args:
        server: makes and counts the clients.
        context: of new handshakes.

    Attributes:
        context: may be replaced; connections keep theirs.
    """

    def __init__(self, server: ClientServer, context: ServerContext) -> None:
        self.context = context
        self.server = server
        # In the order in which they came.
        self._unfinished: dict[_Handshake, None] = {}

    def __call__(self) -> asyncio.Protocol:
        return _Handshake(self)

    def close(self) -> None:
        """End the handshakes that are not done: no request of theirs has come."""
        for handshake in list(self._unfinished):
            handshake.abort()

    def begin(self, handshake: "_Handshake") -> None:
        """Note a new connection, and end old ones if it is one too many."""
        self._unfinished[handshake] = None
        while len(self._unfinished) > _MAX_UNFINISHED:
            oldest = next(iter(self._unfinished))
            if handshake.began - oldest.began < _PROGRESS:
                return
            self.forget(oldest)
            oldest.end("the handshake took too long, and others waited")

    def forget(self, handshake: "_Handshake") -> None:
        """Note that it is done, or over. May be repeated."""
        self._unfinished.pop(handshake, None)


class _Handshake(asyncio.Protocol):
    """A connection until its handshake is done."""

    __slots__ = (
        "_client",
        "_deadline",
        "_owner",
        "_raw",
        "_received",
        "_reported",
        "_tls",
        "began",
    )

    def __init__(self, owner: ClientHandshakes) -> None:
        self._owner = owner
        self._raw: asyncio.Transport | None = None
        self._tls: TlsTransport | None = None
        self._client: ClientProtocol | None = None
        self._received = 0
        self._reported = False
        self._deadline = Deadline(self._on_deadline)
        # When the connection was made, on the event loop's clock.
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        self.began = asyncio.get_running_loop().time()
        self._deadline.set(self._owner.server.limits.first_head_seconds)
        self._owner.begin(self)

    def data_received(self, data: bytes) -> None:
        raw, tls = self._raw, self._tls
        if raw is None or self._reported:
            return
        if tls is None:
            if data[:1].isalpha():
                self._refuse_plain(raw)
                return
            self._client = client = self._owner.server()
            self._tls = tls = TlsTransport(self._owner.context, "", client)
            tls.connection_made(raw)
        self._received += len(data)
        tls.data_received(data)
        if tls.connected:
            self._stop()
            raw.set_protocol(tls)
        elif tls.failure is not None:
            self._report(ClientTlsError(_explain(tls.failure)))
        elif self._received > _MAX_BYTES:
            self.end("the handshake is too long")

    def eof_received(self) -> bool:
        tls = self._tls
        if tls is None or self._reported:
            return False
        self._report(ClientTlsError("the client closed the connection in the handshake"))
        return tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._raw = None
        if self._tls is not None:
            self._report(ClientTlsError("the client closed the connection in the handshake"))
            self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        """Nothing: a handshake writes little."""

    def resume_writing(self) -> None:
        """Nothing."""

    def abort(self) -> None:
        """End the connection, and report nothing more."""
        self._reported = True
        if self._raw is not None:
            self._raw.abort()

    def end(self, why: str) -> None:
        """End the connection, and report why; one on which nothing has come is not reported."""
        if self._received:
            self._report(ClientTlsError(why))
        self.abort()

    def _on_deadline(self) -> None:
        self.end("the handshake took too long")

    def _refuse_plain(self, raw: asyncio.Transport) -> None:
        """Respond to a request without TLS, and drop the rest of it: a close right away could
        reset the connection and lose the response."""
        raw.write(_PLAIN + _PLAIN_TEXT)
        self._client = self._owner.server()
        self._report(PlainRequestError("a client sent plain HTTP"), len(_PLAIN_TEXT))
        self._deadline.set(_LINGER)
        # asyncio raises where a reset has come that it has not read yet.
        with contextlib.suppress(OSError):
            raw.write_eof()

    def _report(self, error: ClientTlsError, sent: int = 0) -> None:
        """Report, once, that there will be no TLS."""
        client, raw = self._client, self._raw
        if self._reported or client is None:
            return
        self._reported = True
        if raw is not None:
            # While the socket is open: then the kernel knows whose the other end is.
            client.peer = Peer(raw)
        log.debug("no TLS with a client: %s", error)
        self._owner.server.unreadable(client, error, sent)

    def _stop(self) -> None:
        self._deadline.stop()
        self._owner.forget(self)


def _explain(failure: Exception) -> str:
    if not isinstance(failure, ssl.SSLError) or is_cut(failure):
        return "the client closed the connection in the handshake"
    reason = failure.reason or ""
    if reason in _UNTRUSTED:
        return f"the client does not trust the proxy's certificate ({reason})"
    return f"the handshake failed ({reason or 'unreadable'})"
