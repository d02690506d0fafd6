"""Which event loop to run on. It knows nothing of what runs there."""

import asyncio
from collections.abc import Callable

from ..errors import UsageError
from .threads import DaemonExecutor


def loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop; its default executor keeps nobody waiting at the end.

    Args:
        choice: ``uvloop``, ``asyncio``, or ``auto`` for uvloop where it exists.

    Raises:
        UsageError: uvloop was asked for, and is not installed.
    """
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if choice != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 -- it need not exist
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
