"""kubelatch: the Kubernetes API on localhost, with the latch on.

``docs/architecture.md`` names the rooms of this package and who may import whom.
"""

from ._version import __version__

__all__ = ["__version__"]
