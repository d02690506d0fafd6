"""A credential, and the interface of its sources."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..secret import Secret
from .tls import CertificateInfo, ClientCertificate

Kind = Literal[
    "client-certificate", "token", "token-file", "basic", "exec", "oidc", "anonymous", "client"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What authenticates a request.

    ``authorization`` is the whole value of the header field. ``certificate`` is the same object
    until it changes, so that ``is`` tells whether a TLS context is still the right one.
    ``expires_at`` is in seconds since the epoch, or ``None`` if unknown.
    """

    kind: Kind
    authorization: Secret | None = None
    certificate: ClientCertificate | None = None
    expires_at: float | None = None

    def same_as(self, other: "Credential") -> bool:
        """Whether both are the same to the API server."""
        return self.authorization == other.authorization and self.certificate == other.certificate


CLIENT_SUPPLIED: Final = Credential(kind="client")
"""Stands for a credential that the client sends itself; none of the proxy's is added."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SourceStatus:
    """The state of a source, without secrets. Times are seconds since the epoch."""

    kind: Kind
    detail: str = ""
    expires_at: float | None = None
    certificate: CertificateInfo | None = None
    files: tuple[str, ...] = ()
    last_error: str = ""


class CredentialSource(Protocol):
    """Provides the current credential. Called on the event loop, but for :meth:`reload`."""

    def cached(self) -> Credential | None:
        """A valid credential without waiting, or ``None``. Called for every request."""
        ...

    async def get(self) -> Credential:
        """A valid credential; waits for one if necessary.

        Many may wait for the same attempt; a cancelled waiter does not cancel it.

        Raises:
            CredentialError: there is none; the error has the reason.
        """
        ...

    async def invalidate(self, credential: Credential) -> Credential | None:
        """Report that the API server responded 401 to this credential.

        Returns:
            Another credential to try once, or ``None``.
        """
        ...

    def reload(self) -> Credential | None:
        """Read files that have changed, and return the current credential, if any.

        Nothing is fetched. Blocks: call it in a thread, one call at a time.
        """
        ...

    async def close(self) -> None:
        """Cancel a running attempt."""
        ...

    def describe(self) -> SourceStatus:
        """The source's state."""
        ...
