"""An exchange with the upstream, plain or an upgrade.

Its steps: authenticate, connect, send, respond. Most wait for their response alone. What may be
repeated is decided here: after a dead connection, or a refusal of a credential that can be renewed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ..credentials import CLIENT_SUPPLIED, Credential
from ..errors import (
    ExpectationError,
    KubelatchError,
    NotProcessedError,
    UpstreamError,
    UpstreamTimeoutError,
)
from ..http1.links import LinkRewriter
from ..upstream.generation import Generation, Renewed
from ..upstream.request import UpstreamRequest
from ..upstream.transport import Http1OnlyError, Stream, Transport
from .attempt import Attempt, Outcome
from .client import ClientProtocol
from .exchange import Exchange, internal_error
from .kind import Kind, kind_of
from .record import Record
from .registry import Registry
from .request import ClientRequest, Plan
from .response import ExtraFields, ResponseRelay
from .routes import is_replayable, may_repeat, may_share, open_stream
from .second_attempt import SecondAttempt, may_be_renewed, may_be_sent_twice
from .tunnel import Tunnel
from .upload import Upload, whole_body

T = TypeVar("T")


class UpstreamExchange(Exchange):
    """An exchange with the upstream: plain, or an upgrade; see :class:`Exchange`.

    Args:
        plan: allows it.
        upstream: the request that is sent.
        generation: where to.
        tunnel_keepalive: seconds of silence before TCP probes a tunnel's upstream.

    Attributes:
        transport: where the last attempt's stream came from.
    """

    __slots__ = (
        "_attempt",
        "_body",
        "_credential",
        "_generation",
        "_plan",
        "_renewable",
        "_second",
        "_stream",
        "_timer",
        "_tunnel_keepalive",
        "_upload",
        "_upstream",
        "transport",
    )

    def __init__(
        self,
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
        super().__init__(client, request, record, registry)
        self._plan = plan
        self._upstream = upstream
        self._generation = generation
        self._tunnel_keepalive = tunnel_keepalive
        # A 401 is worth another attempt, with another credential.
        self._renewable = upstream.own_credential and may_be_renewed(record, plan)
        # The whole body, if it had come when the first attempt began.
        self._body: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Of the last attempt:
        self._credential: Credential | None = None
        self.transport: Transport | None = None
        self._stream: Stream | None = None
        self._attempt: ResponseRelay | Tunnel | None = None
        self._upload: Upload | None = None
        self._second: SecondAttempt | None = None

    @property
    def kind(self) -> Kind:
        """What kind of request it is."""
        return kind_of(self._plan.info, upgrade=bool(self._upstream.upgrade))

    @property
    def attempt(self) -> Attempt | None:
        """The attempt under way."""
        return self._attempt

    @property
    def awaits_response(self) -> bool:
        """The whole request has gone upstream, and nothing of a response has come."""
        attempt = self._attempt
        return (
            attempt is not None
            and attempt.outcome is None
            and not attempt.head_received
            and self.request.body.is_eof()
        )

    def begin(self) -> None:
        """Take the first step."""
        upstream = self._upstream
        if upstream.expect and upstream.expect != b"100-continue":
            msg = "the request has an Expect field that is not 100-continue"
            self.fail(ExpectationError(msg, hint="leave the field out"))
            return
        self.registry.passed(self.record)
        seconds = self._generation.upstream.request_timeout
        if seconds and self.kind is Kind.PLAIN:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out, seconds)
        self._authenticate()

    def _time_out(self, seconds: float) -> None:
        if self.record.status:
            # It is we who give up, though more may be on its way.
            self.client.cut(reset=True)
        self.fail(
            UpstreamTimeoutError(
                f"the API server has not responded within {seconds:g} s",
                cause="request-timeout",
                hint="--request-timeout sets the limit",
            )
        )

    def _authenticate(self) -> None:
        own = self._upstream.own_credential
        credential = self._generation.credentials.cached() if own else CLIENT_SUPPLIED
        if credential is not None:
            self._connect(credential)
        else:
            step = partial(self._timed_credential, self._generation.credential)
            self._wait(step, self._connect)

    def _connect(self, credential: Credential) -> None:
        try:
            shared = "watch" in self.record.target and self._may_share
            find = self._generation.watch_transport if shared else self._generation.transport
            transport = find(credential)
            self.record.proto = transport.protocol
        except KubelatchError as error:
            self.fail(error)
            return
        self._credential, self.transport = credential, transport
        self.record.credential = credential.kind
        # A second attempt, and what was asked about, take no chances with a connection that may
        # have died while idle, and a tunnel's connection is its own.
        fresh = self.record.retries or self.record.asked or self._upstream.upgrade
        stream = None if fresh else transport.take()
        if stream is not None:
            self._send(stream)
        else:
            self._wait(self.open_stream, self._send)

    async def _timed_credential(self, step: Callable[[], Awaitable[T]]) -> T:
        began = time.monotonic()
        try:
            return await step()
        finally:
            self.record.credential_wait += time.monotonic() - began

    @property
    def _may_share(self) -> bool:
        kind, upstream = self.kind, self._upstream
        return kind is Kind.WATCH and may_share(self.request, upstream, self._body, self.record)

    async def open_stream(self) -> Stream:
        """A stream on a new connection, or on one that is shared. Raises UpstreamError."""
        transport, record = self.transport, self.record
        if transport is None or self._credential is None:
            msg = "nothing to connect to yet"
            raise UpstreamError(msg)
        keepalive = self._tunnel_keepalive if self._upstream.upgrade else None
        try:
            return await open_stream(transport, keepalive, record)
        except Http1OnlyError:
            self.transport = transport = self._generation.transport(self._credential)
            record.proto = ""
        return transport.take() or await open_stream(transport, keepalive, record)

    def _send(self, stream: Stream) -> None:
        """Send the request, with its body if that has come; else begin to send it."""
        upstream = self._upstream
        self.record.reused = reused = stream.reused
        self.record.connects += not reused
        self._stream = stream
        if self._body is None:
            self._body = whole_body(self.request, self.record)
        attempt: ResponseRelay | Tunnel
        if upstream.upgrade:
            hold, own = self._renewable, self._generation.upstream.own_origin
            attempt = Tunnel(self, stream, upstream.upgrade.lower(), hold=hold, own_origin=own)
        else:
            attempt = self._relay(stream)
        self._attempt = attempt
        if self.client.writing_paused:
            attempt.on_client_paused()
        stream.start(upstream, self._authorization, attempt, self._body)
        if self._body is None and attempt.outcome is None:
            self._upload = Upload(self.request, self.record, stream, attempt)

    def _relay(self, stream: Stream) -> ResponseRelay:
        # What cannot be sent again need not be held back.
        hold = self._renewable and self._body is not None
        extra, links = self._plan.extra_fields, self._generation.links(self._plan.mount)
        return self._make_relay(stream, self._upstream.gzip, hold, extra, links)

    def _make_relay(
        self, stream: Stream, gzip: bool, hold: bool, extra: ExtraFields, links: LinkRewriter | None
    ) -> ResponseRelay:
        return ResponseRelay(self, stream, gzip=gzip, hold=hold, extra=extra, links=links)

    @property
    def _authorization(self) -> bytes:
        if not self._upstream.own_credential or self._credential is None:
            return b""
        return self._generation.authorization(self._credential)

    def begin_second_attempt(self, over: Callable[[bool], None]) -> bool:
        """Send the request once more, on a new connection, while the first attempt goes on.

        For a request whose reused connection brings nothing. The attempt that is responded to
        first counts, and the other is cancelled.

        Args:
            over: is called once, with True if the second attempt was responded to first.

        Returns:
            False if this request is not sent twice, or has been already.
        """
        first, stream = self._attempt, self._stream
        if (
            self._second is not None
            or not isinstance(first, ResponseRelay)
            or stream is None
            or stream.response_begun
            or not self.record.reused
            # HTTP/2 finds out by itself whether anybody is there.
            or self.record.proto
            or not is_replayable(self._upstream.method, self._body, self.record)
            or not may_be_sent_twice(self._upstream.method, self._plan.info)
        ):
            return False
        self._second = SecondAttempt(self, first, over)
        return True

    def send_on(self, stream: Stream) -> ResponseRelay:
        """Send the request on *stream*, for a second attempt."""
        self.record.connects += not stream.reused
        attempt = self._relay(stream)
        stream.start(self._upstream, self._authorization, attempt, self._body)
        return attempt

    def adopt(self, attempt: ResponseRelay, stream: Stream) -> None:
        """Let *attempt* on *stream* take the place of the first one, which is silent."""
        if self._attempt is not None:
            self._attempt.outcome = Outcome.WITHDRAWN
        if self._stream is not None:
            self._stream.abort()
        self._attempt, self._stream = attempt, stream
        self.record.reused = False
        self.record.retries += 1
        if self.client.writing_paused:
            attempt.on_client_paused()

    def stands_still_at(self, sent: int) -> bool:
        """Whether no more than *sent* bytes of the response have come, and the client waits."""
        attempt = self._attempt
        return (
            attempt is not None
            and attempt.outcome is None
            and not attempt.paused
            and self.record.sent == sent
        )

    def attempt_ended(self, attempt: Attempt) -> None:
        """Decide what an attempt's end is: the exchange's, or the beginning of another attempt.

        Called once for each attempt; possibly by its stream, in the middle of what that is doing.
        """
        if attempt is not self._attempt:
            if self._second is not None:
                self._second.failed()
            return
        if self._second is not None:
            self._second.cancel()
        self._release(attempt)
        failure = attempt.failure
        if attempt.outcome is Outcome.COMPLETE or attempt.outcome is Outcome.CUT:
            self._finish()
        elif attempt.outcome is Outcome.UNAUTHORIZED and self._credential is not None:
            self._renewable = False
            renew = partial(self._generation.renewed, self._credential)
            self._wait(partial(self._timed_credential, renew), partial(self._retry, attempt))
        elif (
            attempt.outcome is Outcome.STALE
            and may_repeat(failure, self._upstream.method, self._body, self.record)
            and self._credential is not None
        ):
            self.record.retries += 1
            self._connect(self._credential)
        else:
            self.fail(failure or internal_error())

    def _retry(self, attempt: Attempt, renewed: Renewed | None) -> None:
        """Repeat what was refused, with another credential; without one, it stays refused."""
        if renewed is None or not renewed.generation.shares_heads_with(self._generation):
            attempt.send_held()
            return
        self.record.retries += 1
        self._generation = renewed.generation
        self._connect(renewed.credential)

    def _release(self, attempt: Attempt) -> None:
        """After an attempt: its stream may serve another exchange, if it can."""
        stream, transport, upload = self._stream, self.transport, self._upload
        self._stream = self._upload = None
        if stream is None or transport is None:
            return
        if upload is not None and not upload.ended:
            # The response came before the request was whole, which this stream cannot get over.
            upload.cancel()
            stream.abort()
        if attempt.failure is not None:
            stream.abort()
            refused = isinstance(attempt.failure, NotProcessedError)
            if attempt.outcome is Outcome.STALE and not refused:
                transport.drop_idle()
            return
        if attempt.paused:
            stream.resume_reading()
        stream.release()
        if self.record.status == 401 and self._renewable and self._credential is not None:
            # This request cannot be sent again; the next should not meet the same.
            self._generation.invalidate_later(self._credential)

    def fail(self, error: KubelatchError) -> None:
        """End it: with *error* if the client has got nothing yet, else by a cut."""
        attempt = self._attempt
        if attempt is not None and attempt.outcome is None:
            # It knows what has been sent, and comes back by attempt_ended.
            attempt.fail(error)
        else:
            super().fail(error)

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""
        if self._attempt is not None:
            self._attempt.on_client_paused()

    def on_client_resumed(self) -> None:
        """It takes bytes again."""
        if self._attempt is not None:
            self._attempt.on_client_resumed()
        else:
            super().on_client_resumed()

    def _stop(self) -> None:
        super()._stop()
        if self._second is not None:
            self._second.cancel()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.outcome = attempt.outcome or Outcome.WITHDRAWN
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None
        if self._stream is not None:
            self._stream.abort()
            self._stream = None

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.record.cause:
            self.record.server = self._generation.upstream.host_header
        # They know each other: nobody should have to collect them.
        self._attempt = self._second = None
        super()._finish()
