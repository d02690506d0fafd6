"""The choice of the event loop."""

import asyncio
from collections.abc import Callable

from ..errors import UsageError
from .threads import DaemonExecutor


def loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """A factory of event loops, whose default executor is a :class:`DaemonExecutor`.

    Args:
        choice: ``uvloop``, ``asyncio``, or ``auto`` for uvloop where it is installed.

    Raises:
        UsageError: the choice is uvloop, which is not installed.
    """
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if choice != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 -- may not be installed
        except ImportError:
            if choice == "uvloop":
                msg = "--loop=uvloop: uvloop is not installed"
                raise UsageError(msg, hint="say --loop=auto, or asyncio") from None
        else:
            new_loop = uvloop.new_event_loop

    def make() -> asyncio.AbstractEventLoop:
        loop = new_loop()
        loop.set_default_executor(DaemonExecutor())
        return loop

    return make
