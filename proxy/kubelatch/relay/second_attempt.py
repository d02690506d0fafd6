"""A request that is sent once more while its first attempt is silent.

A load balancer that has lost the API server it led to keeps our connections, acknowledges what is
sent and never brings a response. On a new connection it leads to another API server. Which attempt
is responded to first is not known beforehand: it counts, and the other is cancelled, which the API
server notices.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from ..errors import KubelatchError
from ..gate.request_info import RequestInfo
from ..upstream.transport import Stream
from .attempt import Outcome
from .record import Record
from .request import Plan
from .response import ResponseRelay

# Seconds that the second attempt has, from the dial on. What takes longer is slow, not dead.
_TIME_LIMIT: Final = 30.0
# These lead to programs, for which a GET may be more than a question.
_PROGRAMS: Final = frozenset({"proxy", "exec", "attach", "portforward"})


def may_be_sent_twice(method: str, info: RequestInfo | None) -> bool:
    """Whether a request may be sent again although its first attempt may still get a response:
    it changes nothing, and is responded to soon if it is at all."""
    if method not in {"GET", "HEAD"} or info is None:
        return False
    if info.is_resource:
        return info.verb != "proxy" and info.subresource not in _PROGRAMS
    return not info.long_running


def may_be_renewed(record: Record, plan: Plan) -> bool:
    """Whether a 401 says that nothing was carried out, so that the request may be sent again with
    another credential. That of an application may come after it has acted, which what somebody was
    asked about must not do twice."""
    if not record.asked or plan.info is None:
        return True
    return plan.info.verb != "proxy" and plan.info.subresource != "proxy"


class RepeatableExchange(Protocol):
    """The exchange, as its second attempt sees it."""

    async def open_stream(self) -> Stream:
        """A stream on a new connection. Raises KubelatchError."""
        ...

    def send_on(self, stream: Stream) -> ResponseRelay:
        """Send the request on *stream*; the attempt is reported to the exchange as any other."""
        ...

    def adopt(self, attempt: ResponseRelay, stream: Stream) -> None:
        """The second response begins: it is the exchange's from now on."""


class SecondAttempt:
    """See the module.

    Args:
        exchange: whose second attempt it is.
        first: the attempt that is silent.
        over: is called once, with True if the second attempt was responded to first.
    """

    def __init__(
        self, exchange: RepeatableExchange, first: ResponseRelay, over: Callable[[bool], None]
    ) -> None:
        self._exchange = exchange
        self._first = first
        self._over = over
        self._is_over = False
        self._stream: Stream | None = None
        self._second: ResponseRelay | None = None
        first.on_begin = self.cancel
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_TIME_LIMIT, self.cancel)
        self._task = loop.create_task(self._run(), name="kubelatch second attempt")

    def cancel(self) -> None:
        """The first attempt is responded to, or nobody waits any more. May be repeated."""
        if self._is_over:
            return
        self._task.cancel()
        self._abort()

    def failed(self) -> None:
        """The second attempt ended without a response; the first may still get one."""
        if not self._is_over:
            self._abort()

    def _abort(self) -> None:
        if self._second is not None:
            self._second.outcome = Outcome.WITHDRAWN
        if self._stream is not None:
            self._stream.abort()
        self._end(won=False)

    async def _run(self) -> None:
        try:
            self._stream = stream = await self._exchange.open_stream()
        except KubelatchError:
            self._end(won=False)
            return
        self._second = second = self._exchange.send_on(stream)
        if second.outcome is None:
            second.on_begin = self._win

    def _win(self) -> None:
        second, stream = self._second, self._stream
        if self._is_over or second is None or stream is None:
            return
        second.on_begin = None
        self._exchange.adopt(second, stream)
        self._end(won=True)

    def _end(self, *, won: bool) -> None:
        if not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._first.on_begin = None
            self._over(won)
