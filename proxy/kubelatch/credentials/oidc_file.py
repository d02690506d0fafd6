"""Writes renewed OIDC tokens back to their kubeconfig.

Atomically, with the file's own mode, through symbolic links, and with the lock file that kubectl
uses.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..kubeconfig.edit import set_provider_config


def save_tokens(path: str, user: str, values: Mapping[str, str]) -> None:
    """Set *values* in the config of the user's ``auth-provider``. Blocks.

    Raises:
        OSError: the file or its directory cannot be written, or is locked.
        DecodeError: the file no longer has such a user.
    """
    with _lock(path):
        target = Path(path).resolve()
        edited = set_provider_config(target.read_text("utf-8"), user, values)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                os.fchmod(stream.fileno(), target.stat().st_mode & 0o777)
                stream.write(edited)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _lock(path: str) -> Iterator[None]:
    """client-go's ``lockFile``: ``PATH.lock``, created exclusively (``clientcmd/config.go``)."""
    lock = Path(f"{path}.lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
