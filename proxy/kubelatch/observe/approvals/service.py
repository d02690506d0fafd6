"""Puts the approvals together from the flags."""

import json
from collections.abc import Callable

from ...config.settings import Settings
from ...context.reload import Reloader
from ...relay.handler import Handler
from ...relay.held import HeldExchange
from ..secret_pages import SecretPages
from .describe import Describer
from .queue import ApprovalQueue
from .routes import ApprovalRoutes


class ApprovalService:
    """The requests that wait at one proxy, and the interface that answers them.

    Args:
        settings: the flags.
        handler: of the proxy's port; its requests are held from now on.
        reloader: knows the context in use.
        pages: serve the interface.

    """

    def __init__(
        self, settings: Settings, handler: Handler, reloader: Reloader, pages: SecretPages
    ) -> None:
        def context(exchange: HeldExchange) -> str:
            return exchange.record.context or reloader.setup.config.context

        self._handler = handler
        self._queue = ApprovalQueue(settings.ask_timeout, context, Describer())
        self._routes = ApprovalRoutes(self._queue)
        pages.add(self._routes.routes)
        handler.approvals = self._queue

    @property
    def changes(self) -> int:
        """How often what waits has changed."""
        return self._queue.changes

    def listed(self) -> bytes:
        """What waits, as the interface lists it."""
        return json.dumps({"pending": self._routes.summaries()}, separators=(",", ":")).encode()

    def notify(self, on_change: Callable[[], None]) -> None:
        """Call *on_change* when what waits has changed."""
        self._queue.on_change = on_change

    def close(self) -> None:
        """Hold no more."""
        self._handler.approvals = None
        self._queue.close()
