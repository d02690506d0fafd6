"""Starts the embedded API server as the flags ask for it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .config.settings import Settings
from .errors import ConfigError

if TYPE_CHECKING:
    from .demo import DemoServer
    from .demo.arrivals import OnRequest


async def start_demo(
    settings: Settings, on_request: "OnRequest | None"
) -> "tuple[DemoServer, Mapping[str, Any]]":
    """Start it.

    Args:
        settings: the flags.
        on_request: sees each request first.

    Returns:
        The server, and a kubeconfig that leads to it.

    Raises:
        ConfigError: its objects cannot be used, or its kubeconfig cannot be written.
    """
    from .demo import DemoError, DemoServer  # noqa: PLC0415 -- seldom used

    demo = DemoServer(on_request=on_request, seed=settings.demo_seed, load=settings.demo_load)
    try:
        access = await demo.start()
        if settings.demo_kubeconfig:
            from .demo.kubeconfig_file import write  # noqa: PLC0415 -- the same

            write(access, settings.demo_kubeconfig)
    except BaseException as error:
        await demo.stop()
        if isinstance(error, DemoError):
            raise ConfigError(str(error)) from error
        raise
    return demo, access.kubeconfig()
