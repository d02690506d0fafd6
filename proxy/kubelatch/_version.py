"""The version, written once: the distribution reads it from here too; and which build this is."""

import os.path
from importlib.machinery import ExtensionFileLoader, PathFinder

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Whether the modules of the request path are compiled: one is looked for, and not imported."""
    spec = PathFinder.find_spec("exchange", [os.path.join(os.path.dirname(__file__), "relay")])
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)
