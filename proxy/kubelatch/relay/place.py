"""Where a request goes, if it is not the chosen context: another cluster, or pages of our own.

A router finds the place by the request's target or host. It is asked for every request, so it must
be quick, and it neither refuses nor waits: each place has a gate of its own, which judges the
client before the place does or says anything.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from aiohttp.http import RawRequestMessage

from ..gate import Judge
from ..gate.decision import ResponseHeaders
from ..upstream.generation import Generation
from .request import ClientRequest


class Place(Protocol):
    """An upstream with a gate of its own."""

    @property
    def name(self) -> str:
        """The context's alias, for log and metrics."""
        ...

    @property
    def gate(self) -> Judge:
        """Decides. Before the place is prepared, it decides whose requests may prepare it."""
        ...

    def current(self) -> Generation | None:
        """The generation for an exchange that begins now; None: :meth:`prepare` has to make it."""
        ...

    async def prepare(self) -> None:
        """Make the generation; several requests may wait for it at once, and any be cancelled.

        Raises:
            KubelatchError: it cannot be made now.
        """
        ...


class Content(NamedTuple):
    """A response of a local place.

    Attributes:
        status: HTTP status.
        body: all of it.
        content_type: its media type.
        fields: more header fields.
    """

    status: int
    body: bytes
    content_type: str
    fields: ResponseHeaders = ()


class LocalPlace(NamedTuple):
    """Responses of our own.

    Attributes:
        gate: judges the client, and what it asks for.
        respond: makes the response to a request that the gate allows; raises KubelatchError.
        rule: names the place in the log.
    """

    gate: Judge
    respond: Callable[[ClientRequest], Awaitable[Content]]
    rule: str


class Router(Protocol):
    """Finds the place of a request."""

    def route(self, message: RawRequestMessage) -> Place | LocalPlace | None:
        """The place; None for the chosen context. Never raises: a target or host that leads
        nowhere is a local place whose ``respond`` says so."""
        ...


class Routers:
    """Several routers as one; the first that knows the place decides.

    Args:
        routers: in order.
    """

    def __init__(self, *routers: Router) -> None:
        self._routers = routers

    def route(self, message: RawRequestMessage) -> Place | LocalPlace | None:
        """See :class:`Router`."""
        for router in self._routers:
            place = router.route(message)
            if place is not None:
                return place
        return None
