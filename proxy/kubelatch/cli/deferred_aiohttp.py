"""aiohttp's server, without its client until something asks for it.

``aiohttp/__init__.py`` imports the client before anything else, and the client's connector loads
the system's certificates twice: a quarter of a start and 5 MB, for what serving does not use. No
module of a package can be imported before its ``__init__`` by ordinary means. The command, alone in
its process, therefore puts the package into :data:`sys.modules` before its ``__init__`` has run,
and imports the server's modules. The first access to a name that the package does not have by then
runs the ``__init__``, in the same module object, and from there on it is an ordinary module.

A program that embeds the proxy imports aiohttp as it always does (docs/decisions, 0093).
"""

import importlib.util
import re
import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "aiohttp"
# What the proxy's own modules import of it.
_SERVER: Final = tuple(
    f"{_PACKAGE}.{name}"
    for name in ("http", "http_exceptions", "streams", "web_protocol", "web_server")
)
# All that these import from the package itself.
_VERSION: Final = re.compile(rb'^__version__ = "([0-9A-Za-z.+]+)"$', re.MULTILINE)


def import_server() -> bool:
    """Import aiohttp's server; its client with the first name that is asked of the package.

    Where that is not possible, all of aiohttp is imported, or left to who imports it: where it has
    been imported before, has no version in its source, or its server needs its client.

    Returns:
        whether the client was left out.

    Raises:
        ImportError: aiohttp cannot be imported at all.
    """
    if _PACKAGE in sys.modules or (package := _without_init()) is None:
        return False
    sys.modules[_PACKAGE] = package
    deferred = True
    try:
        for name in _SERVER:
            import_module(name)
    except (ImportError, AttributeError):
        deferred = False
    package.__class__ = _Deferred
    if not deferred:
        # Not from the start: modules in C exist once, and would keep the exceptions of modules
        # that are imported a second time.
        _run_init(package)
    return deferred


def _without_init() -> ModuleType | None:
    """The package as it is before its ``__init__`` runs, with its version; None if unknown."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    try:
        with open(spec.origin, "rb") as source:
            found = _VERSION.search(source.read())
    except OSError:  # in an archive
        return None
    if found is None:
        return None
    package = importlib.util.module_from_spec(spec)
    vars(package)["__version__"] = found[1].decode()
    return package


class _Deferred(ModuleType):
    """A package whose ``__init__`` runs when a name is missing."""

    def __getattr__(self, name: str) -> Any:
        if name == "web":
            # For `from aiohttp import web`: what belongs to the server does without the client.
            return import_module(f"{_PACKAGE}.web")
        # Such as those that warnings and inspect look for in every module.
        if not name.startswith("__") or name == "__all__":
            _run_init(self)
        return self.__getattribute__(name)

    def __dir__(self) -> list[str]:
        _run_init(self)
        return dir(self)


_lock = threading.RLock()
_running = False


def _run_init(package: ModuleType) -> None:
    """Run a package's ``__init__``, once; other threads wait, and within it names are missing."""
    global _running  # noqa: PLW0603 -- guarded by the lock
    with _lock:
        if _running or type(package) is ModuleType:
            return
        loader = package.__spec__.loader if package.__spec__ else None
        _running = True
        try:
            if loader is not None:
                loader.exec_module(package)
            package.__class__ = ModuleType
        finally:
            _running = False
