"""Parses one certificate as Go does, as far as path validation needs it.

A certificate that Go's ``crypto/x509`` cannot parse (``parser.go``) is refused, and so are a few
that Go can parse and ``cryptography`` cannot.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import (
    ExtensionOID,
    PublicKeyAlgorithmOID,
    SignatureAlgorithmOID,
)

from ...config.addresses import IPAddress, parse_server_ip
from .names import (
    Constraints,
    IPNetwork,
    Names,
    Subtrees,
    is_domain,
    is_mailbox,
)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# ``namedCurveFromOID``.
_CURVES: Final = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# ``processExtensions``: extensions that Go knows, and which so may be critical.
_KNOWN: Final = frozenset(
    {
        ExtensionOID.KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    }
)
_NEVER_CRITICAL: Final = frozenset(
    {
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    }
)
_KEYS: Final = frozenset(
    {
        PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
        PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
        PublicKeyAlgorithmOID.ED25519,
    }
)
# ``checkSignature`` refuses MD5 and SHA-1.
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_RSA_SIGNATURES: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
    }
)
_EC_SIGNATURES: Final = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)


class UnreadableCertificateError(ValueError):
    """Go, or ``cryptography``, cannot parse it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeerCertificate:
    """See the module.

    Attributes:
        key: None if Go does not know its algorithm.
        subject, issuer, key_info: DER.
        ca: as in the basic constraints; None without them.
        path_length: how many CAs may stand between it and the leaf; None for any number.
        may_sign: the key usage, if there is one, includes keyCertSign.
        usages: the extended key usages as dotted numbers; empty for all.
        alternatives: the subjectAltName in DER; None without one.
        unhandled: there is a critical extension that Go does not know.
        policies: it requires a policy or maps some, which is not supported.
    """

    certificate: x509.Certificate = field(repr=False)
    der: bytes = field(repr=False)
    subject: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    key_info: bytes = field(repr=False)
    key: PublicKey | None = field(repr=False)
    key_id: bytes = b""
    authority_key_id: bytes = b""
    ca: bool | None = None
    path_length: int | None = None
    may_sign: bool = True
    usages: frozenset[str] = frozenset()
    names: Names = field(default_factory=Names)
    alternatives: bytes | None = field(default=None, repr=False)
    constraints: Constraints | None = None
    unhandled: bool = False
    policies: bool = False

    @property
    def modern(self) -> bool:
        """X.509 version 3: a CA must have basic constraints."""
        return self.certificate.version is x509.Version.v3

    def is_signed_by(self, issuer: "PeerCertificate") -> bool:
        """Whether the key of *issuer* made the signature, by an algorithm that Go accepts.

        ``checkSignature``, and for RSA below 1,024 bits ``crypto/rsa``.
        """
        key, algorithm = issuer.key, self.certificate.signature_algorithm_oid
        if isinstance(key, rsa.RSAPublicKey):
            known = key.key_size >= 1024 and (algorithm in _RSA_SIGNATURES or self._is_pss())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            known = algorithm in _EC_SIGNATURES
        else:
            known = key is not None and algorithm == SignatureAlgorithmOID.ED25519
        if not known:
            return False
        try:
            self.certificate.verify_directly_issued_by(issuer.certificate)
        except Exception:  # noqa: BLE001 -- any error: not signed
            return False
        return True

    def _is_pss(self) -> bool:
        """RSA-PSS with one hash for all, and a salt as long (``getSignatureAlgorithmFromAI``)."""
        if self.certificate.signature_algorithm_oid != SignatureAlgorithmOID.RSASSA_PSS:
            return False
        parameters = self.certificate.signature_algorithm_parameters
        chosen = self.certificate.signature_hash_algorithm
        if not isinstance(parameters, padding.PSS) or chosen is None:
            return False
        return (
            chosen.name in _HASHES
            # cryptography has them only in private attributes.
            and parameters.mgf._algorithm.name == chosen.name
            and parameters._salt_length == chosen.digest_size
        )


def read(certificate: x509.Certificate) -> PeerCertificate:
    """Parse one certificate.

    Raises:
        UnreadableCertificateError: it cannot be parsed.
    """
    try:
        return _read(certificate)
    except UnreadableCertificateError:
        raise
    except Exception as error:
        # cryptography parses each part at its first use, and raises many kinds of errors.
        raise UnreadableCertificateError("a certificate cannot be read") from error


def _read(certificate: x509.Certificate) -> PeerCertificate:
    if certificate.serial_number < 0:
        raise UnreadableCertificateError("a certificate has a negative serial number")
    facts: dict[str, Any] = {}
    for extension in certificate.extensions:
        found, known = _extension(extension)
        facts |= found
        if extension.critical and not known:
            facts["unhandled"] = True
    key = _key(certificate)
    return PeerCertificate(
        certificate=certificate,
        der=certificate.public_bytes(serialization.Encoding.DER),
        subject=certificate.subject.public_bytes(),
        issuer=certificate.issuer.public_bytes(),
        key=key,
        key_info=key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if key is not None
        else b"",
        **facts,
    )


def _key(certificate: x509.Certificate) -> PublicKey | None:
    """``parsePublicKey``; None for a key that cannot sign in Go."""
    if certificate.public_key_algorithm_oid not in _KEYS:
        return None
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise UnreadableCertificateError("a certificate has an unknown kind of key") from error
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise UnreadableCertificateError("a certificate has a key on an unknown curve")
        return key
    return key if isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey) else None


def _extension(extension: x509.Extension[x509.ExtensionType]) -> tuple[dict[str, Any], bool]:
    """The fields from one extension, and whether Go knows all of it."""
    known = extension.oid in _KNOWN
    match extension.value:
        case x509.BasicConstraints() as value:
            return {"ca": value.ca, "path_length": value.path_length}, known
        case x509.KeyUsage() as value:
            return {"may_sign": value.key_cert_sign or not _has_usage(value)}, known
        case x509.ExtendedKeyUsage() as value:
            return {"usages": frozenset(usage.dotted_string for usage in value)}, known
        case x509.SubjectAlternativeName() as value:
            names = _names(value)
            return {"names": names, "alternatives": value.public_bytes()}, bool(names)
        case x509.NameConstraints() as value:
            permitted, all_permitted = _subtrees(value.permitted_subtrees)
            excluded, all_excluded = _subtrees(value.excluded_subtrees)
            constraints = Constraints(permitted=permitted, excluded=excluded)
            return {"constraints": constraints}, all_permitted and all_excluded
        case x509.SubjectKeyIdentifier() as value if not extension.critical:
            return {"key_id": value.digest}, True
        case x509.AuthorityKeyIdentifier() as value if not extension.critical:
            return {"authority_key_id": value.key_identifier or b""}, True
        case x509.PolicyConstraints() as value:
            return {"policies": True} if value.require_explicit_policy is not None else {}, known
        case _:
            pass
    if extension.critical and extension.oid in _NEVER_CRITICAL:
        raise UnreadableCertificateError("an extension must not be critical")
    return {"policies": True} if extension.oid == ExtensionOID.POLICY_MAPPINGS else {}, known


def _has_usage(usage: x509.KeyUsage) -> bool:
    """Whether any bit is set; without one, the extension is ignored (``CheckSignatureFrom``)."""
    return (
        usage.digital_signature
        or usage.content_commitment
        or usage.key_encipherment
        or usage.data_encipherment
        or usage.key_agreement
        or usage.crl_sign
    )


def _names(alternatives: x509.SubjectAlternativeName) -> Names:
    """``parseSANExtension``."""
    hosts = tuple(alternatives.get_values_for_type(x509.DNSName))
    mailboxes = tuple(alternatives.get_values_for_type(x509.RFC822Name))
    uris = tuple(alternatives.get_values_for_type(x509.UniformResourceIdentifier))
    if not all(name.isascii() for name in (*hosts, *mailboxes, *uris)):
        raise UnreadableCertificateError("a certificate has names that are not in ASCII")
    return Names(
        hosts=hosts,
        mailboxes=mailboxes,
        uris=uris,
        addresses=tuple(map(_address, alternatives.get_values_for_type(x509.IPAddress))),
    )


def _address(value: object) -> IPAddress:
    if isinstance(value, ipaddress.IPv4Address):
        return value
    if isinstance(value, ipaddress.IPv6Address) and value.ipv4_mapped is None:
        return value
    raise UnreadableCertificateError("a certificate has an address that is none")


def _subtrees(names: list[x509.GeneralName] | None) -> tuple[Subtrees, bool]:
    """One side of name constraints, and whether Go knows all kinds of names in it
    (``parseNameConstraintsExtension``)."""
    hosts: list[str] = []
    networks: list[IPNetwork] = []
    mailboxes: list[str] = []
    uri_hosts: list[str] = []
    known = True
    for name in names or ():
        match name:
            case x509.DNSName(value=value) if _is_tree(value):
                hosts.append(value)
            case x509.IPAddress(value=ipaddress.IPv4Network() as network):
                networks.append(network)
            case x509.IPAddress(value=ipaddress.IPv6Network() as network) if (
                network.network_address.ipv4_mapped is None
            ):
                networks.append(network)
            case x509.RFC822Name(value=value) if (
                is_mailbox(value) if "@" in value else _is_tree(value)
            ):
                mailboxes.append(value)
            case x509.UniformResourceIdentifier(value=value) if (
                _is_tree(value) and parse_server_ip(value) is None
            ):
                uri_hosts.append(value)
            case x509.DNSName() | x509.IPAddress() | x509.RFC822Name():
                raise UnreadableCertificateError("a name constraint cannot be read")
            case x509.UniformResourceIdentifier():
                raise UnreadableCertificateError("a name constraint cannot be read")
            case _:
                known = False
    return (
        Subtrees(
            hosts=tuple(hosts),
            networks=tuple(networks),
            mailboxes=tuple(mailboxes),
            uri_hosts=tuple(uri_hosts),
        ),
        known,
    )


def _is_tree(value: str) -> bool:
    return value.isascii() and is_domain(value, constraint=True)
