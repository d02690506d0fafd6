"""Finds the service that a request's host names (``--service-hosts``)."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from aiohttp.http import RawRequestMessage

from ..errors import KubelatchError, UsageError
from ..gate import Gate
from ..gate.service import HostGate, ServiceGate
from ..relay.place import Content, LocalPlace, Place
from ..relay.request import ClientRequest
from .directory import Directory
from .errors import NoSuchServiceError
from .hosts import (
    START_LABEL,
    Hashed,
    ServiceName,
    is_valid,
    label_below_localhost,
    parse_label,
)
from .place import ContextPlace, ServicePlace, refuse_unnamed
from .start_page import StartPage

_START_HOST: Final = f"{START_LABEL}.localhost"
# Services at once. A further one takes the place of the one used longest ago, whose exchanges go
# on.
_MAX_PLACES: Final = 256
_SHOWN: Final = 20


class ContextPlaces(Protocol):
    """The contexts whose services are served."""

    def find(self, alias: str) -> ContextPlace | None:
        """The context with this alias."""
        ...

    @property
    def places(self) -> Sequence[ContextPlace]:
        """All of them, the chosen one first."""
        ...


class ServiceSelection(NamedTuple):
    """The value of ``--service-hosts``.

    Attributes:
        all: all services may be reached.
        named: namespaces and names of those that may, with ``--read-only`` too.
    """

    all: bool
    named: frozenset[tuple[str, str]]

    def names(self, service: ServiceName) -> bool:
        """Whether it names this service."""
        return (service.namespace, service.service) in self.named


def parse_services(items: Sequence[str]) -> ServiceSelection:
    """The value of ``--service-hosts``: ``all``, or any number of ``NAMESPACE/SERVICE``.

    Raises:
        UsageError: one of them is neither.
    """
    named = set()
    for item in items:
        namespace, _, service = item.partition("/")
        if item == "all":
            continue
        if not is_valid(ServiceName(service, namespace, "x")):
            raise UsageError(
                f"--service-hosts={item}: not a service",
                hint="say NAMESPACE/SERVICE, or all",
            )
        named.add((namespace, service))
    return ServiceSelection("all" in items, frozenset(named))


class _LookUp:
    """The place of a request whose host is a hash that has not been listed yet: it is, and then the
    request is routed again.

    Args:
        gate: judges the client.
        directory: lists services.
        label: the hash.
        contexts: may have its service.
    """

    def __init__(
        self, gate: HostGate, directory: Directory, label: str, contexts: Sequence[ContextPlace]
    ) -> None:
        self.gate = gate
        self.name = ""
        self._directory = directory
        self._label = label
        self._contexts = contexts

    def current(self) -> None:
        """Never any."""

    async def prepare(self) -> None:
        """See :class:`Place`."""
        await self._directory.look_up(self._label, self._contexts)


class ServiceRouter:
    """Finds the place of a request by its host; see :class:`Router`.

    Args:
        selection: which services are served.
        contexts: whose services.
        chosen: the chosen context, whose gate judges clients of hosts that name no service.
        user_agent: our own name.
    """

    def __init__(
        self,
        selection: ServiceSelection,
        contexts: ContextPlaces,
        chosen: Callable[[], Gate],
        *,
        user_agent: bytes,
    ) -> None:
        self._selection = selection
        self._contexts = contexts
        self._chosen = chosen
        self._user_agent = user_agent
        self._places: OrderedDict[str, ServicePlace] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._directory = Directory()
        self._start_page = StartPage(self._directory, lambda: contexts.places, self._permits)

    def route(self, message: RawRequestMessage) -> Place | LocalPlace | None:
        """See :class:`Router`."""
        host = message.headers.get("Host", "")
        label = label_below_localhost(host)
        if label is None:
            return None
        place = self._places.get(label)
        if place is not None and self._contexts.find(place.name) is place.context:
            self._places.move_to_end(label)
            return place
        try:
            return self._find(label)
        except KubelatchError as error:
            return self._local(_raising(error))

    def on_suspend(self) -> None:
        """The machine was suspended, and connections may be dead."""
        for place in self._places.values():
            place.on_suspend()

    def close(self) -> Awaitable[object]:
        """Close all connections to services."""
        for task in self._closing:
            task.cancel()
        places = [place.close() for place in self._places.values()]
        self._places.clear()
        return asyncio.gather(*places, *self._closing, return_exceptions=True)

    def _find(self, label: str) -> Place | LocalPlace:
        if label == START_LABEL:
            return LocalPlace(HostGate(self._chosen()), self._start_page.respond, "start-page")
        name = parse_label(label)
        if isinstance(name, Hashed):
            listed = self._directory.known(label)
            if listed is None:
                contexts = self._contexts.places
                return _LookUp(HostGate(self._chosen()), self._directory, label, contexts)
            name = listed
        context = self._contexts.find(name.context)
        if context is None:
            served = [each.name for each in self._contexts.places]
            more = f" and {len(served) - _SHOWN} more" if len(served) > _SHOWN else ""
            raise NoSuchServiceError(
                f"there is no context {name.context}",
                hint=f"there are: {', '.join(served[:_SHOWN])}{more}",
            )
        place = ServicePlace(context, name, self._gate, user_agent=self._user_agent)
        former = self._places.pop(label, None)
        self._places[label] = place
        if former is not None:
            self._end(former)
        if len(self._places) > _MAX_PLACES:
            # Names of which nothing was let in first: any page can make up names.
            idle = (each for each, known in self._places.items() if not known.connected)
            last = next(idle)
            self._end(self._places.pop(last if last != label else next(iter(self._places))))
        return place

    def _permits(self, context: ContextPlace, name: ServiceName) -> bool:
        return self._gate(context.gate, name).permits

    def _end(self, place: ServicePlace) -> None:
        task = asyncio.get_running_loop().create_task(place.leave(), name="kubelatch service end")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _gate(self, gate: Gate, service: ServiceName) -> ServiceGate:
        selection = self._selection
        named = selection.names(service)
        return ServiceGate(
            gate,
            _START_HOST,
            service=service.service,
            namespace=service.namespace,
            named=named,
            refusal=None if named or selection.all else refuse_unnamed(service),
        )

    def _local(self, respond: Callable[[ClientRequest], Awaitable[Content]]) -> LocalPlace:
        return LocalPlace(HostGate(self._chosen()), respond, "service-hosts")


def _raising(error: KubelatchError) -> Callable[[ClientRequest], Awaitable[Content]]:
    async def respond(_: ClientRequest) -> Content:
        raise error

    return respond
