"""Puts services by host name into a proxy."""

from collections.abc import Sequence
from typing import Final

from ..config.settings import Settings
from ..context.assembly import user_agent
from ..context.reload import Reloader
from ..gate import Gate
from ..kubeconfig.aliases import alias_of
from ..relay.handler import Handler
from ..relay.place import Routers
from ..upstream.generation import Generation
from .place import ContextPlace
from .router import ContextPlaces, ServiceRouter, parse_services

_NAMELESS: Final = "default"
"""The alias of a context without a name, as in a pod."""


class OnlyContext:
    """The chosen context; see :class:`ContextPlace`.

    Args:
        name: its alias.
        reloader: holds it.
    """

    def __init__(self, name: str, reloader: Reloader) -> None:
        self.name = name
        self._reloader = reloader

    @property
    def gate(self) -> Gate:
        """See :class:`ContextPlace`."""
        return self._reloader.setup.gate

    def current(self) -> Generation:
        """See :class:`ContextPlace`."""
        return self._reloader.current()

    async def prepare(self) -> None:
        """It is prepared at the start."""


class OnlyContexts:
    """The contexts where one alone is served; see :class:`ContextPlaces`.

    Args:
        reloader: holds it.
    """

    def __init__(self, reloader: Reloader) -> None:
        name = alias_of(reloader.setup.config.context)
        self._only = OnlyContext(name or _NAMELESS, reloader)

    def find(self, alias: str) -> ContextPlace | None:
        """See :class:`ContextPlaces`."""
        return self._only if alias == self._only.name else None

    @property
    def places(self) -> Sequence[ContextPlace]:
        """See :class:`ContextPlaces`."""
        return [self._only]


def connect(
    handler: Handler,
    settings: Settings,
    reloader: Reloader,
    contexts: ContextPlaces | None,
) -> ServiceRouter:
    """Let *handler* send requests to services.

    Args:
        handler: gets a router that looks at hosts before any other.
        settings: the flags.
        reloader: holds the chosen context.
        contexts: those that are served; None: the chosen one.

    Raises:
        UsageError: a flag is invalid.
    """
    served = contexts or OnlyContexts(reloader)
    router = ServiceRouter(
        parse_services(settings.service_hosts),
        served,
        lambda: reloader.setup.gate,
        user_agent=user_agent(),
    )
    handler.router = router if handler.router is None else Routers(router, handler.router)
    handler.context = handler.context or served.places[0].name
    return router
