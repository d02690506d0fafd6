"""One plain request and its answer: sent on, relayed back, with faults told apart.

The answer is relayed in the callbacks of the upstream connection, without a task or a queue
between the two sockets: what one read brings is written in one write, and a side that does not
keep up pauses the other. The coroutine only begins the exchange and waits for its end.
Before the first byte of an answer has gone to the client, a fault becomes an error that the
caller can tell; after it, the connection is cut.
"""

import asyncio
import enum
from email.utils import formatdate
from typing import Final

from aiohttp import web

from . import headers
from .client_connection import ClientConnection
from .credentials import Credential
from .errors import ClientRequestError, KubelatchError, UpstreamError
from .gunzip import CorruptError, Gunzip
from .outbound import Outbound
from .record import Record
from .upstream.connection import BodyKind, ResponseHead, UpstreamConnection
from .upstream.generation import Generation

# Go's list of methods that are sent again when a reused connection turns out dead
# (net/http Request.isReplayable).
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# The answer to a refused credential is held back up to this size while another one is tried.
_HELD_ANSWER: Final = 64 * 1024
# Above this, joining costs more than the system call that it spares.
_JOIN_BELOW: Final = 32 * 1024

_DROP: Final = headers.HOP_BY_HOP - {b"trailer"}
_DROP_FRAMING: Final = _DROP | {b"content-length"}
_DROP_DECODED: Final = _DROP_FRAMING | {b"content-encoding"}


class Outcome(enum.Enum):
    """How an attempt ended."""

    ANSWERED = "answered"
    CUT = "cut"
    FAILED = "failed"
    STALE = "stale"
    UNAUTHORIZED = "unauthorized"


class Exchange:
    """One request on one connection of a client.

    Args:
        client: where the request came from, and the answer goes.
        request: its body and version; its head is in *outbound*.
        outbound: what goes upstream.
        record: is filled in.
        extra: fields that the answer gets, in place of the upstream's of the same name;
            ``Vary`` is added to.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_client",
        "_connection",
        "_done",
        "_ended",
        "_extra",
        "_failure",
        "_gunzip",
        "_head",
        "_head_bytes",
        "_held",
        "_hold_unauthorized",
        "_http10",
        "_loop",
        "_outbound",
        "_paused",
        "_payload",
        "_request_body",
        "_told",
        "_trailers",
        "_until_close",
        "keep_alive",
        "record",
    )

    def __init__(
        self,
        client: ClientConnection,
        request: web.BaseRequest,
        outbound: Outbound,
        record: Record,
        *,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.record = record
        self._extra = extra
        self.keep_alive = request.keep_alive
        self._client = client
        self._outbound = outbound
        self._payload = request.content
        self._http10 = request.version.minor == 0
        self._loop = asyncio.get_running_loop()
        self._connection: UpstreamConnection | None = None
        # The whole body, if it had come when the exchange began.
        self._request_body: bytes | None = None
        self._told = False
        self._until_close = False
        self._reset()

    def _reset(self) -> None:
        self._done: asyncio.Future[Outcome] = self._loop.create_future()
        self._failure: KubelatchError | None = None
        self._head: ResponseHead | None = None
        self._head_bytes = b""
        self._body: list[bytes] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._held: list[bytes] | None = None
        self._hold_unauthorized = False
        self._gunzip: Gunzip | None = None
        self._chunked = False
        self._ended = False
        self._paused = False

    # --- the coroutine ----------------------------------------------------------------------

    async def run(self, generation: Generation) -> None:
        """Carry the exchange to its end.

        Raises:
            KubelatchError: nothing of an answer has been sent to the client; tell it this.
        """
        source = generation.credentials
        credential = source.peek() or await source.obtain()
        refresh = True
        while True:
            outcome = await self._attempt(generation, credential, refresh=refresh)
            if outcome is Outcome.UNAUTHORIZED:
                refresh = False
                newer = await source.reject(credential)
                if newer is None:
                    self._tell_held()
                    return
                credential = newer
            elif outcome is not Outcome.STALE:
                return
            self.record.retries += 1

    async def _attempt(
        self, generation: Generation, credential: Credential, *, refresh: bool
    ) -> Outcome:
        pool = generation.pool(credential)
        # A second attempt takes no chances with a connection that may have died while idle.
        connection = pool.take() if not self.record.retries else None
        self.record.reused = connection is not None
        if connection is None:
            connection = await pool.open()
        self._reset()
        self._hold_unauthorized = refresh and self._outbound.own_credential
        self._connection = connection
        self._client.writer = self
        upload = None
        try:
            upload = self._begin(connection, generation, credential)
            if upload is not None:
                self._hold_unauthorized = False
            outcome = await self._done
        except BaseException:
            connection.abort()
            raise
        finally:
            self._client.writer = None
            self._connection = None
            if upload is not None and not upload.done():
                # The answer came before the request was whole: neither connection can go on.
                upload.cancel()
                connection.reusable = self.keep_alive = False
        if outcome is Outcome.FAILED or outcome is Outcome.CUT:
            connection.abort()
            if self._failure is not None and not self._told:
                raise self._failure
        elif outcome is not Outcome.STALE:
            if self._paused:
                connection.resume_reading()
            pool.give_back(connection)
            # The next request of a pipelining client waits until this answer has left.
            await self._client.drained()
        return outcome

    def _begin(
        self, connection: UpstreamConnection, generation: Generation, credential: Credential
    ) -> asyncio.Task[None] | None:
        head = self._outbound.head(generation, credential)
        head_only = self._outbound.method == "HEAD"
        payload = self._payload
        if self._request_body is None and payload.is_eof():
            # All of it has come with the head: it can go in one write, and be sent again.
            self._request_body = b"" if payload.at_eof() else payload.read_nowait(-1)
            self.record.received = len(self._request_body)
        if self._request_body is None:
            connection.start(self, head, head_only=head_only)
            return self._loop.create_task(self._upload(connection), name="kubelatch upload")
        body = self._request_body
        if self._outbound.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        connection.start(self, head + body, head_only=head_only)
        return None

    async def _upload(self, connection: UpstreamConnection) -> None:
        """Send the request's body as it comes, no faster than the upstream takes it."""
        payload, chunked = self._payload, self._outbound.chunked
        try:
            while data := await payload.readany():
                self.record.received += len(data)
                connection.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                await connection.drain()
        except web.RequestPayloadError as exc:
            error = ClientRequestError(f"the request's body cannot be read: {exc}")
            self._fail(error, Outcome.FAILED)
        except OSError:
            # The client is gone; the exchange is being cancelled.
            return
        else:
            if chunked:
                connection.write(b"0\r\n\r\n")

    # --- the answer, from the upstream connection's callbacks --------------------------------

    def on_informational(self, head: ResponseHead) -> None:
        """Relay 1xx answers, ``100 Continue`` among them (RFC 9110 section 15.2)."""
        if not self._http10:
            lines = [
                b"HTTP/1.1 %d %b" % (head.status, head.reason),
                *headers.response_fields(head.headers, _DROP_FRAMING),
            ]
            self._write([b"\r\n".join(lines), b"\r\n\r\n"])

    def on_head(self, head: ResponseHead) -> None:
        self._head = head
        if not self.record.first_byte:
            self.record.first_byte = self._loop.time()
        if head.status == 401 and self._hold_unauthorized:
            self._held = []
        else:
            self._tell_head(head)

    def on_body(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            if sum(map(len, self._held)) > _HELD_ANSWER:
                self._release_held()
        else:
            self._tell_body(data)

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._trailers = trailers
        if self._held is not None:
            self._resolve(Outcome.UNAUTHORIZED)
        else:
            self._ended = True

    def on_flush(self) -> None:
        if self._gunzip is not None:
            self._decode()
        else:
            self._flush()

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        if stale and not self.record.retries and self._repeatable():
            self._resolve(Outcome.STALE)
        else:
            self._fail(error, Outcome.CUT if self._told else Outcome.FAILED)

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        self._fail(
            UpstreamError(
                "the API server switched protocols without being asked", cause="bad-answer"
            ),
            Outcome.FAILED,
        )

    def on_tunnel_data(self, data: bytes) -> None:
        """Never: a plain exchange does not ask for a tunnel."""

    def on_tunnel_eof(self) -> bool:
        return False

    def on_pause_writing(self) -> None:
        """The upload waits in ``drain``."""

    def on_resume_writing(self) -> None:
        """See :meth:`on_pause_writing`."""

    # --- what goes to the client --------------------------------------------------------------

    def on_client_paused(self) -> None:
        self._paused = True
        if self._connection is not None:
            self._connection.pause_reading()

    def on_client_resumed(self) -> None:
        self._paused = False
        if self._gunzip is not None:
            self._decode()
        if self._connection is not None and not self._paused:
            self._connection.resume_reading()

    def _tell_head(self, head: ResponseHead) -> None:
        self._told = True
        self.record.status = head.status
        minor = 0 if self._http10 else 1
        lines = [b"HTTP/1.%d %d %b" % (minor, head.status, head.reason)]
        drop = _DROP
        if head.body is not BodyKind.NONE:
            if self._outbound.gzip and (head.get(b"content-encoding") or b"").lower() == b"gzip":
                self._gunzip = Gunzip()
                drop = _DROP_DECODED
            if self._gunzip is not None or head.body is not BodyKind.LENGTH:
                if self._http10:
                    self._until_close = True
                    self.keep_alive = False
                else:
                    self._chunked = True
                    lines.append(b"Transfer-Encoding: chunked")
        elif head.status == 204:
            drop = _DROP_FRAMING
        if self._extra:
            drop |= {name.lower().encode() for name, _ in self._extra} - {b"vary"}
            lines += [f"{name}: {value}".encode("latin-1") for name, value in self._extra]
        lines += headers.response_fields(head.headers, drop)
        if head.get(b"date") is None:
            # RFC 9110 section 6.6.1: a recipient with a clock adds a missing one.
            lines.append(b"Date: " + formatdate(usegmt=True).encode())
        if not self.keep_alive:
            lines.append(b"Connection: close")
        elif self._http10:
            lines.append(b"Connection: keep-alive")
        lines.append(b"\r\n")
        self._head_bytes = b"\r\n".join(lines)

    def _tell_body(self, data: bytes) -> None:
        if self._gunzip is not None:
            self._gunzip.feed(data)
        else:
            self._body.append(data)

    def _decode(self) -> None:
        gunzip = self._gunzip
        if gunzip is None:  # pragma: no cover -- both callers have looked
            return
        try:
            for data in gunzip.slices():
                self._body.append(data)
                self._flush(last=False)
                if self._paused:
                    return
        except CorruptError as exc:
            error = UpstreamError(f"the API server's gzip is broken: {exc}", cause="bad-answer")
            self._fail(error, Outcome.CUT)
            return
        if self._ended and not gunzip.whole:
            error = UpstreamError("the API server's gzip ends early", cause="truncated")
            self._fail(error, Outcome.CUT)
            return
        self._flush()

    def _flush(self, *, last: bool = True) -> None:
        """Write all that has been told, and resolve if it was the end."""
        parts = [self._head_bytes] if self._head_bytes else []
        self._head_bytes = b""
        if self._body:
            body, self._body = self._body, []
            size = sum(map(len, body))
            self.record.sent += size
            if self._chunked:
                parts.append(b"%x\r\n" % size)
                parts += body
                parts.append(b"\r\n")
            else:
                parts += body
        ended = self._ended and last
        if ended and self._chunked:
            parts.append(b"0\r\n" + headers.trailer_fields(self._trailers) + b"\r\n")
        if parts:
            self._write(parts)
        if ended:
            self._resolve(Outcome.ANSWERED)

    def _write(self, parts: list[bytes]) -> None:
        transport = self._client.transport
        if transport is None:
            return
        if len(parts) == 1:
            transport.write(parts[0])
        elif sum(map(len, parts)) < _JOIN_BELOW:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)

    def _release_held(self) -> None:
        held, self._held = self._held, None
        if held is not None and self._head is not None:
            self._tell_head(self._head)
            for data in held:
                self._tell_body(data)

    def _tell_held(self) -> None:
        """The other credential is no better: the client gets the answer that was held."""
        self._release_held()
        self._ended = True
        self.on_flush()

    # --- ends -----------------------------------------------------------------------------------

    def _repeatable(self) -> bool:
        """It may be sent again although it may have been acted on."""
        return self._outbound.method in _REPEATABLE and self._request_body is not None

    def _fail(self, error: KubelatchError, outcome: Outcome) -> None:
        if self._done.done():
            return
        self._failure = error
        self.record.cause = error.cause
        if self._told:
            self.keep_alive = False
            self._flush(last=False)
            # Without framing, nothing but a reset tells a cut body from a whole one.
            self._client.cut(reset=self._until_close)
        self._resolve(outcome)

    def _resolve(self, outcome: Outcome) -> None:
        if not self._done.done():
            self._done.set_result(outcome)
