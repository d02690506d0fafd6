"""Captures heads, bodies and watch events of exchanges that the inspector is to show.

Bytes are taken by reference, after they have been written: no byte waits for the inspector. Bodies
that grow beyond the limit are dropped at once.
"""

from typing import Final, cast

from ...errors import KubelatchError, sentence
from ...http1.fields import Pairs
from ...http1.links import LinkRewriter
from ...http1.watch import EventFramer
from ...relay.client import ClientProtocol
from ...relay.record import Record
from ...relay.registry import Registry
from ...relay.request import ClientRequest, Plan
from ...relay.response import ExtraFields, ResponseRelay
from ...relay.upload import Upload
from ...relay.upstream_exchange import UpstreamExchange
from ...system.peer_process import LocalConnection
from ...upstream.generation import Generation
from ...upstream.request import UpstreamRequest
from ...upstream.transport import Stream
from .events import EventCounter, event_counter

# Of all bodies that have been captured and not been parsed yet, in bytes.
MAX_CAPTURED: Final = 16 * 1024 * 1024


class CapturePool:
    """The bytes that all captures hold."""

    def __init__(self) -> None:
        self.used = 0


class CapturedBody:
    """A body as it went over the connection, if it is no longer than the limit.

    Args:
        limit: in bytes.
        pool: counts the bytes that are held.

    Attributes:
        size: the bytes that have been sent.
        complete: all of them are held.
    """

    __slots__ = ("_limit", "_pieces", "_pool", "complete", "size")

    def __init__(self, limit: int, pool: CapturePool) -> None:
        self._limit = limit
        self._pool = pool
        self._pieces: list[bytes] = []
        self.size = 0
        self.complete = True

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self.size += len(piece)
        if not self.complete:
            return
        self._pool.used += len(piece)
        self._pieces.append(piece)
        if self.size > self._limit or self._pool.used > MAX_CAPTURED:
            self.complete = False
            self.take()

    def take(self) -> bytes:
        """Return what is held, and hold it no longer."""
        pieces, self._pieces = self._pieces, []
        self._pool.used -= sum(map(len, pieces))
        return b"".join(pieces)


class Capture:
    """What is known of one exchange beyond its record.

    Args:
        number: its id.
        record: the exchange's.
        limit: of a body that is kept, in bytes.
        pool: see :class:`CapturedBody`.

    Attributes:
        context: the kubeconfig context that it goes to.
        connection: identifies the client's connection; None where nobody knows its process.
        events: counts the events of a watch; None before the response, and for all else.
        error: why the exchange failed, in one line.
        response_headers: the upstream's header fields, once it is over.
        replayed: the id of the exchange that it repeats; empty if it is none.
        shown: what of it was shown last while it was under way.
    """

    __slots__ = (
        "connection",
        "context",
        "error",
        "events",
        "number",
        "record",
        "replayed",
        "request",
        "response",
        "response_headers",
        "shown",
    )

    def __init__(self, number: int, record: Record, limit: int, pool: CapturePool) -> None:
        self.number = number
        self.record = record
        self.request = CapturedBody(limit, pool)
        self.response = CapturedBody(limit, pool)
        self.response_headers: Pairs = ()
        self.context = ""
        self.connection: LocalConnection | None = None
        self.events: EventCounter | None = None
        self.error = ""
        self.replayed = ""
        self.shown: tuple[int, int, int] | None = None


class _CapturedRelay(ResponseRelay):
    """A response whose body is captured once it has been written."""

    __slots__ = ("_capture",)

    def __init__(
        self,
        exchange: "CapturedExchange",
        stream: Stream,
        *,
        gzip: bool,
        hold: bool,
        extra: ExtraFields,
        links: LinkRewriter | None,
    ) -> None:
        super().__init__(exchange, stream, gzip=gzip, hold=hold, extra=extra, links=links)
        self._capture = exchange.capture

    def _flush(self, *, last: bool) -> None:
        body = self._body
        begins = bool(self._head_bytes)
        super()._flush(last=last)
        if self._body is body:
            # Nothing was written.
            body = []
        capture = self._capture
        if begins and isinstance(self._reader, EventFramer) and self._head is not None:
            capture.events = event_counter(self._head.get(b"content-type"))
        for piece in body:
            capture.response.add(piece)
            if capture.events is not None:
                capture.events.feed(piece)


class CapturedExchange(UpstreamExchange):
    """An exchange with the upstream whose content is captured.

    Args:
        capture: is filled in; for the others see :class:`UpstreamExchange`.

    Attributes:
        capture: the same.
    """

    __slots__ = ("capture",)

    def __init__(
        self,
        capture: Capture,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        registry: Registry,
        plan: Plan,
        upstream: UpstreamRequest,
        generation: Generation,
        *,
        tunnel_keepalive: float,
    ) -> None:
        super().__init__(
            client,
            request,
            record,
            registry,
            plan,
            upstream,
            generation,
            tunnel_keepalive=tunnel_keepalive,
        )
        self.capture = capture

    def _send(self, stream: Stream) -> None:
        first = self._body is None
        super()._send(stream)
        if first and self._body:
            self.capture.request.add(self._body)
        if self._upload is not None and self._attempt is not None:
            # It has not begun; one that captures takes its place.
            self._upload.cancel()
            copy = cast("Stream", _Copy(stream, self.capture.request))
            self._upload = Upload(self.request, self.record, copy, self._attempt)

    def _make_relay(
        self, stream: Stream, gzip: bool, hold: bool, extra: ExtraFields, links: LinkRewriter | None
    ) -> ResponseRelay:
        return _CapturedRelay(self, stream, gzip=gzip, hold=hold, extra=extra, links=links)

    def _finish(self) -> None:
        # The record gets rid of them at its end.
        self.capture.response_headers = self.record.response_headers
        super()._finish()

    def fail(self, error: KubelatchError) -> None:
        """See :class:`UpstreamExchange`."""
        self.capture.error = self.capture.error or sentence(error.message, error.hint)
        super().fail(error)


class _Copy:
    """A stream whose request body is captured as it is sent: what :class:`Upload` uses of one."""

    def __init__(self, stream: Stream, body: CapturedBody) -> None:
        self._stream = stream
        self._body = body
        self.drain = stream.drain
        self.end = stream.end

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._body.add(bytes(data))
