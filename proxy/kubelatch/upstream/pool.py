"""A pool of connections to one API server.

Concurrency is not limited: every watch occupies a connection for as long as it lasts, and a limit
would block later requests (linkerd/linkerd#2251). The connection used last is taken first, so that
the others can expire.
"""

import asyncio
import math
import time
from typing import Final, Protocol

from .http1 import Http1Connection

# net/http's default. kube-apiserver closes idle connections after 180 s; closing them earlier
# makes stale ones rare.
IDLE_SECONDS: Final = 90.0
# kubectl keeps 25; a burst of 64 clients should find its connections in the pool.
MAX_IDLE: Final = 128


class Dials(Protocol):
    """Opens HTTP/1.1 connections; :class:`Dialer`."""

    @property
    def address(self) -> object:
        """Where to, for people."""
        ...

    async def dial(self, keepalive: float | None = None) -> Http1Connection:
        """See :meth:`Dialer.dial`."""
        ...


class Pool:
    """See the module.

    Args:
        dialer: opens connections.
        max_idle: how many idle connections are kept.
        idle_seconds: how long an idle connection is kept.
    """

    protocol = ""

    def __init__(
        self, dialer: Dials, *, max_idle: int = MAX_IDLE, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self.dialer = dialer
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._idle: list[Http1Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self.opened = 0
        self.reused = 0

    def __repr__(self) -> str:
        return (
            f"<Pool {self.dialer.address}: {len(self._idle)} idle, "
            f"{self.opened} opened, {self.reused} reused>"
        )

    @property
    def idle(self) -> int:
        """The number of idle connections that the upstream has not closed."""
        return sum(connection.reusable for connection in self._idle)

    def take(self) -> Http1Connection | None:
        """See :class:`Transport`."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                self.reused += 1
                return connection
        return None

    async def open(self, keepalive: float | None = None) -> Http1Connection:
        """See :class:`Transport`."""
        connection = await self.dialer.dial(keepalive)
        connection.on_release = self._release
        self.opened += 1
        return connection

    def adopt(self, connection: Http1Connection) -> None:
        """Keep a new connection that another transport has opened and cannot use."""
        connection.on_release = self._release
        self.opened += 1
        self._keep(connection)

    def _release(self, connection: Http1Connection) -> None:
        """Keep a connection whose exchange has ended, if it can be reused."""
        if connection.finish():
            self._keep(connection)
        else:
            connection.close()

    def _keep(self, connection: Http1Connection) -> None:
        if self._closed or len(self._idle) >= self._max_idle:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(self._idle_seconds / 3, self._sweep)

    def drop_idle(self, before: float = math.inf) -> None:
        """See :class:`Transport`."""
        idle, self._idle = self._idle, []
        for connection in idle:
            if connection.idle_since < before:
                connection.close()
            else:
                self._idle.append(connection)

    def close(self) -> None:
        """See :class:`Transport`."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self.drop_idle()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = time.monotonic() - self._idle_seconds
        kept = []
        for connection in self._idle:
            if connection.reusable and connection.idle_since > oldest:
                kept.append(connection)
            else:
                connection.close()
        self._idle = kept
        self._sweeper = loop.call_later(self._idle_seconds / 3, self._sweep) if kept else None
