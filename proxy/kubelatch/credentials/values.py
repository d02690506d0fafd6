"""What authenticates a request, and the seam through which it is had."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..secret import Secret
from .tls import CertificateInfo, ClientCertificate

Kind = Literal[
    "client-certificate", "token", "token-file", "basic", "exec", "oidc", "anonymous", "client"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who we are, right now.

    ``authorization`` is the whole value of the header. ``certificate`` stays the same object
    until it changes, so ``is`` tells whether a TLS context is still the right one.
    ``expires_at`` is in seconds since the epoch; ``None`` means that nobody said.
    """

    kind: Kind
    authorization: Secret | None = None
    certificate: ClientCertificate | None = None
    expires_at: float | None = None

    def same_as(self, other: "Credential") -> bool:
        """Whether the API server could not tell the two apart."""
        return self.authorization == other.authorization and self.certificate == other.certificate


CLIENT_SUPPLIED: Final = Credential(kind="client")
"""Stands for what a client has brought itself: nothing of ours goes with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """How a source is doing, without secrets. Times are seconds since the epoch."""

    kind: Kind
    detail: str = ""
    expires_at: float | None = None
    certificate: CertificateInfo | None = None
    files: tuple[str, ...] = ()
    last_error: str = ""


class CredentialSource(Protocol):
    """Provides the current credential. Called on the event loop, but for :meth:`reload`."""

    def cached(self) -> Credential | None:
        """A fresh credential without waiting, or ``None``. Called for every request."""
        ...

    async def get(self) -> Credential:
        """A credential, waiting for one if need be.

        Many may wait for the same attempt; one that stops waiting does not end it.

        Raises:
            CredentialError: there is none now, and why.
        """
        ...

    async def invalidate(self, credential: Credential) -> Credential | None:
        """Say that the API server answered 401 to this one.

        Returns:
            Another credential to try once, or ``None`` if there is no other.
        """
        ...

    def reload(self) -> Credential | None:
        """Read the files that it is made from again if they changed, and return what there is.

        Nothing is fetched. It blocks, and belongs into a thread: one at a time.
        """
        ...

    async def close(self) -> None:
        """Stop what is under way."""
        ...

    def describe(self) -> SourceStatus:
        """How it is doing."""
        ...
