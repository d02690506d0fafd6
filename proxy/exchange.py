"""One plain request: sent on, and sent again where that is safe; its answer is relayed.

The coroutine only begins each attempt and waits for its end; the answer's bytes do not pass
through it. It decides what may be repeated: a request that a dead connection swallowed, and one
that was refused with a credential that could be renewed.
"""

import asyncio
import time
from typing import Final

from aiohttp import web

from .answer import Answer, Outcome
from .client_connection import ClientConnection
from .credentials import Credential
from .errors import ClientRequestError
from .outbound import Outbound
from .record import Record
from .upstream.connection import UpstreamConnection
from .upstream.generation import Generation
from .upstream.pool import Pool

# Go's list of methods that are sent again when a reused connection turns out dead
# (net/http Request.isReplayable).
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Exchange:
    """One request on one connection of a client.

    Args:
        client: where the request came from, and the answer goes.
        request: its body and version; its head is in *outbound*.
        outbound: what goes upstream.
        record: is filled in.
        extra: fields that the answer gets, see :class:`Answer`.

    Attributes:
        keep_alive: the client's connection may go on after this exchange.
    """

    __slots__ = (
        "_body",
        "_client",
        "_extra",
        "_http10",
        "_outbound",
        "_payload",
        "_record",
        "keep_alive",
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
        self.keep_alive = request.keep_alive
        self._client = client
        self._outbound = outbound
        self._record = record
        self._extra = extra
        self._payload = request.content
        self._http10 = request.version.minor == 0
        # The whole body, if it had come when the first attempt began.
        self._body: bytes | None = None

    async def run(self, generation: Generation) -> None:
        """Carry the exchange to its end.

        Raises:
            KubelatchError: nothing of an answer has been sent to the client; tell it this.
        """
        credential = generation.credentials.peek()
        if credential is None:
            credential = await self._obtain(generation)
        renewable = self._outbound.own_credential
        while True:
            answer = await self._attempt(generation, credential, hold=renewable)
            outcome = answer.done.result()
            if outcome is Outcome.UNAUTHORIZED:
                renewable = False
                newer = await generation.another_credential(credential)
                if newer is None:
                    await answer.tell_held()
                    break
                credential = newer
            elif outcome is not Outcome.STALE:
                break
            self._record.retries += 1
        self.keep_alive = answer.keep_alive
        if renewable and self._record.status == 401:
            # This request cannot be sent again; the next should not meet the same.
            generation.reject_later(credential)

    async def _obtain(self, generation: Generation) -> Credential:
        began = time.monotonic()
        try:
            return await generation.credential()
        finally:
            self._record.credential_wait += time.monotonic() - began

    async def _attempt(
        self, generation: Generation, credential: Credential, *, hold: bool
    ) -> Answer:
        """One attempt: answered, cut, unauthorized, or stale and worth another.

        Raises:
            KubelatchError: it failed, and the client has got nothing.
        """
        record, pool = self._record, generation.pool(credential)
        # A second attempt takes no chances with a connection that may have died while idle.
        connection = pool.take() if not record.retries else None
        record.reused = connection is not None
        record.credential = credential.kind
        if connection is None:
            connection = await self._open(pool)
        answer = Answer(
            self._client,
            connection,
            record,
            payload=self._payload,
            http10=self._http10,
            keep_alive=self.keep_alive,
            gzip=self._outbound.gzip,
            hold=hold,
            extra=self._extra,
        )
        upload = None
        self._client.writer = answer
        try:
            upload = self._begin(connection, answer, self._outbound.head(generation, credential))
            outcome = await answer.done
        except BaseException:
            connection.abort()
            raise
        finally:
            self._client.writer = None
            if upload is not None and not upload.done():
                # Answered before the request was whole, which this connection cannot get over.
                upload.cancel()
                connection.abort()
        if answer.failure is None:
            if answer.paused:
                connection.resume_reading()
            pool.give_back(connection)
        else:
            connection.abort()
            if outcome is Outcome.FAILED or (outcome is Outcome.STALE and not self._repeatable()):
                raise answer.failure
        return answer

    async def _open(self, pool: Pool) -> UpstreamConnection:
        began = time.monotonic()
        try:
            return await pool.open()
        finally:
            self._record.connects += 1
            self._record.connect_wait += time.monotonic() - began

    def _repeatable(self) -> bool:
        """It may be sent again although it may have been acted on."""
        return (
            self._outbound.method in _REPEATABLE
            and self._body is not None
            and not self._record.retries
        )

    def _begin(
        self, connection: UpstreamConnection, answer: Answer, head: bytes
    ) -> asyncio.Task[None] | None:
        """Send the request's head, with its body if that is here, else begin to send it."""
        payload, body = self._payload, self._body
        head_only = self._outbound.method == "HEAD"
        if body is None and payload.is_eof() and payload.exception() is None:
            # All of it has come: it can go in one write, and be sent again.
            body = self._body = payload.read_nowait(-1) if not payload.at_eof() else b""
            self._record.received = len(body)
        if body is None:
            answer.hold = False
            connection.start(answer, head, head_only=head_only)
            upload = self._upload(connection, answer)
            return asyncio.get_running_loop().create_task(upload, name="kubelatch upload")
        if self._outbound.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        connection.start(answer, head + body, head_only=head_only)
        return None

    async def _upload(self, connection: UpstreamConnection, answer: Answer) -> None:
        """Send the request's body as it comes, no faster than the upstream takes it."""
        payload, chunked = self._payload, self._outbound.chunked
        try:
            while data := await payload.readany():
                self._record.received += len(data)
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
