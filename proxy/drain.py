"""The way out: what is under way is ended, each kind as it can be ended honestly.

A plain exchange comes to its own end, and a tunnel may take all of the time. A watch that the
proxy ends between two events is ended as the API server ends one, and its client asks again
without an error; that is done when nothing but watches is left. A log that is followed would look
whole at any line, so it is cut like everything else that is not over in time.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, cast

from .answer import Answer
from .client_connection import ClientConnection
from .client_server import ClientServer
from .errors import UpstreamTimeoutError
from .record import Record

# How often we look who is left, in seconds: seldom enough for a thousand watches.
_LOOK: Final = 0.02
# To accept a connection, read from it and begin with its request takes a few turns of the loop.
_TURNS: Final = 10


async def let_in() -> None:
    """Begin with what clients have sent already: closing the listener would refuse those in its
    queue, and closing idle connections would lose the requests that nobody has read."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def finish(server: ClientServer, seconds: float, is_watch: Callable[[Record], bool]) -> None:
    """Wait until every client has its answer and has gone; what is not over in time is cut.

    Args:
        server: accepts no more.
        seconds: how long that may take.
        is_watch: whether an exchange is a watch.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    server.pre_shutdown()
    while connections := cast("list[ClientConnection]", server.connections):
        for connection in connections:
            if connection.idle:
                connection.force_close()
        watches = [answer for answer in answers(server) if is_watch(answer.record)]
        left = deadline - loop.time()
        if len(watches) == len(connections) or left <= 0:
            for answer in watches:
                answer.end_between_events()
        if left <= 0:
            _cut(answers(server))
            return
        await asyncio.sleep(min(_LOOK, left))


def answers(server: ClientServer) -> Iterable[Answer]:
    """The answers that clients are getting, or wait for."""
    for connection in server.connections:
        if isinstance(connection, ClientConnection) and isinstance(connection.writer, Answer):
            yield connection.writer


def _cut(late: Iterable[Answer]) -> None:
    for answer in late:
        # Whether the request has been carried out is not known: 504 rather than 503, which says
        # that it may be sent again.
        error = UpstreamTimeoutError(
            "the proxy was stopped before the API server had answered",
            cause="draining",
            hint="--drain-timeout allows more time. It may have been carried out all the same: "
            "look before you repeat a change",
        )
        answer.fail(error)
