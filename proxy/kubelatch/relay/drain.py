"""Draining: what is under way is ended, each kind as it can be ended honestly.

A plain exchange comes to its own end, and a tunnel may take all of the time. A watch that the
proxy ends between two events is ended as the API server ends one, and its client asks again
without an error; that is done when nothing but watches is left. A log that is followed would look
whole at any line, so it is cut like everything else that is not over in time. A client that has
got nothing by then is sent why, and one that has not taken all of its response gets a reset: after
half a response, the end of a connection can look like the response's.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from ..errors import KubelatchError, UpstreamError, UpstreamTimeoutError
from ..upstream.http1 import linger_zero
from .client import ClientProtocol
from .kind import Kind
from .record import Record
from .registry import Registry
from .server import ClientServer
from .states import State

# How often the clients that are left are checked, in seconds: seldom enough for a thousand watches.
_INTERVAL: Final = 0.02
# To accept a connection, read from it and begin with its request takes a few turns of the loop;
# so does to end a request with an error, and to write that.
_TURNS: Final = 10
# A client that is still sending when it has its response may take this long to see it, in seconds.
_LINGER: Final = 0.5
# Of the exchanges of each kind that a drain waits for.
_NAMED: Final = 3
_REQUESTS: Final = ("request", "requests")
_KINDS: Final = {
    Kind.WATCH: ("watch", "watches"),
    Kind.LOG: ("followed log", "followed logs"),
    Kind.UPGRADE: ("tunnel", "tunnels"),
}
_ORDER: Final = (_REQUESTS, *_KINDS.values())


class StoppedError(UpstreamError):
    """The proxy was stopped before anything had gone to the API server: any other instance, or
    the next, may be asked the same."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "draining"
    transient = True


def too_late(record: Record, why: str = "the proxy was stopped") -> KubelatchError:
    """The error of a request that is not over when the time to drain is up.

    Args:
        record: of the request.
        why: it is drained.
    """
    if record.connects or record.reused or record.retries:
        # Whether the request has been carried out is not known: 504 rather than 503, which says
        # that it may be sent again.
        return UpstreamTimeoutError(
            f"{why} before the API server had responded",
            cause="draining",
            hint="--drain-timeout allows more time. It may have been carried out all the same: "
            "look before you repeat a change",
        )
    return StoppedError(
        f"{why} before the request had been sent",
        hint="--drain-timeout allows more time. The API server has not seen it: it may be repeated",
    )


async def accept_pending() -> None:
    """Begin with what clients have sent already: closing the listener would refuse those in its
    queue, and closing idle connections would lose requests that have not been read."""
    await _turns()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def finish(server: ClientServer, registry: Registry, seconds: float) -> None:
    """Wait until every client has its response and has gone; what is not over in time is cut.

    Args:
        server: accepts no more.
        registry: its exchanges.
        seconds: how long that may take.
    """
    for exchange in registry:
        exchange.drain()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    server.end_handshakes()
    while clients := server.connections:
        for client in clients:
            if client.waits_for_request or _has_lingered(client, loop.time()):
                client.close()
        watches = [exchange for exchange in registry if exchange.kind is Kind.WATCH]
        left = deadline - loop.time()
        if len(watches) == len(clients) or left <= 0:
            for exchange in watches:
                if exchange.attempt is not None:
                    exchange.attempt.end_between_events()
        if left <= 0:
            await _end(server, registry)
            return
        await asyncio.sleep(min(_INTERVAL, left))


async def leave(registry: Registry, context: str, seconds: float) -> None:
    """End what is under way in one context, each exchange as at a drain; clients stay.

    Args:
        registry: holds the exchanges.
        context: the context's alias. Exchanges that begin after this call are not ended.
        seconds: how long that may take.
    """
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while exchanges := [
        exchange
        for exchange in registry
        if exchange.record.context == context and exchange.record.started <= began
    ]:
        left = deadline - loop.time()
        for exchange in exchanges:
            attempt = exchange.attempt
            watch = exchange.kind is Kind.WATCH
            ended = watch and attempt is not None and attempt.end_between_events()
            if left <= 0 and not ended:
                exchange.fail(too_late(exchange.record, "the context was removed"))
        if left <= 0:
            return
        await asyncio.sleep(min(_INTERVAL, left))


def let_nothing_look_whole(server: ClientServer) -> None:
    """Let the end of this process reset every connection on which something is under way."""
    for client in server.connections:
        transport = client.transport
        if transport is not None and (
            transport.get_write_buffer_size()
            or not (client.waits_for_request or client.state is State.CLOSED)
        ):
            linger_zero(transport)


def _has_lingered(client: ClientProtocol, now: float) -> bool:
    """It has its last response, and goes on with its request: nothing is under way any more."""
    since = client.half_closed_at
    return client.state is State.LINGER and since is not None and now - since > _LINGER


async def _end(server: ClientServer, registry: Registry) -> None:
    for exchange in registry:
        exchange.fail(too_late(exchange.record))
    # What was written last goes out at the end of a turn.
    await _turns()
    for client in server.connections:
        transport = client.transport
        if transport is not None and transport.get_write_buffer_size():
            linger_zero(transport)
            transport.abort()


def in_flight(registry: Registry, name_of: Callable[[Record], str]) -> str:
    """The exchanges in flight by kind, as ``1 tunnel (pods/exec shop/web)``; may be empty.

    Args:
        registry: holds them.
        name_of: returns what a request is about.
    """
    kinds: dict[tuple[str, str], list[Record]] = {}
    for exchange in registry:
        kinds.setdefault(_KINDS.get(exchange.kind, _REQUESTS), []).append(exchange.record)
    return ", ".join(
        f"{len(records)} {one if len(records) == 1 else many} ({_names(records, name_of)})"
        for (one, many), records in sorted(kinds.items(), key=lambda item: _ORDER.index(item[0]))
    )


def _names(records: list[Record], name_of: Callable[[Record], str]) -> str:
    names = [name_of(record) for record in records[:_NAMED]]
    return ", ".join(names if len(records) <= _NAMED else [*names, "..."])
