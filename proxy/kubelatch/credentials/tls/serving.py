"""TLS towards clients: the server's context, and a certificate made on the spot."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ...config.addresses import parse_ip
from ...errors import ConfigError
from ...secret import Secret
from .certificates import certificate_blocks, certificate_info
from .context import IGNORE_UNEXPECTED_EOF
from .pair import PairError, load_pair

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

# How an authority's name begins.
_TITLE: Final = "kubelatch, made "
_CLOCK_SKEW: Final = timedelta(hours=1)
# Longer than a process lives. Nobody can sign with the authority's key, which is forgotten.
_VALID: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """What the proxy shows to clients.

    Attributes:
        chain: certificates in PEM, leaf first.
        key: the leaf's key in PEM.
        ca: what clients have to trust, in PEM; empty if the system's CAs.
    """

    chain: bytes = field(repr=False)
    key: Secret
    ca: bytes = field(repr=False)


class ServerContext(ssl.SSLContext):
    """Makes the server's side of connections."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """The server's side; *server_hostname* means nothing."""
        return super().wrap_bio(incoming, outgoing, server_side=True)


def server_context(certificate: ServerCertificate) -> ServerContext:
    """A context for TLS 1.2 or newer, HTTP/1.1 and clients without certificates.

    Raises:
        ConfigError: certificate and key cannot be used.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options &= ~IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL sends two; one is enough to resume, and half the work.
    context.num_tickets = 1
    try:
        load_pair(context, certificate.chain, certificate.key)
    except PairError as error:
        hint = "look at the two files of --tls=CERT,KEY"
        if error.encrypted:
            hint = "decrypt it: openssl pkey -in KEY -out NEW, and protect NEW by its file mode"
        msg = f"the certificate of --tls cannot be used: {error}"
        raise ConfigError(msg, hint=hint) from None
    return context


def trusted_by_clients(chain: bytes) -> bytes:
    """The last certificate of a chain if it is its own issuer; else empty: clients are expected to
    know the issuer.

    The first call takes 0.2 s for an import.
    """
    from cryptography import x509  # noqa: PLC0415

    blocks = certificate_blocks(chain)
    try:
        last = x509.load_pem_x509_certificate(blocks[-1]) if blocks else None
    except ValueError:
        return b""
    return blocks[-1] if last is not None and last.issuer == last.subject else b""


def make_certificate(names: Sequence[str]) -> ServerCertificate:
    """A new authority, and a certificate of it for *names*: host names and IP addresses.

    The authority's key is forgotten at once. The first call takes 0.2 s for an import.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # With its time, so that clients which know an older one do not take one for the other.
    issuer = f"{_TITLE}{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ca = _sign(issuer, issuer, ca_key, ca_key, _of_authority())
    leaf = _sign("kubelatch", issuer, key, ca_key, _of_server(names))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return ServerCertificate(chain=leaf + ca, key=Secret(pem.decode("ascii")), ca=ca)


def is_own_authority(pem: bytes) -> bool:
    """Whether it is an authority of :func:`make_certificate`."""
    info = certificate_info(pem)
    return info is not None and info.common_name.startswith(_TITLE)


def _of_authority() -> "list[tuple[x509.ExtensionType, bool]]":
    from cryptography import x509  # noqa: PLC0415

    return [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage(key_cert_sign=True), True),
    ]


def _of_server(names: Sequence[str]) -> "list[tuple[x509.ExtensionType, bool]]":
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    addresses = {name: parse_ip(name) for name in names}
    alternatives: list[x509.GeneralName] = [
        x509.DNSName(name) if address is None else x509.IPAddress(address)
        for name, address in addresses.items()
    ]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(alternatives), False),
    ]


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> "x509.KeyUsage":
    from cryptography import x509  # noqa: PLC0415

    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(
    subject: str,
    issuer: str,
    key: "ec.EllipticCurvePrivateKey",
    ca_key: "ec.EllipticCurvePrivateKey",
    extensions: "list[tuple[x509.ExtensionType, bool]]",
) -> bytes:
    """A certificate in PEM for *key*; extensions with whether they are critical."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    now = datetime.now(UTC)
    issuer_key = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key),
            critical=False,
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
