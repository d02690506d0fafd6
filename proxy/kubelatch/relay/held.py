"""A request that a policy stops, held until somebody says whether it may pass (``--ask``).

It is received whole, then waits. If it may pass, an ordinary exchange takes its place, with the
bytes that have come; until then nothing goes upstream. Whatever comes first decides: an answer, the
time-out, the client's leaving, a drain, a reload that allows or refuses it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp.web_protocol import RequestPayloadError

from ..errors import (
    ClientRequestError,
    ExpectationError,
    KubelatchError,
    UpstreamError,
    sentence,
)
from ..gate import Allowed, Held, Refusal
from ..http1 import writer
from ..redact import printable
from ..system.peer import has_disconnected
from ..upstream.generation import Generation
from . import local
from .client import ClientProtocol
from .drain import StoppedError
from .exchange import Exchange, internal_error
from .record import Record
from .registry import Registry
from .request import ClientRequest, Plan
from .upload import whole_body

MAX_BODY: Final = 3 * 1024 * 1024
"""Bytes; the API server's own limit (apiserver/pkg/server/config.go, MaxRequestBodyBytes)."""
# Seconds between two looks at whether the rules still stop it; a context rests after a minute.
_LOOK: Final = 10.0
MAX_REASON: Final = 500
"""Characters of the reason that is given for a no."""


class BodyTooLargeError(ClientRequestError):
    """A request's body is longer than what is held (RFC 9110 section 15.5.14)."""

    status = 413
    reason = "RequestEntityTooLarge"
    default_cause = "body-too-large"


class TooManyHeldError(KubelatchError):
    """So many requests wait for an answer that no more are taken (RFC 6585 section 4)."""

    status = 429
    reason = "TooManyRequests"
    default_cause = "too-many-held"
    transient = True


class Approvals(Protocol):
    """Asks somebody. Its methods are called in the event loop, and may not block."""

    @property
    def timeout(self) -> float:
        """Seconds that an answer may take; 0 is for ever."""
        ...

    def admit(self, exchange: "HeldExchange") -> None:
        """Make room for a request. Raises TooManyHeldError."""

    def reserve(self, exchange: "HeldExchange", size: int) -> None:
        """Make room for so many bytes more of its body. Raises TooManyHeldError."""

    def ask(self, exchange: "HeldExchange") -> None:
        """It has come whole: ask. The answer is :meth:`HeldExchange.approve` or ``deny``."""

    def changed(self, exchange: "HeldExchange") -> None:
        """What it would do has changed: ask anew."""

    def forget(self, exchange: "HeldExchange") -> None:
        """It waits no longer. May be called more than once."""


JudgeAgain = Callable[[], tuple[Plan, Generation] | None]


class HeldExchange(Exchange):
    """See the module, and :class:`Exchange`.

    Args:
        plan: says that it is held.
        generation: where it would go.
        judge: returns what the gate makes of the request now, and where it would go; None: nowhere.
        pass_on: makes the exchange that takes its place.
        approvals: asks.

    Attributes:
        plan: what would go upstream.
        generation: where to.
        asked_at: when it began to wait for an answer; 0 before.
    """

    __slots__ = (
        "_approvals",
        "_judge",
        "_look",
        "_pass_on",
        "_timer",
        "asked_at",
        "generation",
        "plan",
    )

    def __init__(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        registry: Registry,
        plan: Plan,
        generation: Generation,
        *,
        judge: JudgeAgain,
        pass_on: Callable[[Plan, Generation], None],
        approvals: Approvals,
    ) -> None:
        super().__init__(client, request, record, registry)
        self._approvals = approvals
        self._judge = judge
        self._pass_on = pass_on
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self.asked_at = 0.0
        self.plan, self.generation = plan, generation

    @property
    def refusal(self) -> Refusal:
        """What stops it."""
        decision = self.plan.decision
        if not isinstance(decision, Held):
            raise TypeError(decision)
        return decision.refusal

    @property
    def body(self) -> bytes:
        """Its whole body."""
        return self.request.held or b""

    def begin(self) -> None:
        """Receive the request whole, then ask."""
        upstream = self.plan.upstream
        expect = upstream.expect if upstream is not None else b""
        length = self.request.message.headers.get("Content-Length", "0")
        try:
            if self.registry.draining:
                raise _stopped()
            if expect and expect != b"100-continue":
                msg = "the request has an Expect field that is not 100-continue"
                raise ExpectationError(msg, hint="leave the field out")
            if int(length) > MAX_BODY:
                raise _too_large()
            self._approvals.admit(self)
            body = whole_body(self.request, self.record)
            if body is not None:
                self._take(len(body))
        except KubelatchError as error:
            self.fail(error)
            return
        if body is not None:
            self._ask(body)
            return
        if expect and self.client.transport is not None:
            self.client.transport.write(
                writer.head([writer.status_line(100, b"Continue", minor=1)])
            )
        self._wait(self._receive, self._ask)

    def _take(self, size: int) -> None:
        if self.record.received > MAX_BODY:
            raise _too_large()
        self._approvals.reserve(self, size)

    async def _receive(self) -> bytes:
        pieces = []
        try:
            while piece := await self.request.body.readany():
                self.record.received += len(piece)
                self._take(len(piece))
                pieces.append(piece)
        except RequestPayloadError as exc:
            raise ClientRequestError(f"the request's body cannot be read: {exc}") from None
        return b"".join(pieces)

    def _ask(self, body: bytes) -> None:
        self.request.held = body
        self.asked_at = time.monotonic()
        self.record.asked = self.refusal.rule
        if seconds := self._approvals.timeout:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._time_out, seconds)
        self._approvals.ask(self)
        self._look_later()
        if self.registry.draining:
            self.drain()
        else:
            # Rules may have changed while its body came.
            self.judge_again()

    def _look_later(self) -> None:
        self._look = asyncio.get_running_loop().call_later(_LOOK, self._look_again)

    def _look_again(self) -> None:
        """Judge anew now and then: that keeps its context awake, and finds changes of rules that
        are reported to nobody."""
        self.judge_again()
        if self.waits:
            self._look_later()

    @property
    def waits(self) -> bool:
        """Somebody has been asked, and nothing is decided."""
        return bool(self.asked_at) and not self.record.answer

    def judge_again(self) -> None:
        """Rules, or where the API server is, may have changed: it may be decided by that now."""
        if not self.waits:
            return
        judged = self._judge()
        if judged is None:
            self.fail(_nowhere())
            return
        plan, generation = judged
        decision = plan.decision
        if isinstance(decision, Held):
            same = generation is self.generation and decision == self.plan.decision
            self.plan, self.generation = plan, generation
            if not same:
                self.record.asked = decision.refusal.rule
                self._approvals.changed(self)
        elif isinstance(decision, Allowed):
            self._answered("allowed")
            self._proceed(plan, generation)
        elif isinstance(decision, Refusal):
            self._answered("refused")
            self._refuse(decision)
        else:
            self.fail(internal_error())

    def withdraw_if_left(self) -> None:
        """End it if its client has left, though the event loop has not been told yet."""
        transport = self.client.transport
        sock = transport.get_extra_info("socket") if transport is not None else None
        if self.client.leaving or sock is None or has_disconnected(sock):
            self.cancel()

    def approve(self, by: str) -> None:
        """Let it pass, if it waits.

        Args:
            by: ``page``, ``command`` or ``interface``.
        """
        if not self.waits:
            return
        self.record.answered_by = by
        self._answered("approved")
        self._proceed(self.plan, self.generation)

    def deny(self, by: str, reason: str) -> None:
        """Refuse it, if it waits.

        Args:
            by: as for :meth:`approve`.
            reason: what the client is sent; may be empty.
        """
        if not self.waits:
            return
        self.record.answered_by = by
        self._answered("denied")
        why = f": {printable(reason)[:MAX_REASON]}" if reason else ""
        self._refuse_with(f"Approval was asked for, and denied{why}")

    def _time_out(self, seconds: float) -> None:
        if not self.waits:
            return
        self._answered("timeout")
        hint = "--ask-timeout allows more time; to ask again, repeat the request"
        self._refuse_with(f"Approval was asked for, and not given within {seconds:g} s", hint)

    def _refuse_with(self, text: str, hint: str = "") -> None:
        stopped = self.refusal
        self._refuse(
            Refusal(
                status=403,
                reason="Forbidden",
                message=sentence(stopped.message, text),
                hint=hint,
                rule=stopped.rule,
                headers=stopped.headers,
            )
        )

    def _answered(self, answer: str) -> None:
        record = self.record
        if self.asked_at and not record.answer:
            record.answer = answer
            record.ask_wait = time.monotonic() - self.asked_at

    def _proceed(self, plan: Plan, generation: Generation) -> None:
        self.hand_over()
        self._pass_on(plan, generation)

    def _refuse(self, refusal: Refusal) -> None:
        self._stop()
        self.keep_alive = local.refuse(
            self.client, self.request, refusal, self.record, last=self.registry.draining
        )
        self._finish()

    def drain(self) -> None:
        """See :class:`Exchange`."""
        if not self._over and not self.record.status:
            self._answered("drained")
            self.fail(_stopped())

    def cancel(self) -> None:
        """See :class:`Exchange`."""
        self._answered("withdrawn")
        super().cancel()

    def fail(self, error: KubelatchError) -> None:
        """See :class:`Exchange`."""
        self._answered("failed")
        super().fail(error)

    def _stop(self) -> None:
        super()._stop()
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        self._approvals.forget(self)


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the request's body is over {MAX_BODY} bytes, which is more than is held",
        hint="the API server takes no more either",
    )


def _nowhere() -> UpstreamError:
    return UpstreamError("the request's context is not there any more", cause="context")


def _stopped() -> StoppedError:
    return StoppedError(
        "the proxy was stopped before anybody had let the request pass",
        hint="The API server has not seen it: it may be repeated",
    )
