"""An upgraded exchange: exec, attach, port-forward, and watches over WebSocket.

The request goes out on a connection of its own. Until the upstream answers 101 with the
protocol that was asked for, nothing of the client's stream moves (Go's CVE-2018-1002105 and its
kin are proxies that switched earlier); after it, bytes are copied as they are, each direction
pausing the side that feeds it, and each ending by itself as far as the transports allow.
"""

import asyncio
import time
from typing import Final

from ..credentials import CLIENTS_OWN, Credential
from ..errors import KubelatchError, UpstreamError
from ..http1 import headers
from ..http1.response import ResponseHead
from ..observe.record import Record
from ..upstream.generation import Generation
from ..upstream.http1 import UpstreamConnection
from ..upstream.request import Outbound
from .client import ClientConnection
from .goodbye import LAST_BYTES, is_over

# Of an answer that refuses the upgrade, this much is relayed; a Status is below 2 KiB.
_REFUSAL_LIMIT: Final = 1024 * 1024
_DROP: Final = headers.NOT_FOR_CLIENTS | {b"content-length"}


class Refused(Exception):  # noqa: N818 -- an answer, not an error
    """The upstream answered the upgrade with an ordinary answer."""

    def __init__(self, head: ResponseHead, content: bytes) -> None:
        super().__init__(head.status)
        self.head = head
        self.content = content


class Tunnel:
    """One upgraded exchange.

    Args:
        client: where the request came from.
        outbound: the request.
        protocol: what ``Upgrade`` asked for, lower case.
        keepalive: seconds of silence before TCP probes the upstream; negative: never.
        record: is filled in.
    """

    __slots__ = (
        "_client",
        "_client_ended",
        "_content",
        "_done",
        "_early",
        "_failure",
        "_head",
        "_keepalive",
        "_last",
        "_loop",
        "_open",
        "_outbound",
        "_protocol",
        "_stalled",
        "_switched",
        "_upstream",
        "_upstream_ended",
        "record",
    )

    def __init__(
        self,
        client: ClientConnection,
        outbound: Outbound,
        protocol: bytes,
        keepalive: float,
        record: Record,
    ) -> None:
        self.record = record
        self._client = client
        self._outbound = outbound
        self._protocol = protocol
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._upstream: UpstreamConnection | None = None
        self._open = False
        self._client_ended = False
        self._upstream_ended = False
        # What the upstream sent last.
        self._last = b""
        self._reset()

    def _reset(self) -> None:
        self._failure: KubelatchError | None = None
        self._head: ResponseHead | None = None
        self._content = bytearray()
        self._early = b""
        # The upstream takes no more bytes for now.
        self._stalled = False
        # The upstream's answer: True is a switch.
        self._switched: asyncio.Future[bool] = self._loop.create_future()
        self._done: asyncio.Future[None] = self._loop.create_future()

    async def run(self, generation: Generation) -> None:
        """Carry the tunnel to its end.

        Raises:
            Refused: the upstream refused the upgrade with 400 or above.
            KubelatchError: nothing has been sent to the client; tell it this.
        """
        own = self._outbound.own_credential
        credential = generation.credentials.peek() if own else CLIENTS_OWN
        if credential is None:
            began = time.monotonic()
            try:
                credential = await generation.credential()
            finally:
                self.record.credential_wait = time.monotonic() - began
        try:
            await self._attempt(generation, credential)
        except Refused as refused:
            if refused.head.status != 401 or not own:
                raise
            began = time.monotonic()
            renewed = await generation.renewed(credential)
            outbound = self._outbound.to(renewed.generation) if renewed else None
            if renewed is None or outbound is None:
                raise
            self.record.credential_wait += time.monotonic() - began
            self.record.retries += 1
            self._outbound = outbound
            await self._attempt(*renewed)

    async def _attempt(self, generation: Generation, credential: Credential) -> None:
        self.record.credential = credential.kind
        dialer = generation.pool(credential).dialer
        began = time.monotonic()
        try:
            connection = await dialer.dial(self._keepalive)
        finally:
            self.record.connects += 1
            self.record.connect_wait += time.monotonic() - began
        self._reset()
        self._upstream = connection
        try:
            request = self._outbound.head(credential)
            connection.start(self, request, head_only=False)
            # The upstream may have been lost right behind its 101.
            if not await self._switched or self._failure is not None:
                self._raise_failure()
            self._switch(connection)
            await self._done
        finally:
            # After a clean end both sides are closing already, and flush what they have. Who
            # cancels us cancels what we wait for.
            if not self._open or not self._done.done() or self._done.cancelled():
                connection.abort()
            self._upstream = None

    def _raise_failure(self) -> None:
        head = self._head
        if self._failure is not None or head is None:
            raise self._failure or UpstreamError("the API server did not answer the upgrade")
        self.record.first_byte = time.monotonic()
        if head.status >= 400:
            raise Refused(head, bytes(self._content))
        # Relaying a redirect or a 200 here would let an API extension send clients elsewhere
        # with their credentials (CVE-2020-8559).
        msg = f"the API server answered the upgrade with status {head.status}"
        raise UpstreamError(msg, cause="bad-answer")

    def _switch(self, connection: UpstreamConnection) -> None:
        head, client = self._head, self._client
        if head is None or client.transport is None:
            self._finish()
            return
        self.record.first_byte = time.monotonic()
        self.record.status = 101
        lines = [
            b"HTTP/1.1 101 %b" % head.reason,
            b"Connection: Upgrade",
            b"Upgrade: %b" % (head.get(b"upgrade") or self._protocol),
            *headers.response_fields(head.headers, head.names, _DROP),
            b"\r\n",
        ]
        self._open = True
        client.tunnel = self
        client.writer = self
        client.transport.write(b"\r\n".join(lines))
        if self._early:
            self.on_tunnel_data(self._early)
        held = client.take_held()
        if held:
            self.on_client_data(held)
        if not client.writing_paused:
            connection.resume_reading()
        if self._upstream_ended:
            self._end_client()

    def on_informational(self, head: ResponseHead) -> None:
        """Nothing that an upgrade's client waits for."""

    def on_head(self, head: ResponseHead) -> None:
        self._head = head
        self.record.answer = head.headers
        self.record.audit_id = head.get(b"audit-id") or b""

    def on_body(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > _REFUSAL_LIMIT:
            msg = "the API server refused the upgrade with an endless answer"
            self._fail(UpstreamError(msg, cause="bad-answer"))

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._answer(switched=False)

    def on_flush(self) -> None:
        """A refusal is told when it is whole."""

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        protocol = (head.get(b"upgrade") or b"").strip().lower()
        if protocol != self._protocol:
            msg = "the API server switched to another protocol than was asked for"
            self._fail(UpstreamError(msg, cause="bad-answer"))
            return
        self.on_head(head)
        self._early = early
        # Until the client has been told of the switch, which is this loop's next step.
        if self._upstream is not None:
            self._upstream.pause_reading()
        self._answer(switched=True)

    def on_tunnel_data(self, data: bytes) -> None:
        self.record.sent += len(data)
        self._last = (self._last + data[-LAST_BYTES:])[-LAST_BYTES:]
        if self._client.transport is not None:
            self._client.transport.write(data)

    def on_tunnel_eof(self) -> bool:
        self._upstream_ended = True
        if self._open:
            self._end_client()
        return not self._client_ended

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        if not self._open:
            self._fail(error)
            return
        self._finish()
        if not self._upstream_ended and not is_over(self._protocol, self._last):
            self.record.cause = error.cause
            self._client.cut(reset=True)
        elif self._client.transport is not None:
            self._client.transport.close()

    def on_pause_writing(self) -> None:
        self._stalled = True
        self._client.hold_back()

    def on_resume_writing(self) -> None:
        self._stalled = False
        self._client.read_on()

    def on_client_data(self, data: bytes) -> None:
        self.record.received += len(data)
        if self._upstream is not None:
            self._upstream.write(data)

    def on_client_eof(self) -> bool:
        self._client_ended = True
        if self._upstream is not None:
            self._upstream.write_eof()
        if self._upstream_ended:
            self._close_both()
            return False
        return True

    def on_client_lost(self, exc: BaseException | None) -> None:
        self._client_ended = True
        if self._upstream is not None:
            # What a stalled upstream has not read, it may never read.
            if self._upstream_ended or (exc is None and not self._stalled):
                self._upstream.close()
            else:
                self._upstream.reset()
        self._finish()

    def on_client_paused(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def on_client_resumed(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    def _end_client(self) -> None:
        """The upstream has said all: tell the client, and keep listening to it."""
        if self._client_ended:
            self._close_both()
        else:
            self._client.end_writing()

    def _close_both(self) -> None:
        # First: the loss of the client would otherwise look like the reason.
        self._finish()
        if self._upstream is not None:
            self._upstream.close()
        if self._client.transport is not None:
            self._client.transport.close()

    def _answer(self, *, switched: bool) -> None:
        if not self._switched.done():
            self._switched.set_result(switched)

    def _fail(self, error: KubelatchError) -> None:
        self.record.cause = error.cause
        self._failure = error
        self._answer(switched=False)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
