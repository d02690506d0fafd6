"""The file system of a container: a dictionary in memory, with a quota."""

import errno
import os
import posixpath
import time
from dataclasses import dataclass, field

QUOTA = 64 * 1024 * 1024
"""Bytes that the files of one container may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, or a directory when ``data`` is None."""

    data: bytes | None
    mode: int
    modified: float = field(default_factory=time.time)


class FileSystem:
    """Absolute, normal paths to entries.

    Raises:
        OSError: as the system calls of the same purpose.
    """

    def __init__(self, files: dict[str, str]) -> None:
        self._entries: dict[str, Entry] = {"/": _directory()}
        for path in ("/bin", "/etc", "/home", "/root", "/tmp", "/usr", "/var"):  # noqa: S108
            self._entries[path] = _directory()
        for path, text in files.items():
            self.make_directory(posixpath.dirname(path))
            self.write(path, text.encode())

    def find(self, path: str) -> Entry:
        """What is at ``path``."""
        entry = self._entries.get(path)
        if entry is None:
            raise _error(errno.ENOENT, path)
        return entry

    def is_directory(self, path: str) -> bool:
        """Whether ``path`` is a directory."""
        entry = self._entries.get(path)
        return entry is not None and entry.data is None

    def read(self, path: str) -> bytes:
        """A file's content."""
        data = self.find(path).data
        if data is None:
            raise _error(errno.EISDIR, path)
        return data

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Make or replace a file."""
        if not self.is_directory(posixpath.dirname(path)):
            raise _error(errno.ENOENT, path)
        if self.is_directory(path):
            raise _error(errno.EISDIR, path)
        self.check_room(len(data), path)
        self._entries[path] = Entry(data=data, mode=mode)

    def check_room(self, size: int, path: str) -> None:
        """Raise OSError when the file at ``path`` may not become that large."""
        held = sum(len(entry.data or b"") for key, entry in self._entries.items() if key != path)
        if held + size > QUOTA:
            raise _error(errno.ENOSPC, path)

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        for place in range(1, len(path) + 1):
            if place == len(path) or path[place] == "/":
                part = path[:place]
                if self._entries.setdefault(part, _directory()).data is not None:
                    raise _error(errno.ENOTDIR, part)

    def children(self, path: str) -> list[str]:
        """Names in a directory."""
        if not self.is_directory(path):
            self.find(path)
            raise _error(errno.ENOTDIR, path)
        return sorted(
            posixpath.basename(key)
            for key in self._entries
            if key != "/" and posixpath.dirname(key) == path
        )

    def walk(self, path: str) -> list[str]:
        """``path`` and everything below it."""
        self.find(path)
        prefix = path.rstrip("/") + "/"
        return sorted(key for key in self._entries if key == path or key.startswith(prefix))

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        for key in self.walk(path):
            if key != "/":
                del self._entries[key]


def _directory() -> Entry:
    return Entry(data=None, mode=0o755)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
