"""Resource limits and environment, of this process and of its children.

The raised descriptor limit, the ban on core files and the variables of flags are for this process
alone: exec plugins and the command of ``kubelatch run`` do not inherit them. The library leaves its
host process unchanged.
"""

import contextlib
import resource
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from ..config.settings import FLAGS

# Set by a service manager: systemd.exec(5), sd_notify(3), sd_listen_fds(3).
_MANAGERS: Final = frozenset(
    {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
)
_LISTEN: Final = "LISTEN_"
# prctl(2)
_PR_SET_DUMPABLE: Final = 4

# The original soft limits of those that were changed.
_original: dict[int, int] = {}


def raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to the hard one.

    A watch takes two. Login shells, service managers and container runtimes set a soft limit of
    1,024 for the sake of programs that use ``select(2)``.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _set(resource.RLIMIT_NOFILE, hard)


def forbid_core_dumps() -> None:
    """Write no core files, which would contain keys and tokens.

    Only the soft limit is lowered, so that children can get it back. A handler in ``core_pattern``
    ignores it (core(5)), but gets nothing of a process that is not dumpable (Linux, prctl(2)).
    Other processes of the user cannot read such a process's memory either, by ptrace or ``/proc``.
    Programs that it executes are dumpable again.
    """
    _set(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError, MemoryError):
            import ctypes  # noqa: PLC0415 -- 2 ms, which the library saves

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0))


def _set(limit: int, wanted: int) -> None:
    soft, hard = resource.getrlimit(limit)
    if soft != wanted:
        # macOS may refuse its own hard limit; then the limit stays.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (wanted, hard))
            _original.setdefault(limit, soft)


def restore_descriptor_limit(pid: int) -> None:
    """Give a child the original descriptor limit, where the system can (Linux).

    Go's runtime does so for kubectl (``os/rlimit.go``, ``syscall/rlimit.go``).
    """
    soft = _original.get(resource.RLIMIT_NOFILE)
    if soft is not None and hasattr(resource, "prlimit"):
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def original_core_limit() -> Iterator[None]:
    """Start a child with the original limit of core files.

    Meanwhile this process still writes none where it is not dumpable.
    """
    soft = _original.get(resource.RLIMIT_CORE)
    if soft is not None:
        _set(resource.RLIMIT_CORE, soft)
    try:
        yield
    finally:
        if soft is not None:
            _set(resource.RLIMIT_CORE, 0)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process.

    Without the variables of flags, since ``KUBELATCH_TOKEN`` is a secret and
    ``KUBELATCH_KUBECONFIG`` a way around the proxy, and without those that the service manager sets
    for this process.
    """
    return {
        name: value
        for name, value in environ.items()
        if name not in _own_variables() and not name.startswith(_LISTEN)
    }


@cache
def _own_variables() -> frozenset[str]:
    return _MANAGERS | {flag.variable for flag in FLAGS if flag.env}
