"""Puts together what ``--contexts`` adds to a proxy."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..config.settings import Settings
from ..context.contexts import Contexts
from ..context.reload import Reloader
from ..kubeconfig import DiskFiles
from ..kubeconfig.merge import Parse
from ..relay.drain import leave
from ..relay.handler import Handler
from ..relay.registry import Registry
from ..system.supervision import Supervisor
from .listing import rows
from .router import ClusterRouter


class Clusters:
    """All contexts of one proxy, and the way to them.

    Args:
        settings: the flags.
        environ: the environment.
        files: reads files.
        parse: makes entries of kubeconfig files, for the chosen context too.
        kubeconfig: a kubeconfig as a mapping, instead of files.
        chosen: holds the chosen context.
        supervisor: runs what is periodical.
        registry: holds the exchanges.

    Attributes:
        contexts: the served ones.

    Raises:
        UsageError: a value of ``--contexts`` has no meaning.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        files: DiskFiles,
        parse: Parse,
        kubeconfig: Mapping[str, Any] | None,
        chosen: Reloader,
        supervisor: Supervisor,
        registry: Registry,
    ) -> None:
        self.contexts = Contexts(
            settings,
            environ,
            files,
            parse,
            kubeconfig,
            chosen,
            supervisor,
            partial(_leave, registry, settings.drain_timeout),
        )
        self.router = ClusterRouter(self.contexts, lambda: chosen.setup.gate)

    def connect(self, handler: Handler) -> None:
        """Let *handler* send requests to all contexts."""
        handler.router = self.router
        handler.context = self.contexts.chosen_alias

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Rows for a person: what is served where, and what is refused there."""
        return list(rows(self.contexts.places))


async def _leave(registry: Registry, seconds: float, alias: str) -> None:
    await leave(registry, alias, seconds)
