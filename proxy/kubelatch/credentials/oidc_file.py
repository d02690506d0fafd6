"""Writing renewed OIDC tokens back to the kubeconfig they came from.

Whole or not at all, with the file's own mode, through symbolic links, and under the lock file
that kubectl takes for the same purpose.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..kubeconfig.edit import set_provider_config


def save_tokens(path: str, user: str, values: Mapping[str, str]) -> None:
    """Set these keys of the user's provider. Blocks.

    Raises:
        OSError: the file or its directory cannot be written, or someone holds the lock.
        DecodeError: the file is no longer what it was.
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
    """client-go's ``lockFile``: a file beside it that must not exist (``clientcmd/config.go``)."""
    lock = Path(f"{path}.lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
