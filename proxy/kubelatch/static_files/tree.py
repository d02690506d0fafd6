"""A directory tree, walked one name at a time, from descriptor to descriptor.

No name is ever looked up by the system as a path, and none that is a link is followed by it: links
are read, and their targets walked the same way. So what is checked is what is opened, whatever
happens to the tree meanwhile, and no link leads out of it, as with ``RESOLVE_BENEATH`` of openat2,
which not every system has. Links inside are what a ConfigMap volume is made of, and git-sync.
"""

import errno
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

# As many as Linux follows (path_resolution(7)).
_MAX_LINKS: Final = 40
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# What O_DIRECTORY and O_NOFOLLOW make of a link.
_LINK: Final = {errno.ELOOP, errno.ENOTDIR}


class Tree:
    """A directory and all below it.

    Args:
        directory: looked up anew for each walk, so it may appear later, or be a link.
        follow_symlinks: links may lead out of it.
    """

    def __init__(self, directory: str, *, follow_symlinks: bool = False) -> None:
        self.directory = directory
        self.follow_symlinks = follow_symlinks

    def walk(self) -> "Walk":
        """A walk that begins at the top. Raises OSError."""
        return Walk(self, [os.open(self.directory, _FLAGS | os.O_DIRECTORY)])

    def inside(self, path: str) -> str | None:
        """An absolute path as one relative to the top, or None if it does not begin there."""
        top = os.path.abspath(self.directory)
        for known in (top, os.path.realpath(top)):
            start = known.rstrip("/")
            if path == start or path.startswith(start + "/"):
                return path[len(start) :]
        return None


class Walk:
    """Where one walk has come to: the directories from the top down, all of them open.

    Args:
        tree: through which it leads.
        descriptors: of the directories; it closes them.
    """

    __slots__ = ("_descriptors", "_links", "_tree")

    def __init__(self, tree: Tree, descriptors: list[int]) -> None:
        self._tree = tree
        self._descriptors = descriptors
        self._links = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    def enter(self, name: str) -> None:
        """Go into the directory *name*, or that to which a link of this name leads.

        Raises:
            OSError: there is none, or it may not be entered; this walk is to be given up then.
        """
        try:
            self._descend(name)
        except OSError as error:
            if self._tree.follow_symlinks or error.errno not in _LINK:
                raise
            name, _ = self.resolve(name)
            if name:
                self._descend(name)

    def resolve(self, name: str) -> tuple[str, os.stat_result]:
        """What *name* is. If it is a link, go where its target is.

        Returns:
            Its name there, empty if it is the directory that the walk has come to; its status.

        Raises:
            OSError: it is nothing, or a link that leads nowhere or out of the tree; the walk is
                still where it was.
        """
        status = self._status(name)
        if not stat.S_ISLNK(status.st_mode):
            return name, status
        with self._branch() as other:
            found = other._follow(name)
            self._descriptors, other._descriptors = other._descriptors, self._descriptors
        return found

    def open_file(self, name: str) -> tuple[int, os.stat_result]:
        """Open a regular file, or that to which a link of this name leads.

        Returns:
            Its descriptor, for the caller to close, and its status.

        Raises:
            OSError: it is none.
        """
        # Looked at before it is opened: merely opening a device or a pipe has effects. Looked at
        # again when it is open: then it cannot be exchanged any more.
        name, status = self.resolve(name)
        if not stat.S_ISREG(status.st_mode):
            raise _not_found(name)
        descriptor = self._open(name)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise _not_found(name)
        return descriptor, status

    def names(self) -> list[str]:
        """What of this directory can be had, sorted as Go sorts; directories end with a slash."""
        names = []
        with os.scandir(self._descriptors[-1]) as entries:
            for entry in entries:
                # A link that leads nowhere, out of the tree, or in a circle is none of it.
                with suppress(OSError):
                    names += self._shown(entry)
        return sorted(names, key=lambda name: os.fsencode(name.removesuffix("/")))

    def _shown(self, entry: "os.DirEntry[str]") -> list[str]:
        follow = self._tree.follow_symlinks
        if entry.is_symlink() and not follow:
            with self._branch() as other:
                mode = other.resolve(entry.name)[1].st_mode
            is_directory, is_file = stat.S_ISDIR(mode), stat.S_ISREG(mode)
        else:
            is_directory = entry.is_dir(follow_symlinks=follow)
            is_file = entry.is_file(follow_symlinks=follow)
        if is_directory:
            return [entry.name + "/"]
        return [entry.name] if is_file else []

    def _branch(self) -> "Walk":
        """Another walk that has come to the same place."""
        other = Walk(self._tree, [])
        try:
            for descriptor in self._descriptors:
                other._descriptors.append(os.dup(descriptor))
        except BaseException:
            other.__exit__(None, None, None)
            raise
        return other

    def _follow(self, name: str) -> tuple[str, os.stat_result]:
        """Go where the link *name* leads; see :meth:`resolve`."""
        ahead = [name]
        while ahead:
            name = ahead.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                self._ascend()
                continue
            status = self._status(name)
            if stat.S_ISLNK(status.st_mode):
                ahead += reversed(self._target(name).split("/"))
            elif any(ahead):
                self._descend(name)
            else:
                return name, status
        return "", os.fstat(self._descriptors[-1])

    def _target(self, name: str) -> str:
        """Where a link leads, as seen from the directory that the walk has come to."""
        self._links += 1
        target = os.readlink(name, dir_fd=self._descriptors[-1])
        if self._links > _MAX_LINKS:
            raise _escapes_tree(name)
        if target.startswith("/"):
            inside = self._tree.inside(target)
            if inside is None:
                raise _escapes_tree(name)
            while len(self._descriptors) > 1:
                self._ascend()
            return inside
        return target

    def _ascend(self) -> None:
        if len(self._descriptors) == 1:
            raise _escapes_tree("..")
        os.close(self._descriptors.pop())

    def _descend(self, name: str) -> None:
        self._descriptors.append(self._open(name, os.O_DIRECTORY))

    def _open(self, name: str, extra: int = 0) -> int:
        follow = 0 if self._tree.follow_symlinks else os.O_NOFOLLOW
        return os.open(_checked(name), _FLAGS | follow | extra, dir_fd=self._descriptors[-1])

    def _status(self, name: str) -> os.stat_result:
        return os.stat(
            _checked(name),
            dir_fd=self._descriptors[-1],
            follow_symlinks=self._tree.follow_symlinks,
        )


def _checked(name: str) -> str:
    """A name that stays in its directory.

    Raises:
        FileNotFoundError: it does not.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise _not_found(name)
    return name


def _not_found(name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _escapes_tree(name: str) -> OSError:
    return OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
