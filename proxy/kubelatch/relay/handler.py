"""What becomes of each request: asked of the gate once, then carried out.

This is the handler that aiohttp's server calls. It knows the rooms and none of their details:
plain exchange, tunnel, static file, or an answer of our own. It is one of the two places that
catch every error of ours; a fault never leaves a client without an answer or a cut.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage

from ..errors import ClientRequestError, ExpectationError, KubelatchError, UpstreamTimeoutError
from ..gate import Allowed, Answer, Gate, Refusal, Static
from ..gate.clients import judge_user
from ..gate.head import RawHeaders
from ..gate.request_info import request_info
from ..observe.record import Record, Recorder
from ..upstream.generation import Generation, Generations
from ..upstream.request import Outbound, Policy
from . import local as replies
from .client import ClientConnection
from .drain import too_late
from .exchange import Exchange
from .request import Incoming, Lines, Plan
from .sent import CLOSE, GO_ON
from .tunnel import Refused, Tunnel

if TYPE_CHECKING:
    from ..static_files import StaticFiles

log = logging.getLogger(__name__)

_INTERNAL_ERROR: Final = KubelatchError(
    "internal error of the proxy", hint="its log says more; please report it"
)


class Dispatcher:
    """See the module.

    Args:
        gate: decides.
        generations: where the upstream is now.
        policy: how requests are shaped.
        recorder: gets a record of each exchange when it has ended.
        begun: gets it when the gate has let it through.
        static: serves ``--www``; None without it.
        clients: the user ids whose processes may connect; None lets everybody.
        tunnel_keepalive: seconds of silence before TCP probes a tunnel's upstream.
    """

    def __init__(
        self,
        gate: Gate,
        generations: Generations,
        policy: Policy,
        recorder: Recorder,
        *,
        begun: Recorder | None = None,
        static: "StaticFiles | None" = None,
        clients: frozenset[int] | None = None,
        tunnel_keepalive: float = 15.0,
    ) -> None:
        self.gate = gate
        self._generations = generations
        self._policy = policy
        self._recorder = recorder
        self._begun = begun
        self._static = static
        self._clients = clients
        self._tunnel_keepalive = tunnel_keepalive
        self.draining = False
        self.in_flight: set[Record] = set()
        # Of those, what a task carries out; and what became too late while it did.
        self._tasks: dict[Record, asyncio.Task[object]] = {}
        self._too_late: dict[Record, KubelatchError] = {}

    def judge_client(self, uid: int | None, headers: RawHeaders) -> Refusal | None:
        """Why a client may not ask at all; None if it may.

        Args:
            uid: the user id of its process; None if the kernel could not tell.
            headers: the header lines of its request.
        """
        refusal = None if self._clients is None else judge_user(uid, self._clients)
        return self.gate.judge_token(headers) if refusal is None else refusal

    def give_up(self) -> list[asyncio.Task[object]]:
        """The time to drain is up: end what tasks carry out, and tell the clients why.

        Returns:
            the tasks, which are about to end.
        """
        for record, task in self._tasks.items():
            self._too_late[record] = too_late(record)
            task.cancel()
        return list(self._tasks.values())

    def unreadable(self, client: ClientConnection, error: KubelatchError, sent: int) -> None:
        """A request could not be read or was beyond a limit, and has been answered."""
        now = time.monotonic()
        record = Record("", "", client.peer.address, now, status=error.status, ended=now, sent=sent)
        record.uid = client.peer.uid
        record.cause = error.cause
        self._recorder(record)

    def begin(
        self, client: ClientConnection, message: RawRequestMessage, content: StreamReader
    ) -> bool:
        """Begin to answer a request without a body, if that takes no task.

        Returns:
            False if it does; nothing has been done then.
        """
        try:
            exchange = self._prepare(client, message, content)
        except Exception:
            # Whatever it is, with a task it can be told.
            log.debug("a request needs a task", exc_info=True)
            return False
        if exchange is None:
            return False
        client.ongoing = exchange
        self.in_flight.add(exchange.record)
        if not exchange.begin(self._on_end):
            client.ongoing = None
            self.in_flight.discard(exchange.record)
            return False
        if self._begun is not None:
            self._begun(exchange.record)
        return True

    def _prepare(
        self, client: ClientConnection, message: RawRequestMessage, content: StreamReader
    ) -> Exchange | None:
        """The exchange of a request that passes, and that nothing can hold up before it begins."""
        if self._clients is not None and judge_user(client.peer.uid, self._clients) is not None:
            return None
        generation = self._generations.current()
        allowed, outbound = self._plan(client, message, generation)
        if (
            not isinstance(allowed, Allowed)
            or outbound is None
            or allowed.upgrade is not None
            or outbound.expect
            or generation.upstream.request_timeout
            or client.writing_paused
        ):
            return None
        return Exchange(
            client,
            Incoming(message, content),
            outbound,
            generation,
            self._record(client, message),
            last=self.draining,
            extra=allowed.response_headers,
        )

    def _on_end(self, exchange: Exchange, over: bool) -> None:
        client = exchange.client
        if over:
            try:
                self._end(exchange.record)
            finally:
                client.end_ongoing(keep_alive=exchange.keep_alive)
        elif client.leaving:
            # Its loss is what comes next, and would cancel a task before its first step.
            exchange.cancel()
        else:
            client.ongoing = asyncio.get_running_loop().create_task(
                self._go_on(exchange), name="kubelatch exchange"
            )

    async def _go_on(self, exchange: Exchange) -> None:
        """Bring an exchange to its end whose first attempt was not enough."""
        client, keep_alive = exchange.client, False
        try:
            response = await self._carry_out(
                client, exchange.request, exchange.record, _run(exchange, 0.0)
            )
            keep_alive = response is GO_ON
        finally:
            client.end_ongoing(keep_alive=keep_alive)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        client = cast("ClientConnection", request.protocol)
        if client.writing_paused:
            # Who pipelines requests and does not read the answers gets no further.
            await client.drained()
        # BaseRequest shows its message nowhere.
        incoming = Incoming(request._message, request.content)
        record = self._record(client, incoming.message)
        self.in_flight.add(record)
        return await self._carry_out(
            client, incoming, record, self._answer(client, incoming, record, request)
        )

    async def _carry_out(
        self,
        client: ClientConnection,
        request: Incoming,
        record: Record,
        answer: Awaitable[web.StreamResponse],
    ) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._tasks[record] = task
        try:
            response = await answer
            if client.writing_paused:
                await client.drained()
        except Refused as refused:
            response = replies.relay_refusal(client, refused, record)
        except KubelatchError as error:
            response = replies.tell(client, request, error, record, last=self.draining)
        except asyncio.CancelledError:
            late = self._too_late.get(record)
            if late is None or client.leaving:
                record.cause = record.cause or "client-gone"
                raise
            task.uncancel()
            response = self._tell_too_late(client, request, late, record)
        except ConnectionError:
            # The client went while an answer of ours was on its way.
            record.cause = record.cause or "client-gone"
            response = CLOSE
        except Exception:  # the boundary that no fault of ours may cross
            log.exception("internal error")
            response = replies.tell(client, request, _INTERNAL_ERROR, record, last=self.draining)
        finally:
            self._end(record)
        if response is CLOSE and not request.content.is_eof():
            client.end_writing()
        return response

    def _tell_too_late(
        self, client: ClientConnection, request: Incoming, error: KubelatchError, record: Record
    ) -> web.StreamResponse:
        if not record.rule:
            return replies.tell(client, request, error, record, last=True)
        # Part of an answer of our own may have gone out.
        record.cause = error.cause
        client.cut(reset=True)
        return CLOSE

    async def _answer(
        self,
        client: ClientConnection,
        request: Incoming,
        record: Record,
        base: web.BaseRequest,
    ) -> web.StreamResponse:
        if self._clients is not None:
            refusal = judge_user(record.uid, self._clients)
            if refusal is not None:
                return replies.refuse(client, request, refusal, record, last=self.draining)
        generation = self._generations.current()
        decision, outbound = self._plan(client, request.message, generation)
        if isinstance(decision, Refusal):
            return replies.refuse(client, request, decision, record, last=self.draining)
        tunnelled = isinstance(decision, Allowed) and decision.upgrade
        if client.holding and not tunnelled:
            # The client offers a protocol that is none of ours, such as h2c.
            client.continue_http()
        if isinstance(decision, Allowed) and outbound is not None:
            return await self._forward(client, request, decision, outbound, generation, record)
        record.rule = decision.rule if isinstance(decision, Answer) else "www"
        if isinstance(decision, Static) and self._static is not None:
            response = await self._static.respond(base, decision.path)
            record.status = response.status
            record.sent = 0 if request.method == "HEAD" else response.content_length or 0
            return response
        if isinstance(decision, Answer):
            return replies.send(
                client,
                request,
                decision.status,
                b"",
                record,
                extra=decision.headers,
                last=self.draining,
            )
        msg = "no static files are served"
        raise ClientRequestError(msg)

    async def _forward(
        self,
        client: ClientConnection,
        request: Incoming,
        allowed: Allowed,
        outbound: Outbound,
        generation: Generation,
        record: Record,
    ) -> web.StreamResponse:
        if outbound.expect and outbound.expect != b"100-continue":
            msg = "the request has an Expect field that is not 100-continue"
            raise ExpectationError(msg, hint="leave the field out")
        record.protocol = allowed.upgrade or ""
        if self._begun is not None:
            self._begun(record)
        if allowed.upgrade:
            tunnel = Tunnel(
                client,
                outbound,
                allowed.upgrade.lower().encode(),
                self._tunnel_keepalive,
                record,
            )
            await tunnel.run(generation)
            return CLOSE
        exchange = Exchange(
            client,
            request,
            outbound,
            generation,
            record,
            last=self.draining,
            extra=allowed.response_headers,
        )
        timeout = generation.upstream.request_timeout
        if timeout and _long_running(request.method, allowed):
            timeout = 0.0
        return await _run(exchange, timeout)

    def _record(self, client: ClientConnection, message: RawRequestMessage) -> Record:
        return Record(
            message.method,
            message.path,
            client.peer.address,
            time.monotonic(),
            headers=message.raw_headers,
            version=message.version,
            uid=client.peer.uid,
        )

    def _end(self, record: Record) -> None:
        self._tasks.pop(record, None)
        self._too_late.pop(record, None)
        record.ended = time.monotonic()
        self.in_flight.discard(record)
        self._recorder(record)

    def _plan(
        self, client: ClientConnection, message: RawRequestMessage, generation: Generation
    ) -> Plan:
        lines = client.memory
        if not isinstance(lines, Lines) or not lines.repeated_by(message, self.gate, generation):
            peer = client.peer.address.encode()
            lines = Lines(message, self.gate, generation, peer=peer, policy=self._policy)
            client.memory = lines if lines.memorable else None
        return lines.plan(message.method, message.path)


def _long_running(method: str, allowed: Allowed) -> bool:
    """The API server exempts it from its own request timeout: watches, logs, proxied services."""
    target = allowed.target
    return (allowed.info or request_info(method, target.path, target.query)).long_running


async def _run(exchange: Exchange, seconds: float) -> web.StreamResponse:
    """Carry an exchange to its end, within a time limit unless that is 0."""
    try:
        async with asyncio.timeout(seconds or None):
            await exchange.run()
    except TimeoutError as exc:
        raise UpstreamTimeoutError(
            f"the API server has not answered within {seconds:g} s",
            cause="request-timeout",
            hint="--request-timeout sets the limit",
        ) from exc
    return GO_ON if exchange.keep_alive else CLOSE
