"""Which event loop to run on. It knows nothing of what runs there."""

import asyncio
from collections.abc import Callable

from .errors import UsageError


def loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None is asyncio's own way.

    Args:
        choice: ``uvloop``, ``asyncio``, or ``auto`` for uvloop where it exists.

    Raises:
        UsageError: uvloop was asked for, and is not installed.
    """
    if choice == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 -- it need not exist
    except ImportError:
        if choice == "uvloop":
            msg = "--loop=uvloop: uvloop is not installed"
            raise UsageError(msg, hint="say --loop=auto, or asyncio") from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
