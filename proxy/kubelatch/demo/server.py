"""The demo's face: start it, get its address and credentials, stop it.

It runs inside the process and the event loop of its caller, listens on loopback, and knows
nothing of a proxy in front of it. Importing this costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .access import DemoAccess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from .arrivals import OnRequest
    from .boot import Running


@dataclass(slots=True, kw_only=True)
class DemoServer:
    """A Kubernetes API server in a box.

    Args:
        host: the address to listen on.
        port: the port; 0 lets the system choose.
        on_request: called before each request is handled; see :mod:`.arrivals`.
        log_interval: seconds between two lines of a container's log.
        start_delay: seconds until a scheduled pod runs, and until a deleted one is gone.
        history: how many changes a watch can resume over; older ones get 410.
        seed: makes names and uids the same in each run.
        load: files with more objects, as YAML or JSON.
    """

    host: str = "127.0.0.1"
    port: int = 0
    on_request: OnRequest | None = None
    log_interval: float = 2.0
    start_delay: float = 0.5
    history: int = 2048
    seed: int | None = None
    load: Sequence[str] = ()
    _running: Running | None = field(default=None, init=False, repr=False)

    async def start(self) -> DemoAccess:
        """Listen, and return how to connect.

        Raises:
            DemoError: an object cannot be loaded.
            OSError: the address cannot be listened on.
            RuntimeError: it is running already.
        """
        if self._running is not None:
            raise RuntimeError("the demo is running already")
        from .boot import boot  # noqa: PLC0415 - heavy, and needed from here on only

        self._running = await boot(self)
        return self._running.access

    async def stop(self) -> None:
        """Stop listening, end watches and streams, leave no task running. May be called twice."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    async def __aenter__(self) -> DemoAccess:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
