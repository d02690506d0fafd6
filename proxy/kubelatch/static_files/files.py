"""What is at a path below a directory, by the rules of Go's ``http.FileServer`` (net/http/fs.go).

Only regular files and directories below the given one are found, see ``tree``.
"""

import asyncio
import os
import stat
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from .content_type import SNIFFED, by_content, by_name
from .tree import Tree, Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An open regular file; the holder closes it."""

    descriptor: int
    content_type: str
    size: int
    modified_ns: int

    @property
    def etag(self) -> str:
        return f'"{self.modified_ns:x}-{self.size:x}"'

    @property
    def modified(self) -> int:
        """Seconds: no header can say it more finely."""
        return self.modified_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a directory; those of directories end with a slash."""

    names: list[str]


@dataclass(frozen=True, slots=True)
class Redirect:
    """The same thing under its proper name, relative to the path asked for."""

    location: str


Found: TypeAlias = File | Listing | Redirect


class Files:
    """Finds files below a directory.

    Args:
        directory: looked up anew for each request, so it may appear later.
        follow_symlinks: also find what symbolic links in it point to, wherever that is.

    Attributes:
        directory: as given.
    """

    def __init__(self, directory: str, *, follow_symlinks: bool = False) -> None:
        self.directory = directory
        self._tree = Tree(directory, follow_symlinks=follow_symlinks)

    async def find(self, path: str) -> Found:
        """Find what is at *path*, in a thread.

        Raises:
            OSError: nothing that may be served.
        """
        future = asyncio.get_running_loop().run_in_executor(None, self._find, path)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread goes on; what it opens is closed when it is done.
            future.add_done_callback(_discard)
            raise

    def _find(self, path: str) -> Found:
        """What is at *path*, by the rules of Go's ``serveFile`` (net/http/fs.go).

        Raises:
            OSError: nothing that may be served.
        """
        *parents, last = path.split("/")
        if last == "index.html":
            return Redirect("./")
        # A trailing slash belongs to a directory; on a file's name it is a mistake to mend.
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


def _open(walk: Walk, name: str, shown: str) -> File:
    """Open a file.

    Args:
        walk: in its directory.
        name: what it is called there.
        shown: what the client calls it, whose extension says what it is.
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
    """A name in a URL's path, with the characters that Go leaves alone (net/url, encodePath)."""
    return quote(os.fsencode(name), safe="$&+,/:;=@")


def relative(name: str) -> str:
    """A name as a relative URL, as Go writes ``url.URL{Path: name}``: `a:b` would be a scheme."""
    path = quoted(name)
    return f"./{path}" if ":" in path else path
