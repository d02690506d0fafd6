"""The file system of a container: a dictionary in memory, with a quota."""

import errno
import os
import posixpath

QUOTA = 64 * 1024 * 1024
"""Bytes that the files of one container may hold."""


class FileSystem:
    """Absolute, normal paths to the content of files; directories have none.

    Raises:
        OSError: as the system calls of the same purpose.
    """

    def __init__(self, files: dict[str, str]) -> None:
        self._entries: dict[str, bytes | None] = {"/": None}
        for path in ("/bin", "/etc", "/home", "/root", "/tmp", "/usr", "/var"):  # noqa: S108
            self._entries[path] = None
        for path, text in files.items():
            self.make_directory(posixpath.dirname(path))
            self.write(path, text.encode())

    def is_there(self, path: str) -> bool:
        """Whether there is a file or directory at ``path``."""
        return path in self._entries

    def find(self, path: str) -> bytes | None:
        """A file's content, or None for a directory."""
        if path not in self._entries:
            raise _error(errno.ENOENT, path)
        return self._entries[path]

    def is_directory(self, path: str) -> bool:
        """Whether ``path`` is a directory."""
        return path in self._entries and self._entries[path] is None

    def read(self, path: str) -> bytes:
        """A file's content."""
        data = self.find(path)
        if data is None:
            raise _error(errno.EISDIR, path)
        return data

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file."""
        if not self.is_directory(posixpath.dirname(path)):
            raise _error(errno.ENOENT, path)
        if self.is_directory(path):
            raise _error(errno.EISDIR, path)
        self.check_room(len(data), path)
        self._entries[path] = data

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        while not self.is_directory(path):
            if path in self._entries:
                raise _error(errno.ENOTDIR, path)
            self._entries[path] = None
            path = posixpath.dirname(path)

    def walk(self, path: str) -> list[str]:
        """``path`` and everything below it."""
        self.find(path)
        prefix = path.rstrip("/") + "/"
        return sorted(key for key in self._entries if key == path or key.startswith(prefix))

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        for key in self.walk(path):
            del self._entries[key]

    def check_room(self, size: int, path: str) -> None:
        """Raise OSError when the file at ``path`` may not become that large."""
        held = sum(len(data or b"") for key, data in self._entries.items() if key != path)
        if held + size > QUOTA:
            raise _error(errno.ENOSPC, path)

    def children(self, path: str) -> list[str]:
        """Names in a directory."""
        return sorted(
            posixpath.basename(key)
            for key in self._entries
            if key != "/" and posixpath.dirname(key) == path
        )


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
