"""kubelatch: the Kubernetes API on localhost, with the latch on.

``docs/architecture.md`` describes the packages and the direction of their imports.
"""

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import KubelatchError

__all__ = ["KubelatchError", "Proxy", "__version__"]

if TYPE_CHECKING:
    from .embedding import Proxy
else:

    def __getattr__(name: str) -> Any:
        if name == "Proxy":
            # The command's help and completion import this package too, and must be fast.
            from .embedding import Proxy  # noqa: PLC0415

            return Proxy
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
