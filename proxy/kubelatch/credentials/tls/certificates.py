"""Certificates in PEM: finding them in a text, and reading what a person wants to know.

OpenSSL does all that matters for security. Python's ``ssl`` cannot show a client certificate's
validity and subject, which a person needs, so ``cryptography`` reads those; it is imported only
when somebody asks.
"""

import re
from dataclasses import dataclass, field

from ...secret import Secret

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----(?P<body>[^-]*)-----END CERTIFICATE-----", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A certificate chain in PEM, leaf first, and its key in PEM."""

    chain: bytes = field(repr=False)
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateInfo:
    """What to tell of a certificate. Times are seconds since the epoch.

    Kubernetes takes the common name for the user and the organizations for the groups.
    """

    not_before: float
    not_after: float
    common_name: str = ""
    organizations: tuple[str, ...] = ()


def certificate_blocks(pem: bytes) -> list[bytes]:
    """The ``CERTIFICATE`` blocks of a text that may hold comments and other blocks."""
    return [match.group(0) + b"\n" for match in _CERTIFICATE.finditer(pem)]


def certificate_info(pem: bytes) -> CertificateInfo | None:
    """Read the first certificate of a PEM text; ``None`` if there is none that makes sense.

    The first call takes a fifth of a second, for the import: not for the event loop.
    """
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    match = _CERTIFICATE.search(pem)
    if match is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(match[0])
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    except (ValueError, x509.InvalidVersion):
        return None
    return CertificateInfo(
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        common_name=str(names[0].value) if names else "",
        organizations=tuple(str(group.value) for group in groups),
    )
