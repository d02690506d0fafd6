"""Puts together what ``--contexts`` adds to a proxy."""

from functools import partial

from ..context.assembly import Assembler
from ..context.contexts import Contexts
from ..context.reload import Reloader
from ..relay.drain import leave
from ..relay.handler import Handler
from ..relay.registry import Registry
from ..system.supervision import Supervisor
from .listing import rows
from .router import ClusterRouter


class Clusters:
    """All contexts of one proxy, and the way to them.

    Args:
        source: makes the chosen context.
        chosen: holds it.
        supervisor: runs what is periodical.
        registry: holds the exchanges.

    Attributes:
        contexts: the served ones.

    Raises:
        UsageError: a value of ``--contexts`` has no meaning.
    """

    def __init__(
        self,
        source: Assembler,
        chosen: Reloader,
        supervisor: Supervisor,
        registry: Registry,
    ) -> None:
        seconds = source.settings.drain_timeout
        self.contexts = Contexts(
            source,
            chosen,
            supervisor,
            partial(_leave, registry, seconds),
            lambda: {record.context for record in registry.records},
        )
        self.router = ClusterRouter(self.contexts, lambda: chosen.setup.gate)

    def connect(self, handler: Handler) -> None:
        """Let *handler* send requests to all contexts."""
        handler.router = self.router
        handler.find_gate = self.router.gate_of
        self.contexts.on_change = handler.judge_held_again
        handler.context = self.contexts.chosen_alias

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Rows for a person: what is served where, and what is refused there."""
        return list(rows(self.contexts.places))


async def _leave(registry: Registry, seconds: float, alias: str) -> None:
    await leave(registry, alias, seconds)
