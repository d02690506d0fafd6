"""Exchanges that have waited too long for the API server.

No timer runs for a request: a few times in each span the registry is gone through, and what waits
is noted with the time since when it has been seen waiting.

- ``--response-timeout``: how long the API server may take to begin its response. What it exempts
  from its own limit is exempt here (watches, logs, proxied services), and so is a request that is
  still being sent.
- :data:`SILENCE`: how long a connection that has served before is trusted while it brings nothing.
  A load balancer that has lost the API server it led to keeps such connections, and HTTP/1.1 has
  no way to ask whether anybody is there. Then a GET or HEAD is sent once more on a new connection
  (see ``second_attempt``). If that one is responded to, what was idle before is dropped, the other
  requests that wait are sent once more as well, and what goes on in silence is ended: watches
  between two events, as the API server itself ends them, and responses that stand still.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Final

from ..errors import UpstreamError, UpstreamTimeoutError
from ..system.supervision import Supervisor
from ..upstream.transport import Transport
from .kind import Kind
from .registry import Registry
from .upstream_exchange import UpstreamExchange

SILENCE: Final = 15.0
"""Seconds; client-go's HTTP/2 waits 45, and has a response to its ping by then."""
_CHECKS: Final = 4
# A timer may fire a little early.
_ALMOST: Final = 0.99
# A slow API server is not helped by being asked everything twice.
_MAX_SECOND_ATTEMPTS: Final = 4
# How long, in spans of silence, what has begun may bring nothing once a connection was found dead.
# A watch may well be silent, and is ended for it; its client asks again without an error.
_STILL: Final = 2
# How many of those are ended at one check.
_MAX_ENDED: Final = 32


class Timeouts:
    """See the module.

    Args:
        response_timeout: seconds that a response may take to begin; a quarter more may pass until
            it is noticed; 0 is for ever.
        registry: its exchanges are checked.
        silence: see :data:`SILENCE`.
    """

    def __init__(
        self, response_timeout: float, registry: Registry, *, silence: float | None = None
    ) -> None:
        self._response_timeout = response_timeout
        self._silence = SILENCE if silence is None else silence
        self._registry = registry
        # Seconds between two checks.
        self._period = min(filter(None, (response_timeout, self._silence))) / _CHECKS
        self._cancel: Callable[[], None] | None = None
        # What is awaited, and since when that has been seen.
        self._waiting: dict[UpstreamExchange, float] = {}
        self._second_attempts = 0
        # What had begun when a connection was found dead, how much of it had come, and until when
        # more has to come.
        self._suspects: dict[UpstreamExchange, int] = {}
        self._until = 0.0

    def start(self, supervisor: Supervisor) -> None:
        """Begin to check."""
        self._cancel = supervisor.every("response time-out", self._period, self._check)

    def stop(self) -> None:
        """Check no more. May be repeated."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._waiting.clear()
        self._suspects.clear()

    def _exchanges(self) -> Iterable[UpstreamExchange]:
        return [exchange for exchange in self._registry if isinstance(exchange, UpstreamExchange)]

    def _check(self) -> None:
        now, before = time.monotonic(), self._waiting
        self._waiting = {e: before.get(e, now) for e in self._exchanges() if e.awaits_response}
        if limit := self._response_timeout:
            for exchange in self._waiting_for(limit, now):
                if exchange.kind is Kind.PLAIN:
                    exchange.fail(_too_slow(limit))
        self._repeat(self._waiting_for(self._silence, now))
        self._end_suspects(now)

    def _waiting_for(self, seconds: float, now: float) -> list[UpstreamExchange]:
        return [
            exchange
            for exchange, since in self._waiting.items()
            if now - since >= seconds * _ALMOST and exchange.awaits_response
        ]

    def _repeat(self, waiting: list[UpstreamExchange]) -> None:
        """Send once more what waits in silence, a few at a time."""
        for exchange in waiting:
            if self._second_attempts >= _MAX_SECOND_ATTEMPTS:
                return
            self._begin_second(exchange)

    def _begin_second(self, exchange: UpstreamExchange) -> None:
        began, transport = time.monotonic(), exchange.transport

        def over(won: bool) -> None:
            self._second_attempts -= 1
            if won and transport is not None and self._cancel is not None:
                self._on_dead_connection(transport, began)

        if exchange.begin_second_attempt(over):
            self._second_attempts += 1

    def _on_dead_connection(self, transport: Transport, since: float) -> None:
        """A connection brought nothing where a new one did: the others are under suspicion."""
        transport.drop_idle(before=since)
        if not self._suspects:
            self._until = time.monotonic() + _STILL * self._silence
        for exchange in self._exchanges():
            begun = exchange.attempt is not None and not exchange.awaits_response
            if begun and exchange.transport is transport and exchange.record.started < since:
                self._suspects.setdefault(exchange, exchange.record.sent)
        # Not from within the caller, which is in the middle of taking a response. All that were
        # seen waiting at the last check have waited for some time.
        asyncio.get_running_loop().call_soon(self._repeat, self._waiting_for(0, math.inf))

    def _end_suspects(self, now: float) -> None:
        """End what has stood still since."""
        self._suspects = {
            exchange: sent
            for exchange, sent in self._suspects.items()
            if exchange.stands_still_at(sent)
        }
        if now < self._until:
            return
        for exchange in list(self._suspects)[:_MAX_ENDED]:
            del self._suspects[exchange]
            attempt, watch = exchange.attempt, exchange.kind is Kind.WATCH
            ended = watch and attempt is not None and attempt.end_between_events()
            if not ended and exchange.kind in {Kind.WATCH, Kind.PLAIN}:
                exchange.fail(UpstreamError("the API server went silent", cause="truncated"))


def _too_slow(seconds: float) -> UpstreamTimeoutError:
    return UpstreamTimeoutError(
        f"the API server has not begun to respond within {seconds:g} s",
        cause="response-timeout",
        hint="--response-timeout sets the limit; it may have been carried out all the same",
    )
