"""Real handshakes: what is accepted and refused, and how a failure is explained."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubelatch.credentials.tls import ClientCertificate, client_context, explain
from kubelatch.errors import ConfigError, UpstreamError
from kubelatch.kubeconfig import TlsConfig
from kubelatch.secret import Secret
from tests.support.certificates import Authority, Identity, tls_server

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class BareAuthority:
    """A CA whose certificates have only the extensions that are asked for."""

    def __init__(self, issuer: "BareAuthority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bare {id(self)}")])
        self.certificate = self._sign(
            self.name,
            self.key,
            [x509.BasicConstraints(ca=True, path_length=None)],
            issuer=issuer or self,
        )

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: list[x509.ExtensionType],
        *,
        issuer: "BareAuthority",
        begins: dt.datetime = NOW - DAY,
        ends: dt.datetime = NOW + DAY,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension in extensions:
            critical = isinstance(extension, x509.BasicConstraints)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(
        self,
        *,
        names: tuple[str, ...] = ("localhost",),
        begins: dt.datetime = NOW - DAY,
        ends: dt.datetime = NOW + DAY,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        alternatives: list[x509.ExtensionType] = (
            [x509.SubjectAlternativeName([x509.DNSName(n) for n in names])] if names else []
        )
        leaf = self._sign(name, key, alternatives, issuer=self, begins=begins, ends=ends)
        return Identity(
            leaf.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )


def server_context(tmp_path: Path, identity: Identity) -> ssl.SSLContext:
    pem = tmp_path / "server.pem"
    pem.write_text(identity.certificate + identity.key)
    context = tls_server()
    context.load_cert_chain(pem)
    return context


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server that greets whoever completes the handshake, and else sends its alert."""
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        plain, _ = listener.accept()
        with plain, contextlib.suppress(OSError):
            connection = context.wrap_socket(plain, server_side=True) if context else plain
            with connection:
                connection.sendall(b"hello")

    thread = threading.Thread(target=greet)
    thread.start()
    with listener:
        yield listener.getsockname()[1]
        thread.join()


def visit(port: int, context: ssl.SSLContext, name: str = "localhost") -> None:
    """Shake hands and read; raises UpstreamError as the data plane would."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name) as connection:
                assert connection.recv(100) == b"hello"
        except OSError as error:
            raise explain(error, server_name=name) from error


def trusting(pem: str) -> ssl.SSLContext:
    return client_context(TlsConfig(ca_data=pem.encode()))


class TestAccepted:
    def test_a_ca_without_key_identifiers(self, tmp_path: Path) -> None:
        ca = BareAuthority()
        with serving(server_context(tmp_path, ca.server())) as port:
            visit(port, trusting(ca.pem))

    def test_an_intermediate_as_the_only_anchor(self, tmp_path: Path) -> None:
        intermediate = BareAuthority(issuer=BareAuthority())
        with serving(server_context(tmp_path, intermediate.server())) as port:
            visit(port, trusting(intermediate.pem))

    def test_an_ip_address(self, tmp_path: Path, authority: Authority) -> None:
        with serving(server_context(tmp_path, authority.server())) as port:
            visit(port, trusting(authority.pem), "127.0.0.1")

    def test_a_client_certificate(self, tmp_path: Path, authority: Authority) -> None:
        context = server_context(tmp_path, authority.server())
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem)
        alice = authority.client("alice")
        certificate = ClientCertificate(chain=alice.certificate.encode(), key=Secret(alice.key))
        with serving(context) as port:
            visit(port, client_context(TlsConfig(ca_data=authority.pem.encode()), certificate))

    def test_anyone_when_told_not_to_verify(self, tmp_path: Path) -> None:
        identity = BareAuthority().server(ends=NOW - DAY / 2)
        with serving(server_context(tmp_path, identity)) as port:
            visit(port, client_context(TlsConfig(insecure=True)), "other")


class TestRefused:
    def cause(self, port: int, context: ssl.SSLContext, name: str = "localhost") -> str:
        with pytest.raises(UpstreamError) as caught:
            visit(port, context, name)
        assert name in caught.value.message
        assert caught.value.hint
        return caught.value.cause

    def test_another_ca(self, tmp_path: Path, authority: Authority) -> None:
        with serving(server_context(tmp_path, authority.server())) as port:
            assert self.cause(port, trusting(Authority().pem)) == "tls-ca"

    @pytest.mark.parametrize("name", ["other.test", "127.0.0.2"])
    def test_another_name(self, tmp_path: Path, authority: Authority, name: str) -> None:
        with serving(server_context(tmp_path, authority.server())) as port:
            assert self.cause(port, trusting(authority.pem), name) == "tls-name"

    def test_a_name_in_the_subject_only(self, tmp_path: Path) -> None:
        ca = BareAuthority()
        with serving(server_context(tmp_path, ca.server(names=()))) as port:
            assert self.cause(port, trusting(ca.pem)) == "tls-name"

    def test_an_expired_certificate(self, tmp_path: Path) -> None:
        ca = BareAuthority()
        identity = ca.server(ends=NOW - DAY / 2)
        with serving(server_context(tmp_path, identity)) as port:
            assert self.cause(port, trusting(ca.pem)) == "tls-expired"

    def test_a_certificate_of_tomorrow(self, tmp_path: Path) -> None:
        ca = BareAuthority()
        identity = ca.server(begins=NOW + DAY / 2)
        with serving(server_context(tmp_path, identity)) as port:
            assert self.cause(port, trusting(ca.pem)) == "tls-expired"

    def test_plain_http(self) -> None:
        with serving(None) as port:
            context = client_context(TlsConfig(insecure=True))
            assert self.cause(port, context) == "tls-protocol"

    def test_an_old_version(self, tmp_path: Path, authority: Authority) -> None:
        context = server_context(tmp_path, authority.server())
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with serving(context) as port:
            assert self.cause(port, trusting(authority.pem)) == "tls-protocol"

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_our_certificate_by_the_server(
        self, tmp_path: Path, authority: Authority, version: ssl.TLSVersion
    ) -> None:
        context = server_context(tmp_path, authority.server())
        context.maximum_version = version
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem)
        mallory = Authority().client("mallory")
        certificate = ClientCertificate(chain=mallory.certificate.encode(), key=Secret(mallory.key))
        ours = client_context(TlsConfig(ca_data=authority.pem.encode()), certificate)
        with serving(context) as port:
            assert self.cause(port, ours) == "tls-client-cert"

    def test_our_lack_of_a_certificate(self, tmp_path: Path, authority: Authority) -> None:
        context = server_context(tmp_path, authority.server())
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem)
        with serving(context) as port:
            assert self.cause(port, trusting(authority.pem)) == "tls-client-cert"

    def test_a_peer_that_hangs_up(self) -> None:
        def hang_up() -> None:
            listener.accept()[0].close()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            thread = threading.Thread(target=hang_up)
            thread.start()
            assert self.cause(port, client_context(TlsConfig(insecure=True))) == "tls-closed"
            thread.join()

    @pytest.mark.parametrize(
        "error",
        [
            ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"),
            ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "TLS/SSL connection has been closed"),
            ssl.SSLSyscallError(ssl.SSL_ERROR_SYSCALL, "Some I/O error occurred"),
            ConnectionResetError(104, "Connection reset by peer"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_a_cut_by_any_name(self, error: OSError) -> None:
        assert explain(error, server_name="localhost").cause == "tls-closed"

    def test_a_cut_by_openssls_own_name(self) -> None:
        """Python 3.11.2 has no exception of its own for it."""
        error = ssl.SSLError(ssl.SSL_ERROR_SSL, "unexpected eof while reading")
        error.reason = "UNEXPECTED_EOF_WHILE_READING"
        assert explain(error, server_name="localhost").cause == "tls-closed"


class TestUnusable:
    @pytest.mark.parametrize(
        "pem",
        [
            b"",
            b"hello",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ],
    )
    def test_a_ca_fails_closed(self, pem: bytes, tmp_path: Path) -> None:
        path = tmp_path / "ca.crt"
        path.write_bytes(pem)
        for tls in (TlsConfig(ca_data=pem), TlsConfig(ca_file=str(path))):
            with pytest.raises(ConfigError, match="unable to load root certificates") as caught:
                client_context(tls)
            assert caught.value.cause == "tls-ca"
            assert "BEGIN CERTIFICATE" in caught.value.hint

    def test_a_missing_ca_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file or directory"):
            client_context(TlsConfig(ca_file=str(tmp_path / "nowhere")))

    def test_an_encrypted_key_never_prompts(self, authority: Authority) -> None:
        alice = authority.client("alice")
        key = serialization.load_pem_private_key(alice.key.encode(), None)
        locked = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"secret"),
        ).decode()
        certificate = ClientCertificate(chain=alice.certificate.encode(), key=Secret(locked))
        with pytest.raises(ConfigError, match="the client key is encrypted"):
            client_context(TlsConfig(insecure=True), certificate)

    def test_a_key_of_another_certificate(self, authority: Authority) -> None:
        alice, bob = authority.client("alice"), authority.client("bob")
        certificate = ClientCertificate(chain=alice.certificate.encode(), key=Secret(bob.key))
        with pytest.raises(ConfigError, match="private key does not match public key"):
            client_context(TlsConfig(insecure=True), certificate)

    @pytest.mark.parametrize(("chain", "key"), [("", ""), ("x", "y"), (None, ""), ("", None)])
    def test_no_pem(self, chain: str | None, key: str | None, authority: Authority) -> None:
        alice = authority.client("alice")
        certificate = ClientCertificate(
            chain=(alice.certificate if chain is None else chain).encode(),
            key=Secret(alice.key if key is None else key),
        )
        with pytest.raises(ConfigError, match="no certificate and key in PEM"):
            client_context(TlsConfig(insecure=True), certificate)


def test_the_context_is_as_go_has_it() -> None:
    context = client_context(TlsConfig())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    # Debian 12's Python sets it: a cut would look like an end.
    assert not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
    assert context.check_hostname
    assert not context.hostname_checks_common_name
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


def test_without_a_system_store_certifi_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import certifi

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    nowhere = ssl.get_default_verify_paths()._replace(capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    blocks = Path(certifi.where()).read_text().count("BEGIN CERTIFICATE")
    assert client_context(TlsConfig()).cert_store_stats()["x509"] == blocks

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "chosen"))
    assert client_context(TlsConfig()).cert_store_stats()["x509"] == 0
