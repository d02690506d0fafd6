"""How many file descriptors this process may have, and its children.

A proxy wants many: a watch takes two. A login shell, a service manager and a container runtime
give 1,024 and allow more, since programs that use ``select(2)`` break beyond that. So the limit is
raised here, and children that are none of ours get back what we were given, as Go's runtime does
it for kubectl (``os/rlimit.go``, ``syscall/rlimit.go``). It knows nothing of who the children are.
"""

import contextlib
import resource

_given: tuple[int, int] | None = None


def raise_limit() -> None:
    """Allow this process as many descriptors as it may allow itself."""
    global _given  # noqa: PLW0603 -- the limit is the process's own
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # A kernel may allow less than it says (macOS); then all stays as it was.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            _given = soft, hard


def restore_limit(pid: int) -> None:
    """Give a child of ours the limit that we were given, where the system can (Linux)."""
    if _given is not None and hasattr(resource, "prlimit"):
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _given)
