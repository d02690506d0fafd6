"""Certificates in PEM: finds them in a text, and reads validity and subject.

Verification is done elsewhere, by OpenSSL. Python's ``ssl`` cannot show a client certificate's
validity and subject, so ``cryptography`` reads them; it is imported when first needed.
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CertificateInfo:
    """A certificate's validity, in seconds since the epoch, and its subject.

    To Kubernetes the common name is the user and the organizations are the groups.
    """

    not_before: float
    not_after: float
    common_name: str = ""
    organizations: tuple[str, ...] = ()


def certificate_blocks(pem: bytes) -> list[bytes]:
    """The ``CERTIFICATE`` blocks of a text that may hold comments and other blocks."""
    return [match.group(0) + b"\n" for match in _CERTIFICATE.finditer(pem)]


def certificate_info(pem: bytes) -> CertificateInfo | None:
    """Read the first certificate of a PEM text; ``None`` if none can be parsed.

    The first call takes 0.2 s for the import: do not call it on the event loop.
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
