"""Reading files, and noticing that they changed.

The reader is a seam: the loader can be tested from texts, and every rule that touches a file
says so in its signature. Nothing here knows what the files mean.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from ..redact import names_a_file, shown_path

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
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except ValueError:  # NUL, or what no encoding holds
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path) from None

    def signature(self, path: str) -> FileSignature:
        """One stat; an unreadable place counts as missing."""
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
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


# What belongs where, by the field of a path in whose place it was found.
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
    """The error in Go's words, as kubectl prints it: ``open F: no such file or directory``.

    Args:
        error: what opening or reading it raised.
        path: the file.
        field: the field or flag that names it, if what stands there may be a secret by mistake.
    """
    text = error.strerror or type(error).__name__
    verb = "read" if isinstance(error, IsADirectoryError) else "open"
    shown = shown_path(path, secret=field in _SECRET_FILES)
    return f"{verb} {shown}: {text[:1].lower()}{text[1:]}"


def misplaced(path: str, field: str, whose: str) -> str:
    """What to say of a text that stands where a path belongs, and cannot be one; empty if it can.

    Args:
        path: the text, which is not shown, or a path that ends in it.
        field: where it stands.
        whose: and of which entry, such as ``user "u"``.
    """
    if names_a_file(path, secret=field in _SECRET_FILES):
        return ""
    return f"{field} of {whose} does not name a file; {_BELONGS.get(field, 'is it a path?')}"
