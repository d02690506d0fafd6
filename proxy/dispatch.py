"""What becomes of each request: asked of the gate once, then carried out.

This is the handler that aiohttp's server calls. It knows the rooms and none of their details:
plain exchange, tunnel, static file, or an answer of our own. It is one of the two places that
catch every error of ours; a fault never leaves a client without an answer or a cut.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from . import headers, status
from .client_connection import ClientConnection, Sent
from .errors import ClientRequestError, KubelatchError, UpstreamTimeoutError
from .exchange import Exchange
from .gate import Allowed, Answer, Gate, Refusal, Static
from .gate.clients import judge_user
from .outbound import Outbound, Policy
from .record import Record, Recorder
from .request_info import request_info
from .tunnel import Refused, Tunnel
from .upstream.generation import Generations

if TYPE_CHECKING:
    from .static_files import StaticFiles

log = logging.getLogger(__name__)

# Fields of a refused upgrade's answer that do not pass: its framing is made anew.
_DROP_FRAMING: Final = headers.HOP_BY_HOP | {b"content-length"}


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
        self._go_on = Sent(keep_alive=True)
        self._close = Sent(keep_alive=False)
        self.draining = False
        self.in_flight: set[Record] = set()

    def unreadable(self, client: ClientConnection, code: int, sent: int) -> None:
        """A request could not be read, and has been answered."""
        now = time.monotonic()
        record = Record("", "", client.peer.decode(), now, status=code, ended=now, sent=sent)
        record.uid = client.uid
        record.cause = "bad-request"
        self._recorder(record)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        client = cast("ClientConnection", request.protocol)
        if client.writing_paused:
            # Who pipelines requests and does not read the answers gets no further.
            await client.drained()
        record = Record(
            method=request.method,
            target=request.raw_path,
            client=client.peer.decode(),
            uid=client.uid,
            headers=request.raw_headers,
            version=request.version,
            started=time.monotonic(),
        )
        self.in_flight.add(record)
        try:
            response = await self._answer(client, request, record)
            if client.writing_paused:
                await client.drained()
        except Refused as refused:
            response = self._relay_refusal(client, refused, record)
        except KubelatchError as error:
            response = self._tell(client, request, error, record)
        except asyncio.CancelledError:
            record.cause = record.cause or "client-gone"
            raise
        except ConnectionError:
            # The client went while an answer of ours was on its way.
            record.cause = record.cause or "client-gone"
            response = self._close
        except Exception:  # the boundary that no fault of ours may cross
            log.exception("internal error")
            response = self._tell(client, request, _INTERNAL_ERROR, record)
        finally:
            record.ended = time.monotonic()
            self.in_flight.discard(record)
            self._recorder(record)
        if response is self._close and not request.content.is_eof():
            client.end_writing()
        return response

    async def _answer(
        self, client: ClientConnection, request: web.BaseRequest, record: Record
    ) -> web.StreamResponse:
        if self._clients is not None:
            refusal = judge_user(record.uid, self._clients)
            if refusal is not None:
                return self._refuse(client, request, refusal, record)
        decision = self.gate.decide(
            request.method, request.raw_path, request.raw_headers, request.version
        )
        if isinstance(decision, Refusal):
            return self._refuse(client, request, decision, record)
        tunnelled = isinstance(decision, Allowed) and decision.upgrade
        if client.holding and not tunnelled:
            # The client offers a protocol that is none of ours, such as h2c.
            client.continue_http()
        if isinstance(decision, Allowed):
            return await self._forward(client, request, decision, record)
        record.rule = decision.rule if isinstance(decision, Answer) else "www"
        if isinstance(decision, Static) and self._static is not None:
            response = await self._static.respond(request, decision.path)
            record.status = response.status
            record.sent = 0 if request.method == "HEAD" else response.content_length or 0
            return response
        if isinstance(decision, Answer):
            return self._send(client, request, decision.status, b"", record, extra=decision.headers)
        msg = "no static files are served"
        raise ClientRequestError(msg)

    async def _forward(
        self,
        client: ClientConnection,
        request: web.BaseRequest,
        allowed: Allowed,
        record: Record,
    ) -> web.StreamResponse:
        fields = headers.read_request(request.raw_headers, allowed.strip)
        if request.version.minor == 0:
            # RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client is ignored.
            fields.expect = b""
        elif fields.expect and fields.expect != b"100-continue":
            return self._send(
                client, request, 417, status.body(417, "BadRequest", "unknown expectation"), record
            )
        record.protocol = allowed.upgrade or ""
        if self._begun is not None:
            self._begun(record)
        generation = self._generations.current()
        outbound = Outbound(
            request.method,
            allowed.target.raw.encode("utf-8", "surrogateescape"),
            fields,
            peer=client.peer,
            policy=self._policy,
            compression=generation.upstream.compression,
            # BaseRequest shows no such field of its own.
            chunked=request._message.chunked,
            upgrade=(allowed.upgrade or "").encode(),
        )
        if allowed.upgrade:
            tunnel = Tunnel(
                client,
                outbound,
                allowed.upgrade.lower().encode(),
                self._tunnel_keepalive,
                record,
            )
            await tunnel.run(generation)
            return self._close
        exchange = Exchange(client, request, outbound, record, extra=allowed.response_headers)
        if self.draining:
            exchange.keep_alive = False
        timeout = generation.upstream.request_timeout
        if timeout and not _long_running(request.method, allowed):
            await _within(timeout, exchange.run(generation))
        else:
            await exchange.run(generation)
        return self._go_on if exchange.keep_alive else self._close

    def _refuse(
        self, client: ClientConnection, request: web.BaseRequest, refusal: Refusal, record: Record
    ) -> web.StreamResponse:
        record.rule = refusal.rule
        return self._failure(
            client,
            request,
            refusal.status,
            refusal.reason,
            refusal.message,
            record,
            hint=refusal.hint,
            cause=refusal.rule,
            extra=refusal.headers,
            close=refusal.close,
        )

    def _tell(
        self,
        client: ClientConnection,
        request: web.BaseRequest,
        error: KubelatchError,
        record: Record,
    ) -> web.StreamResponse:
        record.cause = error.cause
        if record.status:
            # Something has been sent already: all that is left is not to let it look whole.
            client.cut(reset=True)
            return self._close
        extra = (("Retry-After", "1"),) if error.status == 503 else ()
        return self._failure(
            client,
            request,
            error.status,
            error.reason,
            error.message,
            record,
            hint=error.hint,
            cause=error.cause,
            extra=extra,
        )

    def _failure(
        self,
        client: ClientConnection,
        request: web.BaseRequest,
        code: int,
        reason: str,
        message: str,
        record: Record,
        *,
        hint: str,
        cause: str,
        extra: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> web.StreamResponse:
        if _prefers_text(request):
            first = "Forbidden" if code == 403 else reason
            content = "\n\n".join(filter(None, (first, message, hint))).encode() + b"\n"
            kind = "text/plain; charset=utf-8"
        else:
            content = status.body(code, reason, message, hint=hint, cause=cause)
            kind = "application/json"
        return self._send(
            client, request, code, content, record, kind=kind, extra=extra, close=close
        )

    def _relay_refusal(
        self,
        client: ClientConnection,
        refused: Refused,
        record: Record,
    ) -> web.StreamResponse:
        """The API server's own answer to an upgrade that it will not have."""
        head = refused.head
        lines = [
            b"HTTP/1.1 %d %b" % (head.status, head.reason),
            *headers.response_fields(head.headers, _DROP_FRAMING),
            b"Content-Length: %d" % len(refused.content),
            b"Connection: close",
            b"\r\n",
        ]
        record.status = head.status
        record.sent = len(refused.content)
        record.answer = head.headers
        if client.transport is not None:
            client.transport.write(b"\r\n".join(lines) + refused.content)
        return self._close

    def _send(
        self,
        client: ClientConnection,
        request: web.BaseRequest,
        code: int,
        content: bytes,
        record: Record,
        *,
        kind: str = "application/json",
        extra: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> web.StreamResponse:
        """Send an answer of our own."""
        # What follows an unread body or an upgrade that was not granted is not worth guessing.
        keep_alive = (
            request.keep_alive
            and not close
            and not self.draining
            and request.content.is_eof()
            and not client.holding
        )
        record.status = code
        record.sent = len(content)
        if client.transport is not None:
            client.transport.write(
                status.answer(
                    code,
                    content,
                    content_type=kind if content else "",
                    http10=request.version.minor == 0,
                    keep_alive=keep_alive,
                    head_only=request.method == "HEAD",
                    extra=extra,
                )
            )
        return self._go_on if keep_alive else self._close


def _long_running(method: str, allowed: Allowed) -> bool:
    """The API server exempts it from its own request timeout: a watch, a log."""
    target = allowed.target
    return (allowed.info or request_info(method, target.path, target.query)).long_running


async def _within(seconds: float, exchange: Coroutine[None, None, None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await exchange
    except TimeoutError as exc:
        raise UpstreamTimeoutError(
            f"the API server has not answered within {seconds:g} s",
            cause="request-timeout",
            hint="--request-timeout sets the limit",
        ) from exc


def _prefers_text(request: web.BaseRequest) -> bool:
    """The client asks for text before JSON: a browser, or a script written for kubectl proxy."""
    accept = request.headers.get("Accept", "")
    return "text/" in accept and "json" not in accept
