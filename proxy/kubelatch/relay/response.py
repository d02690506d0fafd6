"""A response on its way from one upstream stream to one client.

What one read brings is written in one write, in the callback that brought it: no task and no
queue lie between the two sockets, and a client that does not keep up pauses the upstream. Until a
byte has gone to the client a fault is an error that can be sent; after it the connection is cut,
and never looks whole. Nothing here knows how or why the request was made.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import KubelatchError, UpstreamError
from ..http1 import writer
from ..http1.gunzip import CorruptError, Gunzip
from ..http1.links import LinkRewriter
from ..http1.response import BodyKind, ResponseHead
from ..http1.watch import EventFramer, event_framer
from ..upstream.transport import Stream
from .attempt import Outcome
from .error_body import KEPT_ERRORS, ErrorBody
from .response_fields import (
    NO_NAMES,
    are_plain,
    client_lines,
    interim_lines,
    may_stream,
    plain_lines,
)
from .states import State

if TYPE_CHECKING:
    from .upstream_exchange import UpstreamExchange

# The response to a refused credential is held back up to this size while another one is tried.
_HELD_RESPONSE: Final = 64 * 1024

# What only holds for a body as the upstream sends it.
_LENGTH: Final = frozenset({b"content-length"})
_OF_ENCODED: Final = _LENGTH | {b"content-encoding"}

# Names and values of fields that the proxy adds.
ExtraFields = tuple[tuple[str, str], ...]


class ResponseRelay:
    """One attempt's response, from a stream to the client of an exchange; an :class:`Attempt`.

    Args:
        exchange: what it is an attempt at; it is reported its end once, possibly by the stream in
            the middle of what that is doing.
        stream: brings the response.
        gzip: compression was asked for on the client's behalf, and is undone.
        hold: a response of 401 is held back until :meth:`send_held`.
        extra: fields that it gets, in place of the upstream's of the same name; ``Vary`` is
            added to.
        links: makes redirects to the API server lead to the proxy; None: the response is that of
            an application with an origin of its own.

    Attributes:
        on_begin: is called when the response begins, before anything of it is sent; it may set
            :attr:`outcome`, and then nothing is.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_chunked",
        "_client",
        "_ended",
        "_exchange",
        "_extra",
        "_gunzip",
        "_gzip",
        "_head",
        "_head_bytes",
        "_held",
        "_http10",
        "_links",
        "_reader",
        "_record",
        "_status",
        "_stream",
        "_trailers",
        "_until_close",
        "failure",
        "hold",
        "on_begin",
        "outcome",
        "paused",
    )

    def __init__(
        self,
        exchange: "UpstreamExchange",
        stream: Stream,
        *,
        gzip: bool,
        hold: bool,
        extra: ExtraFields,
        links: LinkRewriter | None,
    ) -> None:
        self._exchange = exchange
        self._client = exchange.client
        self._record = exchange.record
        self._http10 = exchange.request.http10
        self._stream: Stream | None = stream
        self._gzip = gzip
        self._extra = extra
        self._links = links
        self.on_begin: Callable[[], None] | None = None
        self.hold = hold
        self.paused = False
        self.failure: KubelatchError | None = None
        self.outcome: Outcome | None = None
        self._head: ResponseHead | None = None
        self._head_bytes = b""
        self._body: list[bytes] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._held: list[bytes] | None = None
        self._gunzip: Gunzip | None = None
        self._begun = False
        self._status = 0
        self._chunked = False
        self._until_close = False
        self._ended = False
        # Reads the body as it goes by.
        self._reader: EventFramer | ErrorBody | None = None

    def on_informational(self, head: ResponseHead) -> None:
        """Relay 1xx responses, ``100 Continue`` among them (RFC 9110 section 15.2)."""
        if self.on_begin is not None:
            self.on_begin()
        # A request that is sent again has its body: its client goes on already.
        ended = self.outcome is not None
        if self._http10 or ended or (head.status == 100 and self._record.retries):
            return
        lines = [
            writer.status_line(head.status, head.reason),
            *interim_lines(head.fields),
        ]
        self._write([writer.head(lines)])

    def on_head(self, head: ResponseHead) -> None:
        if self.on_begin is not None:
            self.on_begin()
        if self.outcome is not None:
            return
        self._head = head
        self._record.response_headers = head.fields.pairs
        self._record.audit_id = head.get(b"audit-id") or b""
        # That of the response which the client gets: what renewed a credential came before it.
        self._record.first_byte = time.monotonic()
        if head.status == 401 and self.hold:
            self._held = []
        else:
            self._make_head(head)

    def on_body(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            if sum(map(len, self._held)) > _HELD_RESPONSE:
                self._release_held()
        elif self._gunzip is not None:
            self._gunzip.feed(data)
        else:
            self._body.append(data)

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._trailers = trailers
        if self._held is not None:
            self._resolve(Outcome.UNAUTHORIZED)
        else:
            self._ended = True

    def on_flush(self) -> None:
        if self._gunzip is None or self._decode(self._gunzip):
            self._flush(last=True)

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        self.fail(error, Outcome.STALE if stale else Outcome.FAILED)

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        msg = "the API server switched protocols without being asked"
        self.fail(UpstreamError(msg, cause="bad-answer"))

    def on_tunnel_data(self, data: bytes) -> None:
        """Never: a plain exchange does not ask for a tunnel."""

    def on_tunnel_eof(self) -> bool:
        return False

    def on_pause_writing(self) -> None:
        """What sends the request's body waits by itself."""

    def on_resume_writing(self) -> None:
        """See :meth:`on_pause_writing`."""

    def on_client_paused(self) -> None:
        self.paused = True
        if self._stream is not None:
            self._stream.pause_reading()

    def on_client_resumed(self) -> None:
        self.paused = False
        # It is paused, and has to be resumed though this ends the attempt.
        stream = self._stream
        if self._gunzip is not None:
            self.on_flush()
        if stream is not None and not self.paused:
            stream.resume_reading()

    def send_held(self) -> None:
        """See :class:`Attempt`; from memory, without the stream."""
        self._stream = None
        self.outcome = None
        self._release_held()
        self._ended = True
        self.on_flush()

    def fail(self, error: KubelatchError, outcome: Outcome = Outcome.FAILED) -> None:
        """End it: *outcome* if the client has got nothing yet, else by a cut."""
        if self.outcome is not None:
            return
        self.failure = error
        if self._begun:
            self._record.cause = error.cause
            self._flush(last=False)
            self._exchange.keep_alive = False
            # Without framing, only a reset shows that a body is not whole.
            self._client.cut(reset=self._until_close)
            outcome = Outcome.CUT
        self._resolve(outcome)

    @property
    def head_received(self) -> bool:
        """See :class:`Attempt`."""
        return self._head is not None

    def end_between_events(self) -> bool:
        """See :class:`Attempt`."""
        events = self._reader
        if events is None or not events.at_boundary or not self._begun or self.outcome is not None:
            return False
        self._ended = True
        self._exchange.keep_alive = False
        self._flush(last=True)
        return True

    def _resolve(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            # It may serve another exchange from now on.
            self._stream = None
            self._exchange.attempt_ended(self)

    def _make_head(self, head: ResponseHead) -> None:
        self._status = head.status
        exchange = self._exchange
        registry = exchange.registry
        if registry.draining or self._client.state is not State.RESPONSE:
            # Before a request is whole, where the next one begins is not certain.
            exchange.keep_alive = False
        if (
            head.status in KEPT_ERRORS
            and registry.keeps_errors
            and self._links is not None
            and head.body is not BodyKind.NONE
        ):
            self._reader = ErrorBody(self._record)
        only_drops = (
            head.body is BodyKind.LENGTH
            and exchange.keep_alive
            and self._links is not None
            and not (self._http10 or self._extra)
            and are_plain(head.fields.names)
        )
        lines = plain_lines(head.fields) if only_drops else self._lines(head)
        minor = 0 if self._http10 else 1
        self._head_bytes = writer.head(
            [writer.status_line(head.status, head.reason, minor=minor), *lines]
        )

    def _lines(self, head: ResponseHead) -> list[bytes]:
        """The lines of the fields that the client gets."""
        lines: list[bytes] = []
        drop = NO_NAMES
        if head.body is not BodyKind.NONE:
            if self._gzip and (head.get(b"content-encoding") or b"").strip().lower() == b"gzip":
                self._gunzip = Gunzip()
                drop = _OF_ENCODED
            if self._gunzip is not None or head.body is not BodyKind.LENGTH:
                lines = self._frame(head)
        elif head.status == 204:
            drop = _LENGTH
        lines += client_lines(head.fields, drop=drop, extra=self._extra, links=self._links)
        lines += writer.connection_field(keep_alive=self._exchange.keep_alive, http10=self._http10)
        return lines

    def _frame(self, head: ResponseHead) -> list[bytes]:
        """Decide how the end of a body is shown whose length is not known, and return the lines
        that say so."""
        lines = []
        if self._http10:
            self._until_close = True
            self._exchange.keep_alive = False
        else:
            self._chunked = True
            lines.append(b"Transfer-Encoding: chunked")
        target = self._record.target if self._links is not None else ""
        if head.status == 200 and "watch" in target:
            self._reader = event_framer(head.get(b"content-type"))
        if may_stream(target) and b"x-accel-buffering" not in head.fields.names.positions:
            lines.append(b"X-Accel-Buffering: no")
        return lines

    def _release_held(self) -> None:
        held, self._held = self._held, None
        if held is not None and self._head is not None:
            self._make_head(self._head)
            for data in held:
                self.on_body(data)

    def _decode(self, gunzip: Gunzip) -> bool:
        """Decode what has come, slice by slice.

        Returns:
            False if the rest has to wait for the client, or is broken.
        """
        try:
            for data in gunzip.slices():
                self._body.append(data)
                if gunzip.pending:
                    self._flush(last=False)
                    if self.paused:
                        return False
        except CorruptError as exc:
            msg = f"the API server's gzip is broken: {exc}"
            self.fail(UpstreamError(msg, cause="bad-answer"))
            return False
        if self._ended and not gunzip.complete:
            self.fail(UpstreamError("the API server's gzip ends early", cause="truncated"))
            return False
        return True

    def _flush(self, *, last: bool) -> None:
        """Write all that has come; *last*: and the end, if that has come."""
        if self.outcome is not None:
            return
        parts = []
        record = self._record
        if self._head_bytes:
            self._begun = True
            record.status = self._status
            parts.append(self._head_bytes)
            self._head_bytes = b""
        body = self._body
        if body:
            self._body = []
            size = sum(map(len, body))
            record.sent += size
            if self._reader is not None:
                for piece in body:
                    self._reader.feed(piece)
            if self._chunked:
                parts.append(b"%x\r\n" % size)
                parts += body
                parts.append(b"\r\n")
            else:
                parts += body
        ended = self._ended and last
        if ended and self._chunked:
            parts.append(writer.last_chunk(self._trailers))
        if parts:
            self._write(parts)
        if ended:
            self._resolve(Outcome.COMPLETE)

    def _write(self, parts: list[bytes]) -> None:
        transport = self._client.transport
        if transport is not None:
            # Not writelines: that of asyncio never pauses us before Python 3.12.9 and 3.13.2
            # (python/cpython#127655).
            transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
