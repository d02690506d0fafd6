"""A certificate authority that lives as long as the process.

Keys are ECDSA P-256, made in a few milliseconds, and never written to a file system: ``ssl``
loads them from an anonymous memory file, or, where there is none, from a file of mode 0600 that
is unlinked at once.
"""

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..secret import Secret

AUTHORITY_NAME = "kubelatch-demo-ca"
CLIENTS_NAME = "kubelatch-demo-client-ca"
_LIFETIME = dt.timedelta(days=365)
_CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key, as PEM."""

    certificate_pem: str
    key_pem: Secret


class Authority:
    """Signs the API server's certificate, or its users' client certificates.

    Args:
        name: the common name of its own certificate.
    """

    def __init__(self, name: str = AUTHORITY_NAME) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(_name(name), self._key.public_key(), None)
        pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        self.certificate_pem = pem.decode()

    def issue_server(self, hosts: list[str]) -> Issued:
        """A certificate for the names and addresses in ``hosts``."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        return self._issue("kube-apiserver", (), names)

    def issue_client(self, user: str, groups: tuple[str, ...]) -> Issued:
        """A client certificate: the common name is the user, organisations are its groups."""
        return self._issue(user, groups, None)

    def issue_for(self, request: x509.CertificateSigningRequest, seconds: int) -> str:
        """A client certificate for the key and subject of a request, as PEM."""
        lifetime = dt.timedelta(seconds=seconds)
        certificate = self._sign(request.subject, request.public_key(), [], lifetime)
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _issue(
        self, common_name: str, groups: tuple[str, ...], hosts: list[x509.GeneralName] | None
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_name(common_name, *groups), key.public_key(), hosts or [])
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Issued(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key_pem=Secret(key_pem.decode()),
        )

    def _sign(
        self,
        subject: x509.Name,
        public_key: CertificatePublicKeyTypes,
        hosts: list[x509.GeneralName] | None,
        lifetime: dt.timedelta = _LIFETIME,
    ) -> x509.Certificate:
        """Sign for a host (names given), a user (no names) or ourselves (``None``)."""
        now = dt.datetime.now(dt.UTC)
        is_authority = hosts is None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_authority else self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_key_usage(is_authority=is_authority), critical=True)
        )
        if hosts is not None:
            purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def server_context(authority: Authority, clients: Authority, hosts: list[str]) -> ssl.SSLContext:
    """TLS as the API server speaks it: HTTP/1.1, client certificates asked for but optional.

    OpenSSL would send *authority* with the server's certificate if it were trusted here, which the
    API server does not; so clients have an authority of their own.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python sets it by default up to 3.11.2: a request cut short would then look whole.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(cadata=clients.certificate_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    _load(context, authority.issue_server(hosts))
    return context


def _name(common_name: str, *organisations: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organisations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _load(context: ssl.SSLContext, issued: Issued) -> None:
    """``load_cert_chain`` takes a path only; give it one that no other process can open later."""
    pem = f"{issued.certificate_pem}{issued.key_pem.reveal()}".encode()
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("demo-key", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    descriptor, path = tempfile.mkstemp()
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(path)
    finally:
        os.close(descriptor)
        Path(path).unlink()
