"""What a proxy serves beside the chosen context: other contexts by path, services by host name.

Nothing of it is imported unless a flag asks for it.
"""

from typing import TYPE_CHECKING

from .context.assembly import Assembler
from .context.reload import Reloader
from .relay.handler import Handler
from .relay.registry import Registry
from .system.supervision import Supervisor

if TYPE_CHECKING:
    from .clusters.service import Clusters
    from .context.contexts import Contexts
    from .services.router import ServiceRouter


class Places:
    """See the module.

    Args:
        source: makes the chosen context.
        chosen: holds it.
        supervisor: runs what is periodical.
        registry: holds the exchanges.
    """

    def __init__(
        self, source: Assembler, chosen: Reloader, supervisor: Supervisor, registry: Registry
    ) -> None:
        self._source = source
        self._chosen = chosen
        self._supervisor = supervisor
        self._registry = registry
        self._clusters: Clusters | None = None
        self._services: ServiceRouter | None = None

    @property
    def contexts(self) -> "Contexts | None":
        """The contexts of ``--contexts``; None without it."""
        return self._clusters.contexts if self._clusters is not None else None

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Rows for a person on the contexts that are served, which are not sanitized."""
        return self._clusters.rows if self._clusters is not None else []

    async def start(self) -> None:
        """Read which contexts there are.

        Raises:
            KubelatchError: a flag or a file cannot be used.
        """
        if self._source.settings.contexts:
            from .clusters.service import Clusters  # noqa: PLC0415 -- seldom used

            self._clusters = Clusters(self._source, self._chosen, self._supervisor, self._registry)
            await self._clusters.contexts.start()

    def connect(self, handler: Handler) -> None:
        """Let *handler* send requests there.

        Raises:
            UsageError: a flag is invalid.
        """
        settings = self._source.settings
        if self._clusters is not None:
            self._clusters.connect(handler)
        if settings.service_hosts:
            from .services.setup import connect  # noqa: PLC0415 -- seldom used

            self._services = connect(handler, settings, self._chosen, self.contexts)

    async def reload(self) -> None:
        """Read the files of all contexts in use."""
        if self._clusters is not None:
            await self._clusters.contexts.reload()

    def on_suspend(self) -> None:
        """The machine was suspended, and connections may be dead."""
        if self._services is not None:
            self._services.on_suspend()
        if self._clusters is not None:
            self._clusters.contexts.on_suspend()

    async def stop(self) -> None:
        """Close everything. May be repeated."""
        if self._services is not None:
            await self._services.close()
            self._services = None
        if self._clusters is not None:
            await self._clusters.contexts.stop()
            self._clusters = None
