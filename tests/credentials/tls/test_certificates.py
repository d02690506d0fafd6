"""What is read of a certificate, with a full X.509 library as the oracle."""

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.credentials.tls import (
    CertificateInfo,
    ClientCertificate,
    certificate_info,
    client_context,
)
from kubelatch.kubeconfig import TlsConfig
from kubelatch.secret import Secret

KEY = ec.generate_private_key(ec.SECP256R1())
TIMES = st.integers(40_000_000, 10_000_000_000).map(lambda s: dt.datetime.fromtimestamp(s, dt.UTC))
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=16)


def certificate(
    begins: dt.datetime,
    ends: dt.datetime,
    name: str = "me",
    groups: tuple[str, ...] = (),
    key: Any = KEY,
) -> bytes:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    subject = x509.Name(attributes)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, algorithm)
    )
    return signed.public_bytes(serialization.Encoding.PEM)


@given(st.tuples(TIMES, TIMES).map(sorted), TEXTS, st.lists(TEXTS, max_size=3))
def test_validity_and_names(times: Any, name: str, groups: list[str]) -> None:
    begins, ends = times
    info = certificate_info(b"a comment\n" + certificate(begins, ends, name, tuple(groups)))

    assert info is not None
    assert (info.not_before, info.not_after) == (begins.timestamp(), ends.timestamp())
    assert (info.common_name, info.organizations) == (name, tuple(groups))


@given(st.binary(max_size=200))
def test_anything_else_is_nothing(content: bytes) -> None:
    import base64

    body = base64.encodebytes(content)
    pem = b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % body
    assert certificate_info(content) is None
    assert certificate_info(pem) is None


@pytest.mark.filterwarnings("ignore:Parsed a")
@given(st.integers(0, 300), st.integers(0, 255))
def test_a_damaged_certificate_does_no_harm(place: int, byte: int) -> None:
    import base64

    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    whole = certificate(now, now)
    der = bytearray(base64.b64decode(b"".join(whole.split(b"\n")[1:-2])))
    der[place % len(der)] = byte
    pem = b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n"
    info = certificate_info(pem % base64.encodebytes(bytes(der)))
    assert info is None or isinstance(info, CertificateInfo)


FORMATS: dict[str, tuple[Any, serialization.PrivateFormat]] = {
    "pkcs1": (
        rsa.generate_private_key(65537, 2048),
        serialization.PrivateFormat.TraditionalOpenSSL,
    ),
    "pkcs8": (rsa.generate_private_key(65537, 2048), serialization.PrivateFormat.PKCS8),
    "sec1": (
        ec.generate_private_key(ec.SECP384R1()),
        serialization.PrivateFormat.TraditionalOpenSSL,
    ),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), serialization.PrivateFormat.PKCS8),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_form_of_key_is_taken(name: str) -> None:
    key, form = FORMATS[name]
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    pair = ClientCertificate(chain=certificate(now, now, key=key), key=Secret(pem.decode()))
    client_context(TlsConfig(insecure=True), pair)


def test_a_key_with_its_curve_before_it() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    pem = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    curve = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pair = ClientCertificate(chain=certificate(now, now), key=Secret(curve + pem))
    client_context(TlsConfig(insecure=True), pair)
