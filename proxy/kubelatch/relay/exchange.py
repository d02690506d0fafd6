"""One plain request: sent on, and sent again where that is safe; its answer is relayed.

The answer's bytes do not pass through here: this begins each attempt, and is called when it has
ended. It decides what may be repeated: a request that a dead connection swallowed, and one that
was refused with a credential that could be renewed.

Most exchanges have nothing to wait for but their answer: the request is whole, a credential is at
hand and a connection idle. :meth:`Exchange.begin` makes such an attempt without a task. Whatever
else an exchange may need, a second attempt for one, is :meth:`Exchange.run`'s.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web

from ..credentials import CLIENTS_OWN, Credential
from ..errors import ClientRequestError, KubelatchError
from ..observe.record import Record
from ..upstream.generation import Generation
from ..upstream.http1 import UpstreamConnection
from ..upstream.pool import Pool
from ..upstream.request import Outbound
from .attempt import Outcome
from .client import ClientConnection
from .request import Incoming
from .response import Answer
from .second_attempt import SecondAttempt

# Go's list of methods that are sent again when a reused connection turns out dead
# (net/http Request.isReplayable).
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Of those, what is sent twice although the first may still be answered.
_REPEATABLE_IN_DOUBT: Final = frozenset({"GET", "HEAD"})


class Exchange:
    """One request on one connection of a client.

    Args:
        client: where the request came from, and the answer goes.
        request: as it came.
        outbound: as it goes on.
        generation: where to.
        record: is filled in.
        last: the client's connection ends with it.
        extra: fields that the answer gets, see :class:`Answer`.

    Attributes:
        keep_alive: the client's connection may go on after this exchange.
        pool: where the last attempt's connection came from.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_connection",
        "_credential",
        "_ended",
        "_extra",
        "_generation",
        "_outbound",
        "_payload",
        "_renewable",
        "_second",
        "_upload",
        "client",
        "keep_alive",
        "pool",
        "record",
        "request",
    )

    def __init__(
        self,
        client: ClientConnection,
        request: Incoming,
        outbound: Outbound,
        generation: Generation,
        record: Record,
        *,
        last: bool = False,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.client = client
        self.request = request
        self.record = record
        self.keep_alive = request.keep_alive and not last
        self._payload = request.content
        self._outbound = outbound
        self._generation = generation
        self._extra = extra
        # A 401 is worth another attempt, with another credential.
        self._renewable = outbound.own_credential
        # The whole body, if it had come when the first attempt began.
        self._body: bytes | None = None
        # Of the last attempt:
        self._credential: Credential | None = None
        self.pool: Pool | None = None
        self._connection: UpstreamConnection | None = None
        self._answer: Answer | None = None
        self._upload: asyncio.Task[None] | None = None
        self._second: SecondAttempt | None = None

    def begin(self, ended: "Callable[[Exchange, bool], None]") -> bool:
        """Make the first attempt of a request without a body, if nothing has to be waited for.

        Args:
            ended: is called when the attempt has ended; with True if the exchange has, too, with
                False if :meth:`run` has to go on with it, or the client to take its answer.

        Returns:
            False if something is missing, which :meth:`run` will wait for, or tell.
        """
        own = self._outbound.own_credential
        credential = self._generation.credentials.peek() if own else CLIENTS_OWN
        if credential is None:
            return False
        try:
            pool = self._generation.pool(credential)
        except KubelatchError:
            return False
        connection = pool.take()
        if connection is None:
            return False
        self._ended = ended
        self._body = b""
        self._start(credential, pool, connection, reused=True, done=self._on_end)
        return True

    def _on_end(self, answer: Answer) -> None:
        self._release(answer)
        over = answer.outcome is Outcome.CUT or (
            answer.outcome is Outcome.ANSWERED and not self.client.writing_paused
        )
        if over:
            # It knows us, too: nobody should have to collect the two.
            self._answer = None
        self._ended(self, over)

    def cancel(self) -> None:
        """Stop what :meth:`begin` began: the client is gone."""
        self._stop()
        self._answer = None
        self.keep_alive = False
        self.record.cause = self.record.cause or "client-gone"
        self._ended(self, True)

    def repeat(self, over: Callable[[bool], None]) -> bool:
        """Send the request once more, on a new connection, while the first attempt goes on.

        For a request whose reused connection brings nothing. What is answered first counts, and the
        other attempt is cancelled.

        Args:
            over: is called once, with True if it was the second attempt that was answered.

        Returns:
            False if this request is not sent twice, or has been already.
        """
        pool, first, connection = self.pool, self._answer, self._connection
        if (
            pool is None
            or first is None
            or connection is None
            or self._second is not None
            or not self.record.reused
            or self._outbound.method not in _REPEATABLE_IN_DOUBT
            or not self._repeatable()
        ):
            return False

        def take_over(answer: Answer, newer: UpstreamConnection) -> None:
            connection.abort()
            self._answer, self._connection = answer, newer
            self.client.writer = answer
            self.record.reused = False
            self.record.retries += 1
            if self.client.writing_paused:
                answer.on_client_paused()

        self._second = SecondAttempt(
            first, lambda: self._open(pool), self._answer_on, self._send, take_over, over
        )
        return True

    def _stop(self) -> None:
        self.client.writer = None
        if self._second is not None:
            self._second.cancel()
        if self._upload is not None:
            self._upload.cancel()
        if self._connection is not None:
            self._connection.abort()

    async def run(self) -> None:
        """Carry the exchange to its end.

        Raises:
            KubelatchError: nothing of an answer has been sent to the client; tell it this.
        """
        credential, answer, self._answer = self._credential, self._answer, None
        if credential is None or answer is None:
            credential = await self._obtain()
            answer = await self._attempt(credential)
        while answer.outcome is not Outcome.ANSWERED and answer.outcome is not Outcome.CUT:
            if answer.outcome is Outcome.UNAUTHORIZED:
                self._renewable = False
                began = time.monotonic()
                renewed = await self._generation.renewed(credential)
                outbound = self._outbound.to(renewed.generation) if renewed else None
                if renewed is None or outbound is None:
                    await self._tell_held(answer)
                    return
                self.record.credential_wait += time.monotonic() - began
                self._outbound = outbound
                self._generation, credential = renewed
            elif answer.failure is not None and not (
                answer.outcome is Outcome.STALE and self._repeatable()
            ):
                raise answer.failure
            self.record.retries += 1
            answer = await self._attempt(credential)

    async def _obtain(self) -> Credential:
        own = self._outbound.own_credential
        credential = self._generation.credentials.peek() if own else CLIENTS_OWN
        if credential is not None:
            return credential
        began = time.monotonic()
        try:
            return await self._generation.credential()
        finally:
            self.record.credential_wait += time.monotonic() - began

    async def _attempt(self, credential: Credential) -> Answer:
        """One attempt, to its end.

        Raises:
            KubelatchError: no connection can be had.
        """
        pool = self._generation.pool(credential)
        # A second attempt takes no chances with a connection that may have died while idle.
        connection = pool.take() if not self.record.retries else None
        reused = connection is not None
        self.record.reused = reused
        self.record.credential = credential.kind
        if connection is None:
            connection = await self._open(pool)
        ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self._start(credential, pool, connection, reused=reused, done=_tell(ended))
            # Its answer, or that of another one that was sent meanwhile.
            answer = await ended
        except BaseException:
            self._stop()
            raise
        self._release(answer)
        return answer

    async def _open(self, pool: Pool) -> UpstreamConnection:
        began = time.monotonic()
        try:
            return await pool.open()
        finally:
            self.record.connects += 1
            self.record.connect_wait += time.monotonic() - began

    async def _tell_held(self, answer: Answer) -> None:
        """No other credential is to be had: the client gets the 401."""
        told = asyncio.get_running_loop().create_future()
        self.client.writer = answer
        try:
            answer.tell_held(_tell(told))
            await told
        finally:
            self.client.writer = None
        self.keep_alive = answer.keep_alive

    def _start(
        self,
        credential: Credential,
        pool: Pool,
        connection: UpstreamConnection,
        *,
        reused: bool,
        done: Callable[[Answer], None],
    ) -> Answer:
        """Send the request's head, with its body if that is here, else begin to send it."""
        payload = self._payload
        self.record.reused = reused
        self.record.credential = credential.kind
        self._credential, self.pool, self._connection = credential, pool, connection
        if self._body is None and payload.is_eof() and payload.exception() is None:
            # All of it has come: it can go in one write, and be sent again.
            self._body = payload.read_nowait(-1) if not payload.at_eof() else b""
            self.record.received = len(self._body)
        self._answer = answer = self._answer_on(connection, done)
        self.client.writer = answer
        self._send(connection, answer)
        return answer

    def _answer_on(self, connection: UpstreamConnection, done: Callable[[Answer], None]) -> Answer:
        """What takes the answer from a connection."""
        return Answer(
            self.client,
            connection,
            self.record,
            payload=self._payload,
            http10=self.request.http10,
            keep_alive=self.keep_alive,
            gzip=self._outbound.gzip,
            # What cannot be sent again need not be held back.
            hold=self._renewable and self._body is not None,
            extra=self._extra,
            links=self._generation.links,
            done=done,
            owner=self,
        )

    def _send(self, connection: UpstreamConnection, answer: Answer) -> None:
        """Send the head and as much of the body as there is."""
        outbound, body = self._outbound, self._body
        request = outbound.head(cast("Credential", self._credential))
        if body is None:
            connection.be_patient()
            upload = self._send_body(connection, answer)
            self._upload = asyncio.get_running_loop().create_task(upload, name="kubelatch upload")
        elif outbound.chunked:
            request += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body:
            request += body
        connection.start(answer, request, head_only=outbound.method == "HEAD")

    def _release(self, answer: Answer) -> None:
        """After an attempt: its connection may serve another, if it can."""
        self.client.writer = None
        self.keep_alive = answer.keep_alive
        if self._second is not None:
            self._second.cancel()
        connection, upload = self._connection, self._upload
        if connection is None or self.pool is None:
            return
        if upload is not None and not upload.done():
            # Answered before the request was whole, which this connection cannot get over.
            upload.cancel()
            connection.abort()
        if answer.failure is not None:
            connection.abort()
            if answer.outcome is Outcome.STALE:
                self.pool.drop_idle()
            return
        if answer.paused:
            connection.resume_reading()
        self.pool.give_back(connection)
        if self.record.status == 401 and self._renewable and self._credential is not None:
            # This request cannot be sent again; the next should not meet the same.
            self._generation.reject_later(self._credential)

    def _repeatable(self) -> bool:
        """It may be sent again although it may have been acted on."""
        return (
            self._outbound.method in _REPEATABLE
            and self._body is not None
            and not self.record.retries
        )

    async def _send_body(self, connection: UpstreamConnection, answer: Answer) -> None:
        """Send the request's body as it comes, no faster than the upstream takes it."""
        payload, chunked = self._payload, self._outbound.chunked
        try:
            while data := await payload.readany():
                self.record.received += len(data)
                connection.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                await connection.drain()
        except web.RequestPayloadError as exc:
            answer.fail(ClientRequestError(f"the request's body cannot be read: {exc}"))
        except OSError:
            # The client is gone; the exchange is being cancelled.
            return
        else:
            if chunked:
                connection.write(b"0\r\n\r\n")


def _tell(future: asyncio.Future[Answer]) -> Callable[[Answer], None]:
    def told(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    return told
