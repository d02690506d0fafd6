"""Certificates of every kind, good and bad, beyond what trustme makes."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .certificates import Authority, Identity

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)
Key = Any
Extension = tuple[x509.ExtensionType, bool]

CA: Extension = (x509.BasicConstraints(ca=True, path_length=None), True)
NO_CA: Extension = (x509.BasicConstraints(ca=False, path_length=None), True)
SERVER: Extension = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
ANY: Extension = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)
CLIENT: Extension = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)


def new_key(kind: str = "p256") -> Key:
    """A private key: a curve, ``ed25519``, ``ed448`` or the size of an RSA key."""
    curves: dict[str, Callable[[], ec.EllipticCurve]] = {
        "p224": ec.SECP224R1,
        "p256": ec.SECP256R1,
        "p384": ec.SECP384R1,
        "p521": ec.SECP521R1,
        "k256": ec.SECP256K1,
    }
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind))


class LargeKey:
    """The public half of an RSA key of 8,200 bits, which nobody waits for the rest of."""

    def public_key(self) -> rsa.RSAPublicKey:
        return rsa.RSAPublicNumbers(65537, (1 << 8199) + 1).public_key()


def path_length(number: int) -> Extension:
    """A CA below which so many others may stand."""
    return (x509.BasicConstraints(ca=True, path_length=number), True)


def usage(*names: str) -> Extension:
    """A key usage with these bits."""
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return (x509.KeyUsage(**{name: name in names for name in every}), True)


def names(*texts: str) -> Extension:
    """A subjectAltName: addresses, ``mail:``, ``uri:``, and else DNS names."""
    found: list[x509.GeneralName] = []
    for text in texts:
        kind, _, value = text.partition(":")
        if kind == "mail":
            found.append(x509.RFC822Name(value))
        elif kind == "uri":
            found.append(x509.UniformResourceIdentifier(value))
        else:
            try:
                found.append(x509.IPAddress(ipaddress.ip_address(text)))
            except ValueError:
                found.append(x509.DNSName(text))
    return (x509.SubjectAlternativeName(found), False)


def trees(*texts: str) -> list[x509.GeneralName]:
    """Subtrees of name constraints: networks, ``mail:``, ``uri:``, ``dir:``, and else DNS."""
    found: list[x509.GeneralName] = []
    for text in texts:
        kind, _, value = text.partition(":")
        if kind == "mail":
            found.append(x509.RFC822Name(value))
        elif kind == "uri":
            found.append(x509.UniformResourceIdentifier(value))
        elif kind == "dir":
            found.append(x509.DirectoryName(name(value)))
        elif "/" in text:
            found.append(x509.IPAddress(ipaddress.ip_network(text)))
        else:
            found.append(x509.DNSName(text))
    return found


def only(*texts: str, critical: bool = True) -> Extension:
    """Name constraints that permit these."""
    return (x509.NameConstraints(trees(*texts), None), critical)


def all_but(*texts: str, critical: bool = True) -> Extension:
    """Name constraints that exclude these."""
    return (x509.NameConstraints(None, trees(*texts)), critical)


def key_id(digest: bytes) -> Extension:
    """A subjectKeyIdentifier."""
    return (x509.SubjectKeyIdentifier(digest), False)


def issuer_id(digest: bytes | None, issuer: str = "", serial: int | None = None) -> Extension:
    """An authorityKeyIdentifier."""
    named = [x509.DirectoryName(name(issuer))] if issuer else None
    return (x509.AuthorityKeyIdentifier(digest, named, serial), False)


def raw(oid: str, value: str, *, critical: bool = False) -> Extension:
    """Any extension, its value in hexadecimal."""
    value_bytes = bytes.fromhex(value)
    return (x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value_bytes), critical)


def name(common_name: str) -> x509.Name:
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def sign(
    subject: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    *extensions: Extension,
    begins: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + DAY,
    serial: int | None = None,
    algorithm: Any = None,
    pss: padding.PSS | None = None,
) -> x509.Certificate:
    """A certificate of version 3."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    if isinstance(issuer_key, ed25519.Ed25519PrivateKey):
        return builder.sign(issuer_key, None)
    return builder.sign(issuer_key, algorithm or hashes.SHA256(), rsa_padding=pss)


class Ca:
    """A name with a key, and a certificate that says so."""

    def __init__(
        self,
        common_name: str = "ca",
        *extensions: Extension,
        key: Key = None,
        issuer: "Ca | None" = None,
        **options: Any,
    ) -> None:
        self.name = common_name
        self.key = key or new_key()
        above = issuer or self
        self.certificate = sign(
            common_name, self.key, above.name, above.key, *(extensions or (CA,)), **options
        )

    def sign(
        self, subject: str, key: Key, *extensions: Extension, **options: Any
    ) -> x509.Certificate:
        """A certificate by this CA."""
        return sign(subject, key, self.name, self.key, *extensions, **options)


def altered(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, change: Callable[[bytes], bytes]
) -> bytes:
    """The DER of a certificate with another inside, signed anew with P-256 and SHA-256."""
    tbs = change(certificate.tbs_certificate_bytes)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return der(0x30, tbs + algorithm + der(0x03, b"\0" + signature))


def der(tag: int, content: bytes) -> bytes:
    """One element."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def content(element: bytes) -> bytes:
    """What one element holds."""
    size = element[1]
    return element[2:] if size < 128 else element[2 + (size & 0x7F) :]


def pem(*certificates: x509.Certificate | bytes) -> str:
    """A text with all of them."""
    blobs = [
        c if isinstance(c, bytes) else c.public_bytes(serialization.Encoding.DER)
        for c in certificates
    ]
    return "".join(map(ssl.DER_cert_to_PEM_cert, blobs))


def key_pem(key: Key) -> str:
    """A private key in PEM."""
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text.decode()


# nsCertType of a client: OpenSSL refuses a server with it, and Go does not know it.
ODD: Extension = raw("2.16.840.1.113730.1.1", "03020780")


class StrangeAuthority(Authority):
    """An authority whose servers OpenSSL refuses and Go accepts.

    Args:
        extensions: what their certificates have besides their names.
    """

    def __init__(self, *extensions: Extension) -> None:
        self._made = Ca("strange")
        self._extensions = extensions or (ODD,)

    @property
    def pem(self) -> str:
        return pem(self._made.certificate)

    def server(self, *called: str, ends: dt.datetime | None = None) -> Identity:
        own = names(*(called or ("127.0.0.1", "::1", "localhost")))
        return self._issue("server", own, *self._extensions, ends=ends or NOW + DAY)

    def client(self, name: str = "admin", ends: dt.datetime | None = None) -> Identity:
        return self._issue(name, CLIENT, ends=ends or NOW + DAY)

    def _issue(self, subject: str, *extensions: Extension, **options: Any) -> Identity:
        key = new_key()
        return Identity(pem(self._made.sign(subject, key, *extensions, **options)), key_pem(key))
