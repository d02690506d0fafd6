"""Reading files, and noticing that they changed.

The reader is a seam: the loader can be tested from texts, and every rule that touches a file
says so in its signature. Nothing here knows what the files mean.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

FileSignature = tuple[int, int, int, int] | None
"""Device, inode, modification time in ns, size; ``None`` is a missing file."""


class FileReader(Protocol):
    """The two things that are done to files."""

    def read(self, path: str) -> bytes:
        """The whole content. Raises OSError."""
        ...

    def signature(self, path: str) -> FileSignature:
        """A value that differs when the file was replaced or rewritten; follows symlinks."""
        ...


class DiskFiles:
    """The real files."""

    __slots__ = ()

    def read(self, path: str) -> bytes:
        """The whole content. Raises OSError."""
        with open(path, "rb") as stream:
            return stream.read()

    def signature(self, path: str) -> FileSignature:
        """One stat; an unreadable place counts as missing."""
        try:
            status = Path(path).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class MemoryFiles:
    """Files made of a mapping from path to content, for tests and embedding."""

    __slots__ = ("_contents",)

    def __init__(self, contents: Mapping[str, str | bytes]) -> None:
        self._contents = contents

    def read(self, path: str) -> bytes:
        """The content as bytes. Raises FileNotFoundError."""
        if path not in self._contents:
            raise FileNotFoundError(2, os.strerror(2), path)
        content = self._contents[path]
        return content.encode() if isinstance(content, str) else content

    def signature(self, path: str) -> FileSignature:
        """Made of the content: the same text again is no change."""
        content = self._contents.get(path)
        return None if content is None else (0, 0, hash(content), len(content))


DISK = DiskFiles()


def signatures(paths: Iterable[str], files: FileReader = DISK) -> tuple[FileSignature, ...]:
    """One comparable value for all of these files: when it differs, something changed."""
    return tuple(files.signature(path) for path in paths)


def explain_os_error(error: OSError, path: str) -> str:
    """The error in Go's words, as kubectl prints it: ``open F: no such file or directory``."""
    text = error.strerror or type(error).__name__
    verb = "read" if isinstance(error, IsADirectoryError) else "open"
    return f"{verb} {path}: {text[:1].lower()}{text[1:]}"
