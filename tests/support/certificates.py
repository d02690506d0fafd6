"""Certificate authorities made on the spot."""

import ssl
from dataclasses import dataclass
from datetime import datetime

import trustme


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, both PEM."""

    certificate: str
    key: str


class Authority:
    """A CA that signs servers for 127.0.0.1, ::1 and localhost, and clients by name."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> str:
        return self._ca.cert_pem.bytes().decode()

    def server(self, *names: str, ends: datetime | None = None) -> Identity:
        leaf = self._ca.issue_cert(*(names or ("127.0.0.1", "::1", "localhost")), not_after=ends)
        return _identity(leaf)

    def client(self, name: str = "admin", ends: datetime | None = None) -> Identity:
        leaf = self._ca.issue_cert(f"{name}@example.test", common_name=name, not_after=ends)
        return _identity(leaf)


def tls_server() -> ssl.SSLContext:
    """An empty context for a server to which a cut is no end, whatever this Python's default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
    return context


def _identity(leaf: trustme.LeafCert) -> Identity:
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return Identity(chain.decode(), leaf.private_key_pem.bytes().decode())
