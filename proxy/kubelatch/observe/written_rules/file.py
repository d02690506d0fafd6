"""The file of ``--write-rules``: known to be writable from the start, replaced as a whole."""

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from ...errors import UsageError
from ...redact import redact_path


class RulesFile:
    """See the module.

    Args:
        path: as it was given. A symbolic link stays one; the file that it leads to is replaced.
        read: the files of ``--allow-rules``, which it must not be one of.

    Raises:
        UsageError: a file cannot be written there.
    """

    def __init__(self, path: str, read: Iterable[str]) -> None:
        self.path = Path(os.path.realpath(path))
        self.shown = redact_path(path)
        try:
            self._check(read)
            temporary = self._temporary()
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            temporary.unlink()
        except OSError as error:
            raise UsageError(
                f"--write-rules {self.shown}: {os.strerror(error.errno or 0)}",
                hint="name a file in a directory that the proxy may write to",
            ) from None

    @property
    def name(self) -> str:
        """The file's name without its suffixes."""
        return self.path.name.partition(".")[0]

    def replace(self, text: str) -> None:
        """Write *text*, so that the file has all of it or what it had before. Raises OSError."""
        temporary = self._temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            # What it may be read by is decided by the umask, or by the file that it replaces.
            with open(os.open(temporary, flags, 0o666), "w", encoding="utf-8") as file:
                if self.path.exists():
                    os.fchmod(file.fileno(), stat.S_IMODE(self.path.stat().st_mode))
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _temporary(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")

    def _check(self, read: Iterable[str]) -> None:
        if not self.path.exists():
            return
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):
            msg = f"--write-rules {self.shown}: it is no regular file"
            raise UsageError(msg, hint="it is replaced at the end; name a file")
        if any(os.path.exists(other) and os.path.samefile(self.path, other) for other in read):
            msg = "--write-rules and --allow-rules name the same file"
            raise UsageError(msg, hint="write to another one, and compare them")
        if not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, "")
        parent = self.path.parent.stat()
        sticky = parent.st_mode & stat.S_ISVTX
        # unlink(2): only owners replace a file in a directory such as /tmp.
        if sticky and os.geteuid() not in {0, status.st_uid, parent.st_uid}:
            raise PermissionError(errno.EPERM, "")
