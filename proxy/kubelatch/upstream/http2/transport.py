"""The HTTP/2 connections to one API server with one TLS identity.

A stream is put on the fullest connection that has room; where none has, one more is dialled. While
the server allows a hundred streams, a thousand watches take ten connections. Where there is no
HTTP/2, that is found out once, and callers are sent to the pool of HTTP/1.1 connections, to which
the connection that was dialled for it goes.

This module is imported with the program, and so imports the rest of the package when it is needed.
"""

import asyncio
import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from ...system.suspend import SuspendClock
from ..dial import Dialer
from ..http1 import Http1Connection
from ..pool import Pool
from ..transport import Http1OnlyError, Stream

if TYPE_CHECKING:
    from .connection import Http2Connection
    from .stream import Http2Stream

log = logging.getLogger(__name__)

_TICK: Final = 1.0
# At once. The first is waited for: it tells whether there is HTTP/2, and its session is resumed.
_MAX_DIALS: Final = 16


class Http2Transport:
    """See :class:`Transport`.

    Args:
        dialer: reaches the same server with HTTP/1.1; it is asked for one that offers HTTP/2.
        pool: gets a connection on which the server speaks HTTP/1.1; None: it is closed.

    Attributes:
        declined: there is no HTTP/2 to this server; :meth:`open` raises Http1OnlyError.
    """

    protocol = "h2"

    def __init__(self, dialer: Dialer, pool: Pool | None = None) -> None:
        self.declined = False
        self._plain_dialer = dialer
        self._pool = pool
        self._dialer: Dialer | None = None
        self._connections: list[Http2Connection] = []
        self._waiters: deque[asyncio.Future[Http2Stream]] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        # How many streams a connection has room for, as far as is known; 0: nothing is known.
        self._room = 0
        self._ticker: asyncio.TimerHandle | None = None
        self._clock = SuspendClock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Http2Transport: {len(self._connections)} connections, {self.streams} streams>"

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    @property
    def streams(self) -> int:
        """The number of streams on them."""
        return sum(connection.places for connection in self._connections)

    @property
    def idle(self) -> int:
        """See :class:`Transport`."""
        return sum(c.available and not c.places for c in self._connections)

    def take(self) -> "Http2Stream | None":
        """See :class:`Transport`; on a connection that is in use already, too."""
        if self._clock.was_suspended():
            self.on_suspend()
        return self._take()

    async def open(self, keepalive: float | None = None) -> Stream:
        """See :class:`Transport`; on a connection that is in use already, if one has room again."""
        stream = self.take()
        if stream is not None:
            return stream
        if self.declined:
            raise _http1_only()
        waiter: asyncio.Future[Http2Stream] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._dial_if_needed()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().abort()
            self._end_unneeded_dials()
            raise

    def drop_idle(self, before: float = math.inf) -> None:
        """See :class:`Transport`. Those in use are asked for a sign of life."""
        for connection in list(self._connections):
            if connection.places:
                connection.probe()
            else:
                connection.leave()

    def on_suspend(self) -> None:
        """The machine was suspended: nothing is put on a connection until it shows life."""
        for connection in list(self._connections):
            connection.probe(suspend=True)

    def close(self) -> None:
        """See :class:`Transport`."""
        self._closed = True
        for connection in list(self._connections):
            connection.leave()
        self._on_change()
        self._end_unneeded_dials()

    def _take(self) -> "Http2Stream | None":
        found = None
        for connection in self._connections:
            if connection.available and (found is None or connection.places > found.places):
                found = connection
        return found.stream() if found is not None else None

    def _dial_if_needed(self) -> None:
        """Dial as many connections as those that wait need."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        needed = math.ceil(waiting / self._room) if self._room else min(waiting, 1)
        while len(self._dials) < min(needed, _MAX_DIALS):
            task = asyncio.get_running_loop().create_task(self._dial(), name="kubelatch dial")
            self._dials.add(task)
            task.add_done_callback(self._dialled)

    def _end_unneeded_dials(self) -> None:
        """After :meth:`close`, dial for those alone that wait."""
        if self._closed and all(waiter.done() for waiter in self._waiters):
            for task in self._dials:
                task.cancel()

    async def _dial(self) -> None:
        """Dial, and put the connection among the others."""
        if self._dialer is None:
            prepared = await asyncio.to_thread(_prepare, self._plain_dialer)
            if prepared is None:
                self._decline("the library hpack is not there")
                return
            self._dialer = prepared
        from .connection import ASSUMED_STREAMS, Http2Connection  # noqa: PLC0415 -- see the module

        connection = await self._dialer.dial_protocol(
            lambda explain: Http2Connection(explain, self._on_change, self._room or ASSUMED_STREAMS)
        )
        if not connection.negotiated:
            self._decline("the API server does not offer it")
            self._hand_over(connection)
            return
        self._room = self._room or connection.allowed
        self._connections.append(connection)
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)
        self._serve()
        if self._closed:
            connection.leave()

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dials.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            # Those that this connection would have had room for; the others have theirs.
            self._fail(error, self._room or len(self._waiters))
        self._on_change()

    def _hand_over(self, connection: "Http2Connection") -> None:
        """Let the pool have a connection on which the server speaks HTTP/1.1."""
        transport = connection.transport
        if transport is None:
            return
        plain = Http1Connection(connection.explain)
        transport.set_protocol(plain)
        plain.connection_made(transport)
        if self._pool is not None:
            self._pool.adopt(plain)
        else:
            plain.close()

    def _on_change(self) -> None:
        """Connections, or their room, have changed."""
        for connection in self._connections:
            if connection.allowed == 0:
                self._decline("the API server allows no streams")
            elif connection.broken and not connection.answered:
                self._decline(connection.broken)
        kept = [c for c in self._connections if c.transport is not None]
        self._connections[:] = kept
        if kept:
            self._room = kept[-1].allowed or self._room
        elif self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        if self._waiters:
            self._serve()
            self._dial_if_needed()

    def _serve(self) -> None:
        """Give streams to those that wait, first come, first served."""
        while self._waiters:
            if not self._waiters[0].done():
                stream = self._take()
                if stream is None:
                    return
                self._waiters[0].set_result(stream)
            del self._waiters[0]

    def _fail(self, error: BaseException, count: int) -> None:
        while self._waiters and count > 0:
            waiter = self._waiters.popleft()
            if not waiter.done():
                count -= 1
                if isinstance(error, asyncio.CancelledError):
                    waiter.cancel()
                else:
                    waiter.set_exception(error)

    def _decline(self, why: str) -> None:
        """Use HTTP/1.1 from now on."""
        if not self.declined:
            self.declined = True
            log.info("watches go over HTTP/1.1, not HTTP/2: %s", why)
            for connection in list(self._connections):
                connection.leave()
        self._fail(_http1_only(), len(self._waiters))

    def tick(self) -> None:
        """Called once a second while there are connections; see :meth:`Http2Connection.tick`."""
        if self._clock.was_suspended():
            self.on_suspend()
        for connection in list(self._connections):
            connection.tick()
        self._on_change()

    def _tick(self) -> None:
        self._ticker = None
        self.tick()
        if self._connections:
            self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)


def _prepare(dialer: Dialer) -> Dialer | None:
    """A dialler that offers HTTP/2; None if the library is not there. Blocks."""
    try:
        from . import connection  # noqa: F401, PLC0415 -- see the module
    except ImportError:
        return None
    return dialer.offering_http2()


def _http1_only() -> Http1OnlyError:
    return Http1OnlyError("there is no HTTP/2 to the API server")
