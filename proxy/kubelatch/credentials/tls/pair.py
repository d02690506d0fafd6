"""Loads a certificate and its key, which are in memory, into an ``ssl.SSLContext``."""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...secret import Secret


class PairError(Exception):
    """Certificate and key cannot be used; the message says why.

    Args:
        problem: why.
        encrypted: the key is encrypted.
    """

    def __init__(self, problem: str, *, encrypted: bool = False) -> None:
        super().__init__(problem)
        self.encrypted = encrypted


def load_pair(context: ssl.SSLContext, chain: bytes, key: Secret) -> None:
    """Load a certificate chain in PEM, leaf first, and its key in PEM.

    Raises:
        PairError: they cannot be read, or do not belong together.
    """
    pair = chain.rstrip() + b"\n" + key.reveal().encode("latin-1")
    with _memory_file(pair) as path:
        try:
            context.load_cert_chain(path, password=_no_passphrase)
        except ssl.SSLError as error:
            raise PairError(_problem(error)) from None


def _no_passphrase() -> str:
    """Passphrase callback: without one, OpenSSL would prompt on the terminal and block."""
    msg = "the key is encrypted"
    raise PairError(msg, encrypted=True)


def _problem(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return "private key does not match public key"
        case "EE_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK" | "CA_KEY_TOO_SMALL":
            return f"too weak for this system's OpenSSL ({error.reason})"
        case reason:
            return f"no certificate and key in PEM ({reason or 'unreadable'})"


@contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    """A path to the content, in memory, for a library that takes only paths.

    Where the system has no memfd, it is a file of mode 0600 until the end of the block.
    """
    if sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("certificate")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        descriptor, path = tempfile.mkstemp()
        try:
            os.write(descriptor, content)
            yield path
        finally:
            Path(path).unlink()
            os.close(descriptor)
