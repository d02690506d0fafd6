"""An upgraded exchange: exec, attach, port-forward, and watches over WebSocket.

The request goes out on a connection of its own. Until the upstream responds with 101 and the
protocol that was asked for, nothing of the client's stream moves (Go's CVE-2018-1002105 and its
kin are proxies that switched earlier); after it, bytes are copied as they are, each direction
pausing the side that feeds it, and each ending by itself as far as the transports allow.
"""

import time
from typing import TYPE_CHECKING, Final

from ..errors import KubelatchError, UpstreamError
from ..http1 import headers, own_origin, writer
from ..http1.response import ResponseHead
from ..upstream.transport import Stream
from .attempt import Outcome
from .error_body import KEPT_ERRORS, MAX_ERROR_BODY
from .tunnel_end import LAST_BYTES, is_over

if TYPE_CHECKING:
    from .upstream_exchange import UpstreamExchange

# Of a response that refuses the upgrade, this much is relayed; a Status is below 2 KiB.
_REFUSAL_LIMIT: Final = 1024 * 1024
_DROP: Final = headers.NOT_FOR_CLIENTS | {b"content-length"}
_DROP_OF_OWN: Final = own_origin.DROP | {b"content-length"}


class Tunnel:
    """One attempt at an upgrade, and the tunnel that it may become; an :class:`Attempt`.

    Args:
        exchange: what it is an attempt at.
        stream: on a connection of its own.
        protocol: what ``Upgrade`` asked for, lower case.
        hold: a response of 401 is held back until :meth:`send_held`.
        own_origin: it leads to an application with an origin of its own.
    """

    __slots__ = (
        "_client",
        "_client_ended",
        "_content",
        "_exchange",
        "_head",
        "_hold",
        "_last",
        "_open",
        "_own_origin",
        "_protocol",
        "_record",
        "_stalled",
        "_stream",
        "_upstream_ended",
        "failure",
        "outcome",
        "paused",
    )

    def __init__(
        self,
        exchange: "UpstreamExchange",
        stream: Stream,
        protocol: bytes,
        *,
        hold: bool,
        own_origin: bool,
    ) -> None:
        self._exchange = exchange
        self._client = exchange.client
        self._record = exchange.record
        self._stream = stream
        self._protocol = protocol
        self._hold = hold
        self._own_origin = own_origin
        self._head: ResponseHead | None = None
        self._content = bytearray()
        # The upstream has switched, and the client been sent so.
        self._open = False
        self._client_ended = False
        self._upstream_ended = False
        # What the upstream sent last.
        self._last = b""
        # The upstream takes no more bytes for now.
        self._stalled = False
        self.outcome: Outcome | None = None
        self.failure: KubelatchError | None = None
        self.paused = False

    @property
    def head_received(self) -> bool:
        """See :class:`Attempt`."""
        return self._head is not None

    def end_between_events(self) -> bool:
        """See :class:`Attempt`: a WebSocket gets no close frame made up in the server's name."""
        return False

    def fail(self, error: KubelatchError) -> None:
        """See :class:`Attempt`."""
        if self.outcome is not None:
            return
        self.failure = error
        self._record.cause = error.cause
        if self._open:
            self._client.cut(reset=True)
            self._end(Outcome.CUT)
        else:
            self._end(Outcome.FAILED)

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self._exchange.keep_alive = False
            self._exchange.attempt_ended(self)

    def on_informational(self, head: ResponseHead) -> None:
        """Nothing that an upgrade's client waits for."""

    def on_head(self, head: ResponseHead) -> None:
        self._head = head
        self._record.response_headers = head.fields.pairs
        self._record.audit_id = head.get(b"audit-id") or b""
        self._record.first_byte = time.monotonic()

    def on_body(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > _REFUSAL_LIMIT:
            msg = "the API server refused the upgrade with an endless response"
            self.fail(UpstreamError(msg, cause="bad-answer"))

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        head = self._head
        if head is None or self.outcome is not None:
            return
        # TCP is set up for a tunnel on this connection: no plain exchange gets it.
        self._stream.abort()
        if head.status == 401 and self._hold:
            self._end(Outcome.UNAUTHORIZED)
        elif head.status >= 400 or self._own_origin:
            # An application has no credentials of clients but those for itself.
            self._relay_refusal(head)
        else:
            # Relaying a redirect or a 200 here would let an API extension send clients elsewhere
            # with their credentials (CVE-2020-8559).
            msg = f"the API server responded to the upgrade with status {head.status}"
            self.fail(UpstreamError(msg, cause="bad-answer"))

    def on_flush(self) -> None:
        """A refusal is sent when it is whole."""

    def send_held(self) -> None:
        """See :class:`Attempt`."""
        self.outcome = None
        if self._head is not None:
            self._relay_refusal(self._head)

    def _relay_refusal(self, head: ResponseHead) -> None:
        """Send the API server's own response to an upgrade that it refuses."""
        self._record.status = head.status
        self._record.sent = len(self._content)
        if head.status in KEPT_ERRORS and self._exchange.registry.keeps_errors:
            self._record.error_body = bytes(self._content[:MAX_ERROR_BODY])
        lines = [
            writer.status_line(head.status, head.reason),
            *self._fields(head),
            b"Content-Length: %d" % len(self._content),
            *writer.connection_field(keep_alive=False, http10=False),
        ]
        self._write(writer.head(lines) + self._content)
        self._end(Outcome.COMPLETE)

    def _fields(self, head: ResponseHead) -> list[bytes]:
        if self._own_origin:
            return own_origin.response_fields(head.fields, _DROP_OF_OWN)
        return headers.response_fields(head.fields, _DROP)

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        protocol = (head.get(b"upgrade") or b"").strip().lower()
        if protocol != self._protocol:
            msg = "the API server switched to another protocol than was asked for"
            self.fail(UpstreamError(msg, cause="bad-answer"))
            return
        self.on_head(head)
        self._record.status = 101
        lines = [
            writer.status_line(101, head.reason),
            b"Connection: Upgrade",
            b"Upgrade: %b" % (head.get(b"upgrade") or self._protocol),
            *self._fields(head),
        ]
        self._open = True
        client = self._client
        client.begin_tunnel(self)
        self._write(writer.head(lines))
        if early:
            self.on_tunnel_data(early)
        held = client.take_early()
        if held:
            self.on_client_data(held)

    def _write(self, data: bytes) -> None:
        if self._client.transport is not None:
            self._client.transport.write(data)

    def on_tunnel_data(self, data: bytes) -> None:
        self._record.sent += len(data)
        self._last = (self._last + data[-LAST_BYTES:])[-LAST_BYTES:]
        self._write(data)

    def on_tunnel_eof(self) -> bool:
        self._upstream_ended = True
        if self._client_ended:
            self._close_both()
            return False
        self._client.end_writing()
        return True

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        if self._open and (self._upstream_ended or is_over(self._protocol, self._last)):
            self._end(Outcome.COMPLETE)
        else:
            self.fail(error)

    def on_pause_writing(self) -> None:
        self._stalled = True
        self._client.stall_tunnel()

    def on_resume_writing(self) -> None:
        self._stalled = False
        self._client.resume_tunnel()

    def on_client_paused(self) -> None:
        self.paused = True
        self._stream.pause_reading()

    def on_client_resumed(self) -> None:
        self.paused = False
        self._stream.resume_reading()

    def on_client_data(self, data: bytes) -> None:
        self._record.received += len(data)
        self._stream.write(data)

    def on_client_eof(self) -> bool:
        self._client_ended = True
        self._stream.write_eof()
        if self._upstream_ended:
            self._close_both()
            return False
        return True

    def on_client_lost(self, exc: BaseException | None) -> None:
        self._client_ended = True
        # What a stalled upstream has not read, it may never read.
        if self._upstream_ended or (exc is None and not self._stalled):
            self._stream.close()
        else:
            self._stream.reset()
        self._record.cause = self._record.cause or "client-gone"
        self._end(Outcome.COMPLETE)

    def _close_both(self) -> None:
        # First: the loss of the client would otherwise look like the reason.
        self._end(Outcome.COMPLETE)
        self._stream.close()
