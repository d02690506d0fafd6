"""Reads files, and detects that they changed.

Functions that read files take a :class:`FileReader`, so that tests can pass texts. Any call may
block, for example on a network file system: once requests are served, call it in a thread.
"""

import errno
import hashlib
import os
import select
import stat
import time
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Final, Protocol

from ..redact import looks_like_path, redact_path

FileSignature = tuple[int, int, int, int, int] | None
"""Device, inode, mtime and ctime in ns, size; ``None`` for a missing file."""

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one file. A kubeconfig of 3,000 clusters has 6 MB."""
PIPE_SECONDS: Final = 10.0
"""Within this time a pipe must have delivered its whole content."""

# The signature of a pipe or device that has been read, as long as it is one.
_KEPT: Final = (0, 0, 0, 0, -1)
_CHUNK: Final = 1024 * 1024


class FileReader(Protocol):
    """Reads files and takes their signatures."""

    def read(self, path: str) -> bytes:
        """The whole content. Raises OSError, and nothing else."""
        ...

    def signature(self, path: str) -> FileSignature:
        """A value that changes when the file is replaced or rewritten. Follows symlinks; raises
        nothing."""
        ...


class DiskFiles:
    """Files on disk.

    A regular file is read at each call. A pipe or a device, such as the ``/dev/fd/63`` of a shell's
    ``<(command)``, can be read once only: it is read at start, within :data:`PIPE_SECONDS`, and its
    content is kept. After :meth:`settle` no pipe or device is read.

    Attributes:
        reading: the path of the last call, to report which file blocks this thread.
    """

    def __init__(self, *, pipe_seconds: float = PIPE_SECONDS) -> None:
        self._pipe_seconds = pipe_seconds
        self._kept: dict[str, bytes] = {}
        self._settled = False
        self.reading = ""

    def view(self) -> "DiskFiles":
        """The same files, and the same kept content, for another thread."""
        view = copy(self)
        view.reading = ""
        return view

    def settle(self) -> None:
        """Read no more pipes and devices: the start is over."""
        self._settled = True

    def read(self, path: str) -> bytes:
        """The whole content. Raises OSError, and nothing else."""
        self.reading = path
        kept = self._kept.get(path)
        try:
            # Without O_NONBLOCK, opening a pipe would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except FileNotFoundError:
            if kept is None:
                raise
            return kept
        except ValueError:  # a zero byte, or not encodable
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path) from None
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                self._kept.pop(path, None)
                return _read_regular(descriptor, path)
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if kept is None:
                if self._settled:
                    what = "a pipe" if stat.S_ISFIFO(mode) else "a device"
                    problem = f"it is {what}, and only regular files are read again"
                    raise OSError(errno.EINVAL, problem, path)
                kept = self._kept[path] = _read_stream(descriptor, path, self._pipe_seconds)
            return kept
        finally:
            os.close(descriptor)

    def signature(self, path: str) -> FileSignature:
        """One stat; a path that cannot be read counts as missing."""
        self.reading = path
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return _KEPT if path in self._kept else None
        if path in self._kept and not stat.S_ISREG(status.st_mode):
            return _KEPT
        return (
            status.st_dev,
            status.st_ino,
            status.st_mtime_ns,
            # After chmod a file may become readable, and mtime does not change.
            status.st_ctime_ns,
            status.st_size,
        )


def _read_regular(descriptor: int, path: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := os.read(descriptor, _CHUNK):
        parts.append(part)
        size += len(part)
        _check_size(size, path)
    return b"".join(parts)


def _read_stream(descriptor: int, path: str, seconds: float) -> bytes:
    """Read until the writers have closed it, for at most *seconds*."""
    parts: list[bytes] = []
    size, deadline = 0, time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            problem = f"nothing came out of this pipe, or no end, within {seconds:g} s"
            raise TimeoutError(errno.ETIMEDOUT, problem, path)
        try:
            part = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        _check_size(size, path)


def _check_size(size: int, path: str) -> None:
    if size > SIZE_LIMIT:
        raise OSError(errno.EFBIG, f"it is over {SIZE_LIMIT >> 20} MiB", path)


class MemoryFiles:
    """A mapping from path to content, for tests and embedding."""

    def __init__(self, contents: Mapping[str, str | bytes]) -> None:
        self._contents = contents

    def read(self, path: str) -> bytes:
        """The content as bytes. Raises FileNotFoundError."""
        if path not in self._contents:
            raise FileNotFoundError(2, os.strerror(2), path)
        content = self._contents[path]
        return content.encode() if isinstance(content, str) else content

    def signature(self, path: str) -> FileSignature:
        """From the content alone: the same text is no change."""
        content = self._contents.get(path)
        return None if content is None else (0, 0, hash(content), 0, len(content))


class TrackedFiles:
    """Reads files, and remembers each one's signature from just before it was read.

    So a change while a file is being read is detected later.

    Args:
        files: does the reading.
    """

    def __init__(self, files: FileReader) -> None:
        self._files = files
        self._seen: dict[str, FileSignature] = {}
        self._digests: dict[str, bytes | None] = {}

    def read(self, path: str) -> bytes:
        """The whole content. Raises OSError."""
        self.signature(path)
        self._digests[path] = None
        content = self._files.read(path)
        self._digests[path] = hashlib.sha256(content).digest()
        return content

    def signature(self, path: str) -> FileSignature:
        """See ``FileReader``."""
        # If a file is read several times the first signature counts, so that no change is missed.
        return self._seen.setdefault(path, self._files.signature(path))

    def follow(self, other: "TrackedFiles") -> None:
        """Track the files that *other* has read, too, from now on."""
        for path in other._seen:
            self.signature(path)

    def keep(self, paths: Iterable[str]) -> None:
        """Track only *paths* from now on: others, such as a token file, are tracked by the
        credential source."""
        wanted = set(paths)
        self._seen = {path: seen for path, seen in self._seen.items() if path in wanted}

    def changed(self) -> bool:
        """Whether the content of any file has changed, or a file has appeared or disappeared.

        A file that was touched, or replaced by a copy, has not changed.
        """
        found = [path for path, seen in self._seen.items() if self._changed(path, seen)]
        return bool(found)

    def _changed(self, path: str, seen: FileSignature) -> bool:
        now = self._files.signature(path)
        if now == seen:
            return False
        digest = self._digests.get(path)
        if digest is None or now is None:
            return True
        try:
            if hashlib.sha256(self._files.read(path)).digest() != digest:
                return True
        except OSError:
            return True
        self._seen[path] = now
        return False


DISK = DiskFiles()


def signatures(paths: Iterable[str], files: FileReader = DISK) -> tuple[FileSignature, ...]:
    """The signatures of all *paths*, to be compared with later ones."""
    return tuple(files.signature(path) for path in paths)


# Hints for a value that stands where a path belongs, by field.
_BELONGS: Final = {
    "client-key": "did you paste the key itself? It belongs, in base64, in client-key-data",
    "client-certificate": "did you paste the certificate itself? It belongs, in base64, in "
    "client-certificate-data",
    "certificate-authority": "did you paste the certificate itself? It belongs, in base64, in "
    "certificate-authority-data",
    "tokenFile": "did you paste the token itself? It belongs in token",
}
# These name files whose content is a secret.
_SECRET_FILES: Final = frozenset({"client-key", "tokenFile", "client-token-file"})


def explain_os_error(error: OSError, path: str, field: str = "") -> str:
    """The error as Go and kubectl print it: ``open F: no such file or directory``.

    Args:
        error: raised by opening or reading the file.
        path: the file.
        field: the field or flag that names it; if the path itself may be a secret by mistake, it
            is not shown.
    """
    text = error.strerror or type(error).__name__
    verb = "read" if isinstance(error, IsADirectoryError) else "open"
    shown = redact_path(path, secret=field in _SECRET_FILES)
    return f"{verb} {shown}: {text[:1].lower()}{text[1:]}"


def misplaced(path: str, field: str, whose: str) -> str:
    """The error message for a value that stands in a path's field and cannot be a path, or ``""``.

    Args:
        path: the value, which is not shown, or a path that ends in it.
        field: the field's name.
        whose: its entry, such as ``user "u"``.
    """
    if looks_like_path(path, secret=field in _SECRET_FILES):
        return ""
    return f"{field} of {whose} does not name a file; {_BELONGS.get(field, 'is it a path?')}"
