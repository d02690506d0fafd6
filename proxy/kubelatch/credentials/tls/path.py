"""Certification path validation as Go does it.

It follows ``Certificate.Verify`` of Go's ``crypto/x509`` (``verify.go``), as ``crypto/tls`` calls
it for a client (``verifyServerCertificate`` of ``handshake_client.go``), and never accepts more. It
is stricter with policies: a path in which one is required or mapped is refused, since no Kubernetes
CA has them.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from .names import NameRefusedError, matches_server
from .peer import PeerCertificate

# ``maxChainSignatureChecks``: for all paths together.
MAX_SIGNATURE_CHECKS: Final = 100
# ``checkKeySize`` of crypto/tls, in bits.
_MAX_RSA_BITS: Final = 8192
_SERVER_USAGES: Final = frozenset(
    {
        ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string,
    }
)

# OpenSSL's verify codes (x509_vfy.h), as in ``ssl.SSLCertVerificationError``.
UNSPECIFIED: Final = 1
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
UNKNOWN_AUTHORITY: Final = 20
PATH_TOO_LONG: Final = 25
WRONG_PURPOSE: Final = 26
UNKNOWN_EXTENSION: Final = 34
NAME_NOT_PERMITTED: Final = 47
WRONG_NAME: Final = 62
NOT_A_CA: Final = 79


class RefusedError(Exception):
    """The chain is refused.

    Attributes:
        code: OpenSSL's verify code.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class CertificatePool:
    """Certificates by name, each once (``CertPool``)."""

    def __init__(self, certificates: Sequence[PeerCertificate]) -> None:
        self._by_name: dict[bytes, list[PeerCertificate]] = {}
        for certificate in certificates:
            if certificate not in self:
                self._by_name.setdefault(certificate.subject, []).append(certificate)

    def __contains__(self, certificate: PeerCertificate) -> bool:
        same = self._by_name.get(certificate.subject, ())
        return any(known.der == certificate.der for known in same)

    def parents(self, child: PeerCertificate) -> list[PeerCertificate]:
        """The certificates with its issuer's name, those with the right key identifier first
        (``findPotentialParents``)."""
        named = self._by_name.get(child.issuer, [])
        return sorted(named, key=lambda parent: _distance(child, parent))


def _distance(child: PeerCertificate, parent: PeerCertificate) -> int:
    if parent.key_id == child.authority_key_id:
        return 0
    return 2 if parent.key_id and child.authority_key_id else 1


def verify(
    chain: Sequence[PeerCertificate], anchors: CertificatePool, server: str, now: datetime
) -> None:
    """Check that the first of *chain* is for *server*, and has a path to an anchor.

    Args:
        chain: as the server sent it, its own certificate first; the rest in any order.
        anchors: the trusted certificates; the server's own may be among them.
        server: name or address.
        now: with a time zone.

    Raises:
        RefusedError: it is not, or has none.
    """
    if not chain:
        raise RefusedError(UNSPECIFIED, "the server sent no certificate")
    leaf = chain[0]
    for certificate in chain:
        key = certificate.key
        if isinstance(key, rsa.RSAPublicKey) and key.key_size > _MAX_RSA_BITS:
            raise RefusedError(UNSPECIFIED, "an RSA key is too large")
    if leaf.key is None:
        raise RefusedError(UNSPECIFIED, "its key is of an unknown kind")
    _check(leaf, now)
    if not matches_server(leaf.names, server):
        raise RefusedError(WRONG_NAME, "it is for other names")
    search = _Search(anchors, CertificatePool(chain[1:]), now)
    for path in [[leaf]] if leaf in anchors else search.paths([leaf]):
        try:
            _check_path(path)
        except RefusedError as error:
            search.note(error)
        else:
            return
    raise search.refusal or RefusedError(
        UNKNOWN_AUTHORITY, "no trusted certificate has the name of its issuer"
    )


class _Search:
    """Paths from a leaf to an anchor, as ``buildChains`` finds them.

    Attributes:
        refusal: the first error that was noted.
    """

    def __init__(
        self, anchors: CertificatePool, intermediates: CertificatePool, now: datetime
    ) -> None:
        self._pools = ((anchors, True), (intermediates, False))
        self._now = now
        self._checks = 0
        self.refusal: RefusedError | None = None

    def note(self, error: RefusedError) -> None:
        """Store why a path is refused, if it is the first."""
        if self.refusal is None:
            self.refusal = error

    def paths(self, path: list[PeerCertificate]) -> Iterator[list[PeerCertificate]]:
        """The paths that extend *path* to an anchor.

        Raises:
            RefusedError: there were too many signatures to check.
        """
        for pool, trusted in self._pools:
            for parent in pool.parents(path[-1]):
                if parent.key is None or _is_in(parent, path):
                    continue
                self._checks += 1
                if self._checks > MAX_SIGNATURE_CHECKS:
                    raise RefusedError(UNSPECIFIED, "there are too many certificates to try")
                try:
                    _check_issuer(path, parent, self._now, trusted=trusted)
                except RefusedError as error:
                    self.note(error)
                    continue
                if trusted:
                    yield [*path, parent]
                else:
                    yield from self.paths([*path, parent])


def _is_in(candidate: PeerCertificate, path: Sequence[PeerCertificate]) -> bool:
    """Whether the path has the same CA, in any certificate (``alreadyInChain``)."""
    return any(
        candidate.subject == known.subject
        and candidate.key_info == known.key_info
        and candidate.alternatives == known.alternatives
        for known in path
    )


def _check(certificate: PeerCertificate, now: datetime) -> None:
    """The checks for each certificate (``isValid``)."""
    if certificate.unhandled:
        raise RefusedError(UNKNOWN_EXTENSION, "it has an unknown critical extension")
    if now < certificate.certificate.not_valid_before_utc:
        raise RefusedError(NOT_YET_VALID, "it is not valid yet")
    if now > certificate.certificate.not_valid_after_utc:
        raise RefusedError(EXPIRED, "it has expired")


def _check_issuer(
    path: Sequence[PeerCertificate], parent: PeerCertificate, now: datetime, *, trusted: bool
) -> None:
    """Check that *parent* is a CA, and signed the end of *path* (``CheckSignatureFrom``, then
    ``isValid``). A trusted certificate before X.509 version 3 counts as a CA."""
    if parent.ca is False or (parent.ca is None and (parent.modern or not trusted)):
        raise RefusedError(NOT_A_CA, "its issuer is no authority")
    if not parent.may_sign:
        raise RefusedError(NOT_A_CA, "its issuer may not sign certificates")
    if not path[-1].is_signed_by(parent):
        raise RefusedError(
            UNKNOWN_AUTHORITY,
            "a certificate of its issuer's name is known, whose key has not signed it",
        )
    _check(parent, now)
    if parent.path_length is not None and len(path) - 1 > parent.path_length:
        raise RefusedError(PATH_TOO_LONG, "there are too many authorities on the way")


def _check_path(path: Sequence[PeerCertificate]) -> None:
    """The checks for a whole path: usages, names, policies."""
    # ``checkChainForKeyUsage``: a CA's restriction applies to all certificates below it.
    for certificate in path:
        if certificate.usages and not certificate.usages & _SERVER_USAGES:
            raise RefusedError(WRONG_PURPOSE, "it is not for servers")
    # ``policiesValid``
    if len(path) > 1 and any(certificate.policies for certificate in path):
        raise RefusedError(UNSPECIFIED, "it is subject to policies")
    # ``checkChainConstraints``
    for number, authority in enumerate(path):
        if authority.constraints is None:
            continue
        for below in path[:number]:
            try:
                authority.constraints.check(below.names)
            except NameRefusedError as error:
                raise RefusedError(NAME_NOT_PERMITTED, str(error)) from error
