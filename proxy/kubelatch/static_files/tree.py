"""Path resolution within a directory tree, one name at a time, from descriptor to descriptor.

The kernel never resolves a path or follows a symbolic link here: links are read, and their targets
walked in the same way. What is checked is therefore what is opened, even while the tree changes,
and no link leads out of it, as with ``RESOLVE_BENEATH`` of openat2(2), which not every system has.
Links within the tree are needed for ConfigMap volumes and git-sync.
"""

import errno
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

# Linux' limit (path_resolution(7)).
_MAX_LINKS: Final = 40
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# The errors of O_DIRECTORY and O_NOFOLLOW for a symbolic link.
_LINK: Final = {errno.ELOOP, errno.ENOTDIR}


class Tree:
    """A directory and everything below it.

    Args:
        directory: its path, resolved again for each walk; it may be a symbolic link.
        follow_symlinks: symbolic links may lead out of the tree.
    """

    def __init__(self, directory: str, *, follow_symlinks: bool = False) -> None:
        self.directory = directory
        self.follow_symlinks = follow_symlinks

    def walk(self) -> "TreeWalk":
        """A walk that starts at the top. Raises OSError."""
        return TreeWalk(self, [os.open(self.directory, _FLAGS | os.O_DIRECTORY)])

    def inside(self, path: str) -> str | None:
        """An absolute path relative to the top; None if it is outside the tree."""
        top = os.path.abspath(self.directory)
        for known in (top, os.path.realpath(top)):
            start = known.rstrip("/")
            if path == start or path.startswith(start + "/"):
                return path[len(start) :]
        return None


class TreeWalk:
    """One path resolution: the open directories from the top down to the current one.

    Args:
        tree: the tree.
        descriptors: of the directories; closed at the end of the walk.
    """

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
        """Enter the directory *name*, or the one that a symbolic link of that name points to.

        Raises:
            OSError: it does not exist or may not be entered; the walk cannot be used any more.
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
        """Resolve *name*; if it is a symbolic link, move to the directory of its target.

        Returns:
            The target's name there, empty if it is the directory itself; its status.

        Raises:
            OSError: it does not exist, or is a link that is broken or leads out of the tree; the
                walk has not moved.
        """
        status = self._status(name)
        if not stat.S_ISLNK(status.st_mode):
            return name, status
        with self._branch() as other:
            found = other._follow(name)
            self._descriptors, other._descriptors = other._descriptors, self._descriptors
        return found

    def open_file(self, name: str) -> tuple[int, os.stat_result]:
        """Open a regular file, or the one that a symbolic link of that name points to.

        Returns:
            Its descriptor, for the caller to close, and its status.

        Raises:
            OSError: it is no regular file.
        """
        # Checked before opening, since opening a device or a pipe has side effects, and again
        # afterwards, since the file may have been replaced in between.
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
        """The names that can be served, sorted as in Go; directories end with a slash."""
        names = []
        with os.scandir(self._descriptors[-1]) as entries:
            for entry in entries:
                # Links that are broken, circular or lead out of the tree are left out.
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

    def _branch(self) -> "TreeWalk":
        """A copy of this walk, with its own descriptors."""
        other = TreeWalk(self._tree, [])
        try:
            for descriptor in self._descriptors:
                other._descriptors.append(os.dup(descriptor))
        except BaseException:
            other.__exit__(None, None, None)
            raise
        return other

    def _follow(self, name: str) -> tuple[str, os.stat_result]:
        """Follow the symbolic link *name*; see :meth:`resolve`."""
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
        """The target of a symbolic link, relative to the current directory; an absolute target
        moves the walk to the top."""
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
    """The name, if it names an entry of its directory.

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
