"""Finds the file or directory for a path, as Go's ``http.FileServer`` (net/http/fs.go).

Only regular files and directories below the given one are found, see ``tree``.
"""

import asyncio
import os
import stat
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from .content_type import SNIFFED, by_content, by_name
from .tree import Tree, TreeWalk


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An open regular file; the caller closes it."""

    descriptor: int
    content_type: str
    size: int
    modified_ns: int

    @property
    def etag(self) -> str:
        return f'"{self.modified_ns:x}-{self.size:x}"'

    @property
    def modified(self) -> int:
        """Seconds since the epoch, the resolution of HTTP dates."""
        return self.modified_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory's entries; names of directories end with a slash."""

    names: list[str]


@dataclass(frozen=True, slots=True)
class Redirect:
    """The canonical location of a path, relative to it."""

    location: str


Found: TypeAlias = File | Listing | Redirect


class Files:
    """Finds files below a directory.

    Args:
        directory: its path, resolved again for each request.
        follow_symlinks: also follow symbolic links out of the directory.

    Attributes:
        directory: as given.
    """

    def __init__(self, directory: str, *, follow_symlinks: bool = False) -> None:
        self.directory = directory
        self._tree = Tree(directory, follow_symlinks=follow_symlinks)

    async def find(self, path: str) -> Found:
        """Find *path*, in a thread.

        Raises:
            OSError: it does not exist, or may not be served.
        """
        future = asyncio.get_running_loop().run_in_executor(None, self._find, path)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread goes on; a file that it opens is closed when it is done.
            future.add_done_callback(_discard)
            raise

    def _find(self, path: str) -> Found:
        """Find *path*, as Go's ``serveFile`` (net/http/fs.go).

        Raises:
            OSError: it does not exist, or may not be served.
        """
        *parents, last = path.split("/")
        if last == "index.html":
            return Redirect("./")
        # A path with a trailing slash is a directory's; for a file it is redirected.
        entry = last or (parents.pop() if parents else "")
        with self._tree.walk() as walk:
            for name in parents:
                walk.enter(name)
            if entry:
                proper, status = walk.resolve(entry)
                is_directory = stat.S_ISDIR(status.st_mode)
                if is_directory != (not last):
                    return Redirect(
                        relative(entry + "/") if is_directory else f"../{quoted(entry)}"
                    )
                if not is_directory:
                    return _open(walk, proper, entry)
                if proper:
                    walk.enter(proper)
            try:
                return _open(walk, "index.html", "index.html")
            except OSError:
                return Listing(walk.names())


def _open(walk: TreeWalk, name: str, shown: str) -> File:
    """Open a file.

    Args:
        walk: has entered the file's directory.
        name: of the file there.
        shown: the name that the client used, whose extension decides the content type.
    """
    descriptor, status = walk.open_file(name)
    try:
        content_type = by_name(shown) or by_content(os.pread(descriptor, SNIFFED, 0))
    except BaseException:
        os.close(descriptor)
        raise
    return File(
        descriptor=descriptor,
        content_type=content_type,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
    )


def _discard(future: asyncio.Future[Found]) -> None:
    if not future.cancelled() and future.exception() is None:
        found = future.result()
        if isinstance(found, File):
            os.close(found.descriptor)


def quoted(name: str) -> str:
    """A name percent-encoded for a URL's path, as Go does it (net/url, encodePath)."""
    return quote(os.fsencode(name), safe="$&+,/:;=@")


def relative(name: str) -> str:
    """A name as a relative URL, as Go writes ``url.URL{Path: name}``: `a:b` would be a scheme."""
    path = quoted(name)
    return f"./{path}" if ":" in path else path
