"""Requests that wait for their place, before there is an upstream to send them to."""

from collections.abc import Awaitable, Callable
from functools import partial

from ..gate import Allowed
from ..gate.decision import ResponseHeaders
from . import local
from .client import ClientProtocol
from .exchange import Exchange
from .place import Content, LocalPlace, Place
from .record import Record
from .registry import Registry
from .request import ClientRequest


class Preparation(Exchange):
    """Waits until a place is prepared, and hands over; a place that cannot be fails it."""

    __slots__ = ()

    def begin(self, place: Place, again: Callable[[], None]) -> None:
        """Wait for *place*.

        Args:
            place: has no generation yet.
            again: begins with the request once more, as if it had come now.
        """

        def go_on(_: None) -> None:
            self.hand_over()
            again()

        self._wait(place.prepare, go_on)


class LocalExchange(Exchange):
    """The exchange of a request that a local place responds to."""

    __slots__ = ()

    def begin(self, place: LocalPlace, extra: ResponseHeaders) -> None:
        """Wait for the response, and send it with *extra* fields."""

        def respond() -> Awaitable[Content]:
            return place.respond(self.request)

        self._wait(respond, partial(self._send, place.rule, extra))

    def _send(self, rule: str, extra: ResponseHeaders, content: Content) -> None:
        self.record.rule = rule
        self.keep_alive = local.send(
            self.client,
            self.request,
            content.status,
            content.body,
            self.record,
            content_type=content.content_type,
            fields=content.fields + extra,
            last=self.registry.draining,
        )
        self._finish()


def begin_elsewhere(
    place: Place | LocalPlace,
    client: ClientProtocol,
    request: ClientRequest,
    record: Record,
    registry: Registry,
    allowed: Allowed,
    again: Callable[[], None],
) -> None:
    """Begin the exchange of a request that is allowed, in a place without a generation."""
    if isinstance(place, LocalPlace):
        exchange = LocalExchange(client, request, record, registry)
        exchange.begin(place, allowed.response_headers)
    else:
        Preparation(client, request, record, registry).begin(place, again)
