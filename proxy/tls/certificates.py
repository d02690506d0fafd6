"""Certificates in PEM: finding them in a text, and reading what a person wants to know.

Of a certificate three things are of interest here: until when it is valid, since when, and whom
it names. OpenSSL does all that matters for security; Python's ``ssl`` cannot show these three
for a client certificate, and a full X.509 library costs a tenth of a second at every start. So
the few DER elements on the way to them are walked here.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..secret import Secret

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----(?P<body>[^-]*)-----END CERTIFICATE-----", re.DOTALL
)
_COMMON_NAME = bytes.fromhex("550403")
_ORGANIZATION = bytes.fromhex("55040a")
_CONTEXT_0 = 0xA0
_UTC_TIME = 0x17
_UTF16_STRING = 0x1E


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
    """Read the first certificate of a PEM text; ``None`` if there is none that makes sense."""
    match = _CERTIFICATE.search(pem)
    if match is None:
        return None
    try:
        return _read(base64.b64decode(b"".join(match["body"].split()), validate=True))
    except (binascii.Error, ValueError, IndexError):
        return None


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    body: bytes


def _read(der: bytes) -> CertificateInfo:
    """RFC 5280, 4.1: Certificate, TBSCertificate, then validity and subject by position."""
    certificate = next(_elements(der))
    tbs = list(_elements(next(_elements(certificate.body)).body))
    if tbs[0].tag == _CONTEXT_0:
        del tbs[0]  # the version, absent in version 1
    _serial, _algorithm, _issuer, validity, subject = tbs[:5]
    not_before, not_after = (_time(element) for element in _elements(validity.body))
    names = list(_names(subject.body))
    return CertificateInfo(
        not_before=not_before,
        not_after=not_after,
        common_name=next((text for kind, text in names if kind == _COMMON_NAME), ""),
        organizations=tuple(text for kind, text in names if kind == _ORGANIZATION),
    )


def _elements(der: bytes) -> Iterator[_Element]:
    """The elements of a DER sequence, one level deep. Raises ValueError, IndexError."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("a DER element is longer than its surroundings")
        yield _Element(tag, der[at : at + length])
        at += length


def _time(element: _Element) -> float:
    """RFC 5280, 4.1.2.5: UTCTime until 2049, where two digits below 50 are this century."""
    text = element.body.decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _names(subject: bytes) -> Iterator[tuple[bytes, str]]:
    """The attributes of a distinguished name as (type, text)."""
    for relative_name in _elements(subject):
        for attribute in _elements(relative_name.body):
            kind, value = _elements(attribute.body)
            encoding = "utf-16-be" if value.tag == _UTF16_STRING else "utf-8"
            yield kind.body, value.body.decode(encoding, "replace")
