"""The secret that the inspector's interface requires: made at each start, or kept in a file."""

import os
import re
import secrets
from typing import Final

from ..errors import ConfigError
from ..secret import Secret

# RFC 6750 section 2.1 (b64token). Shorter ones can be guessed.
_SECRET: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")


def make_secret() -> Secret:
    """A new secret of 256 bits."""
    return Secret(secrets.token_urlsafe(32))


def read_secret(path: str) -> Secret:
    """The secret in a file, which is made for its owner only if it does not exist.

    Raises:
        ConfigError: it can be neither read nor made, or holds no such secret.
    """
    hint = "look at --inspect-secret-file"
    try:
        try:
            return _create(path)
        except FileExistsError:
            return _read(path)
    except OSError as error:
        msg = f"cannot use the inspector's secret in {path}: {error.strerror}"
        raise ConfigError(msg, hint=hint) from None
    except ValueError as error:
        raise ConfigError(f"the inspector's secret in {path} {error}", hint=hint) from None


def load_secret(path: str) -> Secret:
    """The secret in a file that exists. Raises ConfigError."""
    try:
        return _read(path)
    except OSError as error:
        msg = f"cannot read the inspector's secret in {path}: {error.strerror}"
    except ValueError as error:
        msg = f"the inspector's secret in {path} {error}"
    raise ConfigError(msg, hint="it is the file that the proxy has in --inspect-secret-file")


def _create(path: str) -> Secret:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    secret = make_secret()
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret.reveal()}\n")
    return secret


def _read(path: str) -> Secret:
    # A named pipe without a writer would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        text = (file.read(1024) or b"").decode("ascii", "replace").strip()
    if not _SECRET.fullmatch(text):
        msg = "is none: it needs 16 letters or digits at least, in one line"
        raise ValueError(msg)
    return Secret(text)
