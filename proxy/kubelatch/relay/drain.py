"""The way out: what is under way is ended, each kind as it can be ended honestly.

A plain exchange comes to its own end, and a tunnel may take all of the time. A watch that the
proxy ends between two events is ended as the API server ends one, and its client asks again
without an error; that is done when nothing but watches is left. A log that is followed would look
whole at any line, so it is cut like everything else that is not over in time. Who has got nothing
by then is told so, and a client that has not taken all of its answer gets a reset: behind half an
answer, the end of a connection can look like the answer's.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final, cast

from ..errors import KubelatchError, UpstreamError, UpstreamTimeoutError
from ..observe.record import Record
from ..upstream.http1 import linger_zero
from .client import ClientConnection
from .response import Answer
from .server import ClientServer

# How often we look who is left, in seconds: seldom enough for a thousand watches.
_LOOK: Final = 0.02
# To accept a connection, read from it and begin with its request takes a few turns of the loop;
# so does to end a request with an error, and to write that.
_TURNS: Final = 10
# A client that is still sending when it is answered may take this long to see it, in seconds.
_LINGER: Final = 0.5
# How long the tasks that are given up may take to end, in seconds.
_LAST_WORDS: Final = 1.0


class StoppedError(UpstreamError):
    """The proxy was stopped before anything had gone to the API server: any other instance, or
    the next, may be asked the same."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "draining"
    passing = True


def too_late(record: Record) -> KubelatchError:
    """Why a request is not answered whose time is up."""
    if record.connects or record.reused or record.retries:
        # Whether the request has been carried out is not known: 504 rather than 503, which says
        # that it may be sent again.
        return UpstreamTimeoutError(
            "the proxy was stopped before the API server had answered",
            cause="draining",
            hint="--drain-timeout allows more time. It may have been carried out all the same: "
            "look before you repeat a change",
        )
    return StoppedError(
        "the proxy was stopped before the request had been sent",
        hint="--drain-timeout allows more time. The API server has not seen it: it may be repeated",
    )


async def let_in() -> None:
    """Begin with what clients have sent already: closing the listener would refuse those in its
    queue, and closing idle connections would lose the requests that nobody has read."""
    await _turns()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def finish(
    server: ClientServer,
    seconds: float,
    is_watch: Callable[[Record], bool],
    give_up: Callable[[], Collection[asyncio.Task[object]]],
) -> None:
    """Wait until every client has its answer and has gone; what is not over in time is cut.

    Args:
        server: accepts no more.
        seconds: how long that may take.
        is_watch: whether an exchange is a watch.
        give_up: begins to end the requests that wait for something else than their answer, and
            returns the tasks which are about to end.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    server.pre_shutdown()
    while connections := cast("list[ClientConnection]", server.connections):
        for connection in connections:
            if connection.idle or _served(connection, loop.time()):
                connection.force_close()
        watches = [answer for answer in answers(server) if is_watch(answer.record)]
        left = deadline - loop.time()
        if len(watches) == len(connections) or left <= 0:
            for answer in watches:
                answer.end_between_events()
        if left <= 0:
            await _end(server, give_up)
            return
        await asyncio.sleep(min(_LOOK, left))


def answers(server: ClientServer) -> Iterable[Answer]:
    """The answers that clients are getting, or wait for."""
    for connection in server.connections:
        if isinstance(connection, ClientConnection) and isinstance(connection.writer, Answer):
            yield connection.writer


def let_nothing_look_whole(server: ClientServer) -> None:
    """Let the end of this process reset every connection on which something is under way."""
    for connection, transport in _transports(server):
        if transport.get_write_buffer_size() or not (connection.idle or connection.leaving):
            linger_zero(transport)


def _served(connection: ClientConnection, now: float) -> bool:
    """It has its last answer, and goes on with its request: nothing is under way any more."""
    said_all = connection.said_all
    return said_all is not None and connection.tunnel is None and now - said_all > _LINGER


def _transports(server: ClientServer) -> Iterable[tuple[ClientConnection, asyncio.Transport]]:
    """Those that are not lost; aiohttp's connection forgets its own as soon as that is closed,
    however much of an answer is still in it."""
    for connection, transport in list(server._connections.items()):
        yield cast("ClientConnection", connection), transport


async def _end(
    server: ClientServer, give_up: Callable[[], Collection[asyncio.Task[object]]]
) -> None:
    for answer in list(answers(server)):
        answer.fail(too_late(answer.record))
    await _turns()
    if tasks := give_up():
        await asyncio.wait(tasks, timeout=_LAST_WORDS)
        # What they wrote last goes out at the end of a turn.
        await _turns()
    for _, transport in _transports(server):
        if transport.get_write_buffer_size():
            linger_zero(transport)
            transport.abort()
