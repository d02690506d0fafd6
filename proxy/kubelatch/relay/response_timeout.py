"""What has waited too long for the API server.

No clock runs for a request: a few times in each span we look at all that wait, and note since when
they have been seen waiting.

- ``--response-timeout``: how long the API server may take to begin its answer. What it exempts
  from its own limit is exempt here (watches, logs, proxied services), and so is a request that is
  still being sent.
- :data:`SILENCE`: how long a connection that has served before is trusted while it brings nothing.
  A load balancer that has lost the API server it led to keeps such connections, and HTTP/1.1 has
  no way to ask whether anybody is there. Then a GET or HEAD is sent once more on a new connection
  (see :mod:`.second_attempt`). If that one is answered, what was idle before is dropped, the other
  requests that wait are sent once more as well, and what goes on in silence is ended: watches
  between two events, as the API server itself ends them, and answers that stand still.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from ..errors import UpstreamError, UpstreamTimeoutError
from ..gate.request_info import RequestInfo
from ..observe.record import Record
from ..system.supervision import Supervisor
from ..upstream.pool import Pool
from .drain import answers
from .response import Answer
from .server import ClientServer

SILENCE: Final = 15.0
_LOOKS: Final = 4
# A timer may fire a little early.
_ALMOST: Final = 0.99
# A slow API server is not helped by being asked everything twice.
_MOST_AT_ONCE: Final = 4
# How long, in spans of silence, what has begun may bring nothing once a connection was found dead.
# A watch may well be silent, and is ended for it; its client asks again without an error.
_STILL: Final = 2
# How many of those are ended at one look.
_MOST_ENDED: Final = 32
# These lead to programs, for which a GET may be more than a question.
_PROGRAMS: Final = frozenset({"proxy", "exec", "attach", "portforward"})


class Patience:
    """See the module.

    Args:
        response_timeout: seconds that an answer may take to begin; a quarter more may pass until it
            is noticed; 0 is for ever.
        server: its clients are those who wait.
        info: what a request asks.
        silence: see :data:`SILENCE`.
    """

    def __init__(
        self,
        response_timeout: float,
        server: ClientServer,
        info: Callable[[Record], RequestInfo],
        *,
        silence: float | None = None,
    ) -> None:
        self._response_timeout = response_timeout
        self._silence = SILENCE if silence is None else silence
        self._server = server
        self._info = info
        # Seconds between two looks.
        self._period = min(filter(None, (response_timeout, self._silence))) / _LOOKS
        self._cancel: Callable[[], None] | None = None
        # What is awaited, and since when that has been seen.
        self._waiting: dict[Answer, float] = {}
        # How many second attempts are under way.
        self._attempts = 0
        # What had begun when a connection was found dead, how much of it had come, and until when
        # more has to come.
        self._suspects: dict[Answer, int] = {}
        self._until = 0.0

    def start(self, supervisor: Supervisor) -> None:
        """Begin to look."""
        self._cancel = supervisor.every("response time-out", self._period, self._look)

    def stop(self) -> None:
        """Look no more. May be repeated."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._waiting.clear()
        self._suspects.clear()

    def _look(self) -> None:
        now, before = time.monotonic(), self._waiting
        self._waiting = {a: before.get(a, now) for a in answers(self._server) if a.awaited}
        if limit := self._response_timeout:
            for answer in self._waiting_for(limit, now):
                if not self._info(answer.record).long_running:
                    answer.fail(_too_slow(limit))
        self._repeat(self._waiting_for(self._silence, now))
        self._end_suspects(now)

    def _waiting_for(self, seconds: float, now: float) -> list[Answer]:
        return [
            answer
            for answer, since in self._waiting.items()
            if now - since >= seconds * _ALMOST and answer.awaited
        ]

    def _repeat(self, waiting: list[Answer]) -> None:
        """Send once more what waits in silence, a few at a time."""
        for answer in waiting:
            if self._attempts >= _MOST_AT_ONCE:
                return
            if answer.silent and _is_question(self._info(answer.record)):
                self._begin_second(answer)

    def _begin_second(self, answer: Answer) -> None:
        began, pool = time.monotonic(), answer.owner.pool

        def over(won: bool) -> None:
            self._attempts -= 1
            if won and pool is not None and self._cancel is not None:
                self._on_dead_connection(pool, began)

        if answer.owner.repeat(over):
            self._attempts += 1

    def _on_dead_connection(self, pool: Pool, since: float) -> None:
        """A connection brought nothing where a new one did: the others are under suspicion."""
        pool.drop_idle(before=since)
        if not self._suspects:
            self._until = time.monotonic() + _STILL * self._silence
        for answer in answers(self._server):
            begun = not answer.awaited and answer.outcome is None
            if begun and answer.owner.pool is pool and answer.record.started < since:
                self._suspects.setdefault(answer, answer.record.sent)
        # Not from within the caller, who is in the middle of taking an answer. All that were seen
        # waiting at the last look have waited for some time.
        asyncio.get_running_loop().call_soon(self._repeat, self._waiting_for(0, math.inf))

    def _end_suspects(self, now: float) -> None:
        """End what has stood still since."""
        self._suspects = {
            answer: sent
            for answer, sent in self._suspects.items()
            if answer.outcome is None and answer.record.sent == sent and not answer.paused
        }
        if now < self._until:
            return
        for answer in list(self._suspects)[:_MOST_ENDED]:
            del self._suspects[answer]
            info = self._info(answer.record)
            is_watch = info.verb == "watch"
            if not (is_watch and answer.end_between_events()) and (
                is_watch or not info.long_running
            ):
                answer.fail(UpstreamError("the API server went silent", cause="truncated"))


def _is_question(info: RequestInfo) -> bool:
    """A GET of it changes nothing, and is answered soon if it is answered at all."""
    if info.is_resource:
        return info.verb != "proxy" and info.subresource not in _PROGRAMS
    return not info.long_running


def _too_slow(seconds: float) -> UpstreamTimeoutError:
    return UpstreamTimeoutError(
        f"the API server has not begun to answer within {seconds:g} s",
        cause="response-timeout",
        hint="--response-timeout sets the limit; it may have been carried out all the same",
    )
