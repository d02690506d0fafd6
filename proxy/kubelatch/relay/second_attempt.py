"""A request that is sent once more while its first attempt is silent.

A load balancer that has lost the API server it led to keeps our connections, acknowledges what we
send and never brings an answer. On a new connection it leads to another. Which attempt is answered
first is not known beforehand: it counts, and the other is cancelled, which the API server notices.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ..errors import KubelatchError
from ..upstream.http1 import UpstreamConnection
from .response import Answer

# Seconds that the second attempt has, from the dial on. What takes longer is slow, not dead.
_LONGEST: Final = 30.0


class SecondAttempt:
    """See the module.

    Args:
        first: the answer that does not come.
        open_connection: opens the new connection; raises KubelatchError.
        answer_on: makes the answer for it.
        send: sends the request.
        take_over: the second answer begins: it is the exchange's from now on.
        over: is called once, with True if the second attempt was answered first.
    """

    def __init__(
        self,
        first: Answer,
        open_connection: Callable[[], Awaitable[UpstreamConnection]],
        answer_on: Callable[[UpstreamConnection, Callable[[Answer], None]], Answer],
        send: Callable[[UpstreamConnection, Answer], None],
        take_over: Callable[[Answer, UpstreamConnection], None],
        over: Callable[[bool], None],
    ) -> None:
        self._first = first
        self._open = open_connection
        self._answer_on = answer_on
        self._send = send
        self._take_over = take_over
        self._over = over
        self._is_over = False
        self._connection: UpstreamConnection | None = None
        self._answer: Answer | None = None
        first.on_begin = lambda _: self.cancel()
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(_LONGEST, self.cancel)
        self._task = loop.create_task(self._run(), name="kubelatch second attempt")

    def cancel(self) -> None:
        """The first attempt is answered, or nobody waits any more. May be repeated."""
        if self._is_over:
            return
        self._task.cancel()
        if self._answer is not None:
            self._answer.withdraw()
        if self._connection is not None:
            self._connection.abort()
        self._end(won=False)

    async def _run(self) -> None:
        try:
            self._connection = connection = await self._open()
        except KubelatchError:
            # The first attempt may still be answered.
            self._end(won=False)
            return
        self._answer = answer = self._answer_on(connection, self._on_failure)
        answer.on_begin = self._win
        self._send(connection, answer)

    def _win(self, answer: Answer) -> None:
        connection = self._connection
        if self._is_over or connection is None:
            return
        answer.on_begin = None
        self._first.withdraw(answer)
        self._take_over(answer, connection)
        self._end(won=True)

    def _on_failure(self, answer: Answer) -> None:
        """It ended without an answer."""
        if self._connection is not None:
            self._connection.abort()
        self._end(won=False)

    def _end(self, *, won: bool) -> None:
        if not self._is_over:
            self._is_over = True
            self._limit.cancel()
            self._first.on_begin = None
            self._over(won)
