"""TLS over a plain transport, with ``ssl.SSLObject`` and two memory BIOs.

It replaces the TLS transports of asyncio and uvloop for three reasons: an idle connection takes
about 42 KB instead of 60 (uvloop) or 300 (asyncio); a clean end is distinguished from a cut
(``eof_received`` only after the peer's close_notify, RFC 8446 section 6.1); and the connection can
be half-closed. It knows nothing of HTTP.
"""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import Iterable
from typing import Final, cast

from ..credentials.tls import TlsContext, is_cut
from .sessions import Sessions
from .unread import TruncatedError, unread_bytes

# One TLS record holds at most 16 KiB of plain text (RFC 8446 section 5.1).
_RECORD: Final = 16 * 1024
# A memory BIO never shrinks, so no more than this is written to it at a time. Event loops read up
# to 256 KiB at once, and each idle connection would keep a buffer a third larger than that.
_PIECE: Final = 4 * _RECORD
# asyncio's writelines does not in 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 (python/cpython#127655).
_WRITELINES_PAUSES: Final = not (
    0x030C0000 <= sys.hexversion < 0x030C0900 or 0x030D0000 <= sys.hexversion < 0x030D0200
)


class TlsTransport(asyncio.Protocol):
    """One side of one TLS connection; which one, the context decides.

    It is the protocol of the raw TCP transport, and the transport of ``protocol``, with the methods
    of :class:`asyncio.Transport`, from which nothing can derive that is compiled. :attr:`ready`
    resolves after the handshake, when ``protocol.connection_made`` has
    run, and raises :class:`ssl.SSLError` or :class:`ConnectionError` otherwise.

    Args:
        context: an ``ssl.SSLContext``, or an object with the same methods.
        server_hostname: the name that the certificate must have; also SNI, unless an IP address.
            Without meaning on the server's side.
        protocol: gets ``data_received`` and the other callbacks.
        sessions: cached for the same context and name, for resumption.

    Raises:
        ValueError: *server_hostname* is not valid.
    """

    def __init__(
        self,
        context: TlsContext,
        server_hostname: str,
        protocol: asyncio.Protocol,
        sessions: Sessions | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        # None once the peer has sent data.
        self._sessions = sessions
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._raw: asyncio.Transport | None = None
        self._connected = False
        self._closing = False
        self._paused = False
        self._eof_in = False
        self._eof_delivered = False
        self._eof_out = False
        self._failure: Exception | None = None
        self.ready: asyncio.Future[None] = self._loop.create_future()

    @property
    def connected(self) -> bool:
        """The handshake is done, and the connection not lost."""
        return self._connected

    @property
    def failure(self) -> Exception | None:
        """Why this side ended the connection, if it was for an error."""
        return self._failure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        if self._sessions is not None:
            self._sessions.offer(self._ssl)
        self._handshake()

    def data_received(self, data: bytes) -> None:
        if self._connected and not self._paused:
            self._decrypt(data)
            return
        self._incoming.write(data)
        if not self._connected:
            self._handshake()

    def eof_received(self) -> bool:
        self._incoming.write_eof()
        if not self._connected:
            self._fail(ConnectionResetError("connection closed during the TLS handshake"))
        elif not self._paused:
            self._decrypt()
        # After close_notify the peer may only have closed its sending side.
        return self._eof_in and not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        raw, self._raw = self._raw, None
        if raw is not None and self._connected and not (self._closing or self._paused):
            self._decrypt(unread_bytes(raw, exc))
        error = self._failure or exc
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionResetError("connection closed"))
            # Retrieved, so that asyncio does not warn if the dialler was cancelled.
            self.ready.exception()
        if self._connected:
            self._connected = False
            if error is None and not self._eof_in and not self._closing:
                error = TruncatedError("connection closed without TLS close_notify")
            self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        if self._connected:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._connected:
            self._protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._raw is None or self._eof_out or self._closing or not data:
            return
        try:
            if len(data) <= _PIECE:
                self._ssl.write(data)
                self._raw.write(self._outgoing.read())
                return
            sealed = []
            for piece in _pieces(data):
                self._ssl.write(piece)
                sealed.append(self._outgoing.read())
        except ssl.SSLError as exc:
            self._fail(exc)
            return
        if _WRITELINES_PAUSES:
            self._raw.writelines(sealed)
        else:
            for piece in sealed:
                self._raw.write(piece)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send close_notify. Data that the peer still sends is delivered."""
        if self._connected and not self._eof_out and not self._closing:
            self._send_close_notify()

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            if self._raw is not None:
                self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            # Not within this call: the caller may be handling data.
            self._loop.call_soon(self._resume)

    def is_reading(self) -> bool:
        return not self._paused

    def is_closing(self) -> bool:
        return self._closing or self._raw is None

    def close(self) -> None:
        """Send close_notify and what is buffered, then close."""
        if self._closing:
            return
        self._closing = True
        if self._raw is not None:
            if self._connected and not self._eof_out:
                self._send_close_notify()
            self._raw.close()

    def abort(self) -> None:
        self._closing = True
        if self._raw is not None:
            self._raw.abort()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size() if self._raw is not None else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: object = None) -> object:
        if name == "ssl_object":
            return self._ssl
        return self._raw.get_extra_info(name, default) if self._raw is not None else default

    def _handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLZeroReturnError:
            self._fail(ConnectionResetError("connection closed during the TLS handshake"))
            return
        except ssl.SSLError as exc:
            self._flush()  # the alert for the peer
            self._fail(exc)
            return
        self._flush()
        if self.ready.done():  # the dialler was cancelled
            self.abort()
            return
        self._connected = True
        self._protocol.connection_made(cast("asyncio.Transport", self))
        self.ready.set_result(None)
        if (self._incoming.pending or self._ssl.pending()) and not self._paused:
            self._decrypt()

    def _decrypt(self, data: bytes = b"") -> None:
        """Deliver all that can be decrypted, *data* last, and then the end if it has arrived."""
        records: list[bytes] = []
        if not self._closing:
            if len(data) <= _PIECE:
                if data:
                    self._incoming.write(data)
                self._read_records(records)
            else:
                for piece in _pieces(data):
                    self._incoming.write(piece)
                    self._read_records(records)
        if records:
            if self._sessions is not None:
                self._sessions.learn(self._ssl)
                self._sessions = None
            self._protocol.data_received(records[0] if len(records) == 1 else b"".join(records))
        if self._failure is None:
            if self._outgoing.pending:
                self._flush()  # responses of the TLS layer itself, such as to a KeyUpdate
            if self._eof_in and not self._paused and not self._eof_delivered:
                self._eof_delivered = True
                if not self._protocol.eof_received():
                    self.close()

    def _read_records(self, records: list[bytes]) -> None:
        read, incoming, pending = self._ssl.read, self._incoming, self._ssl.pending
        try:
            while record := read(_RECORD):
                records.append(record)
                # Most responses are one record: this avoids an SSLWantReadError.
                if not incoming.pending and not pending():
                    return
            self._eof_in = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._eof_in = True
        except ssl.SSLError as exc:
            self._fail(exc)

    def _resume(self) -> None:
        if self._paused or self._raw is None or self._closing:
            return
        self._decrypt()
        # The protocol may have paused reading again, or closed the connection.
        if not (self._paused or self._closing or self._raw is None):  # type: ignore[redundant-expr]
            self._raw.resume_reading()

    def _send_close_notify(self) -> None:
        self._eof_out = True
        # ``unwrap`` then reads the peer's close_notify, and data before that is a fatal error; so
        # the received bytes are taken out first and put back afterwards.
        unread = self._incoming.read()
        # Usually SSLWantReadError: the peer's close_notify has not arrived.
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
        if unread:
            self._incoming.write(unread)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None:
            self._raw.write(self._outgoing.read())

    def _fail(self, exc: Exception) -> None:
        if self._failure is None:
            cut = TruncatedError("connection closed without TLS close_notify")
            self._failure = cut if isinstance(exc, ssl.SSLError) and is_cut(exc) else exc
        self._closing = True
        if self._raw is not None:
            # Not aborted, so that a TLS alert is still sent.
            self._raw.close()


def _pieces(data: bytes | bytearray | memoryview) -> Iterable[bytes | bytearray | memoryview]:
    """*data* cut up."""
    view = memoryview(data)
    return [view[start : start + _PIECE] for start in range(0, len(view), _PIECE)]
