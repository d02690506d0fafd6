"""What this process may do, and what the processes that it starts get of its own.

Three things are ours alone: the raised limit of descriptors, that no core file is written, and
what the environment says to us. Exec plugins and the command of ``kubelatch run`` get none of
them. Only the command changes its own process; a library leaves its host as it is.
"""

import contextlib
import resource
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from ..config.settings import FLAGS

# Of a service manager: systemd.exec(5), sd_notify(3), sd_listen_fds(3).
_MANAGERS: Final = frozenset(
    {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
)
_LISTEN: Final = "LISTEN_"
# prctl(2)
_PR_SET_DUMPABLE: Final = 4

# The soft limits that we were given, where we have others.
_original: dict[int, int] = {}


def raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as it may allow itself.

    A proxy wants many: a watch takes two. A login shell, a service manager and a container runtime
    give 1,024 and allow more, since programs that use ``select(2)`` break beyond that.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _set(resource.RLIMIT_NOFILE, hard)


def forbid_core_dumps() -> None:
    """Write no core file, which would hold keys and tokens.

    The soft limit alone, which children can get back. A handler in ``core_pattern`` is not bound by
    it (core(5)), but gets nothing of a process that is not dumpable (Linux, prctl(2)); of such a
    process no other of the same user can read the memory either, by ptrace or ``/proc``. Programs
    that it executes are dumpable again.
    """
    _set(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError, MemoryError):
            import ctypes  # noqa: PLC0415 -- 2 ms, and a library does without

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0))


def _set(limit: int, wanted: int) -> None:
    soft, hard = resource.getrlimit(limit)
    if soft != wanted:
        # A kernel may allow less than it says (macOS); then all stays as it was.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (wanted, hard))
            _original.setdefault(limit, soft)


def restore_descriptor_limit(pid: int) -> None:
    """Give a child of ours the limit that we were given, where the system can (Linux).

    As Go's runtime does it for kubectl (``os/rlimit.go``, ``syscall/rlimit.go``).
    """
    soft = _original.get(resource.RLIMIT_NOFILE)
    if soft is not None and hasattr(resource, "prlimit"):
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def original_core_limit() -> Iterator[None]:
    """A child that is started within may write core files as we might have.

    This process still does not where it is not dumpable, and elsewhere only for that moment.
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
    """The environment for a process that we start.

    Without the variables of our flags, of which ``KUBELATCH_TOKEN`` is a secret and
    ``KUBELATCH_KUBECONFIG`` a way around the proxy, and without what a service manager says to this
    process alone.
    """
    return {
        name: value
        for name, value in environ.items()
        if name not in _own_variables() and not name.startswith(_LISTEN)
    }


@cache
def _own_variables() -> frozenset[str]:
    return _MANAGERS | {flag.variable for flag in FLAGS if flag.env}
