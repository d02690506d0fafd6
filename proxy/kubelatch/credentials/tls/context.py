"""An SSLContext for the API server that accepts and refuses the same servers as Go.

TLS 1.2 or newer; names in subjectAltName only; an intermediate CA may be the trust anchor; and
certificates without key identifiers, as some clouds issue them, are accepted. Where OpenSSL
refuses what Go may accept, and the trust anchors are the kubeconfig's own, ``go_context`` decides.
"""

import logging
import os
import ssl
from pathlib import Path
from typing import Any, Final, Protocol

from ...config.addresses import parse_server_ip
from ...errors import ConfigError
from ...kubeconfig.files import DISK, explain_os_error
from ...kubeconfig.values import TlsConfig
from .certificates import ClientCertificate, certificate_blocks
from .pair import PairError, load_pair

_log = logging.getLogger(__name__)

# Verify codes of OpenSSL (x509_vfy.h) for certificates that Go may accept. For dates, addresses,
# path lengths, name constraints and unknown extensions the two agree.
_GO_MAY_ACCEPT: Final = frozenset({
    # Key identifiers that differ, as after a renewal of the CA with its key, or a certificate of
    # its CA's own name: no issuer is found.
    2, 18, 19, 20, 21, 29, 30, 31,
    7,  # two CAs of one name: the signature was tried with the wrong one
    24, 26, 79,  # nsCertType; extended key usage "any"; keyCertSign alone: unsuitable purpose
    62,  # underscores, beside wildcards
    66, 67,  # RSA below 2,048 bits
})  # fmt: skip

IGNORE_UNEXPECTED_EOF: Final[int] = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
"""OpenSSL's SSL_OP_IGNORE_UNEXPECTED_EOF. Python sets it by default up to 3.11.2 (python/cpython
gh-95494): an end without close_notify would then look like one with it."""


class TlsContext(Protocol):
    """Makes the client's side of a TLS connection."""

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, server_hostname: str
    ) -> Any:
        """An ``ssl.SSLObject``, or an object with the same methods.

        Raises:
            ValueError: *server_hostname* is not valid.
        """
        ...


class ClientContext(ssl.SSLContext):
    """An SSLContext that keeps its trust anchors and client certificate.

    Attributes:
        anchors: the trusted certificates in PEM, one by one; empty if the system's are trusted,
            or the server is not verified.
        certificate: the client certificate.
        protocols: what is offered in ALPN.
    """

    anchors: tuple[bytes, ...] = ()
    certificate: ClientCertificate | None = None
    protocols: tuple[str, ...] = ()

    def offering(self, *protocols: str) -> "ClientContext":
        """A context that differs in its ALPN protocols only. Reads no file but the system's CAs.

        Raises:
            ConfigError: the client certificate cannot be used.
        """
        made = _new_context()
        made.check_hostname = self.check_hostname
        made.verify_mode = self.verify_mode
        if self.anchors:
            made.load_verify_locations(cadata=b"".join(self.anchors).decode("ascii"))
            made.anchors = self.anchors
        elif self.verify_mode is not ssl.CERT_NONE:
            _trust_the_system(made)
        if self.certificate is not None:
            _load_client_certificate(made, self.certificate)
            made.certificate = self.certificate
        made.offer(*protocols)
        return made

    def offer(self, *protocols: str) -> None:
        """Set the protocols that are offered in ALPN."""
        self.set_alpn_protocols(list(protocols))
        self.protocols = protocols

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As ``ssl.SSLContext.wrap_bio``, with names as in Go: a final dot is ignored, and an
        address may have brackets, or be an IPv4 address in the form of IPv6."""
        if isinstance(server_hostname, str):
            address = parse_server_ip(server_hostname)
            server_hostname = str(address) if address else server_hostname.removesuffix(".")
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def go_may_accept(context: ClientContext, error: ssl.SSLCertVerificationError) -> bool:
    """Whether ``go_context`` may accept a server that OpenSSL refused: the kubeconfig has its own
    trust anchors, and Go differs in the reason for the refusal."""
    return bool(context.anchors) and error.verify_code in _GO_MAY_ACCEPT


def client_context(tls: TlsConfig, certificate: ClientCertificate | None = None) -> ClientContext:
    """Build the context for connections to one API server, with HTTP/1.1 in ALPN.

    Reads the CA file.

    Raises:
        ConfigError: a CA, certificate or key cannot be used.
    """
    context = _new_context()
    context.offer("http/1.1")
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, tls)
    if certificate is not None:
        _load_client_certificate(context, certificate)
        context.certificate = certificate
    return context


def proxy_context(cluster: TlsContext | None) -> ClientContext:
    """The context for an https proxy through which a cluster is reached.

    It trusts the system's CAs and the cluster's; client-go trusts only the latter.
    """
    context = _new_context()
    _trust_the_system(context)
    for pem in cluster.anchors if isinstance(cluster, ClientContext) else ():
        context.load_verify_locations(cadata=pem.decode("ascii"))
    return context


def _new_context() -> ClientContext:
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    # Sets everything that differs between releases of Python. ``create_default_context`` would
    # also write session keys to $SSLKEYLOGFILE.
    context.options &= ~IGNORE_UNEXPECTED_EOF
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _trust(context: ClientContext, tls: TlsConfig) -> None:
    if tls.ca_data is not None:
        _trust_only(context, tls.ca_data, tls.ca_file or "certificate-authority-data")
    elif tls.ca_file:
        try:
            pem = DISK.read(tls.ca_file)
        except OSError as error:
            problem = explain_os_error(error, tls.ca_file)
            raise _unusable_ca(problem) from None
        _trust_only(context, pem, tls.ca_file)
    else:
        _trust_the_system(context)


def _trust_only(context: ClientContext, pem: bytes, where: str) -> None:
    blocks = certificate_blocks(pem)
    if not blocks:
        raise _unusable_ca(f"no valid certificate authority data seen in {where}")
    try:
        context.load_verify_locations(cadata=b"".join(blocks).decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError):
        count, blocks = len(blocks), _readable(blocks)
        if not blocks:
            raise _unusable_ca(f"failed to parse certificate in {where}") from None
        _log.warning(
            "certificates in %s cannot be read: %d of %d", where, count - len(blocks), count
        )
        context.load_verify_locations(cadata=b"".join(blocks).decode("ascii"))
    context.anchors = tuple(blocks)


def _readable(blocks: list[bytes]) -> list[bytes]:
    """Those that can be parsed. Go leaves out the others (x509.CertPool.AppendCertsFromPEM)."""
    readable = []
    for block in blocks:
        try:
            _new_context().load_verify_locations(cadata=block.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError):
            continue
        readable.append(block)
    return readable


def _unusable_ca(problem: str) -> ConfigError:
    return ConfigError(
        f"unable to load root certificates: {problem}",
        hint="The certificate authority is a PEM text, whose first line is BEGIN CERTIFICATE "
        "between dashes.",
        cause="tls-ca",
    )


def _trust_the_system(context: ssl.SSLContext) -> None:
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if context.cert_store_stats()["x509_ca"] or _has_system_directory():
        return
    if os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        return  # an empty store was configured
    import certifi  # noqa: PLC0415  # needed on slim images only

    context.load_verify_locations(cafile=certifi.where())


def _has_system_directory() -> bool:
    """Whether OpenSSL's directory of CAs, which is read at look-up, has any."""
    path = ssl.get_default_verify_paths().capath
    try:
        return bool(path) and any(Path(path).iterdir())
    except OSError:
        return False


def check_certificate(certificate: ClientCertificate) -> None:
    """Check that certificate and key can be read and match. Raises ConfigError."""
    _load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate)


def _load_client_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    try:
        load_pair(context, certificate.chain, certificate.key)
    except PairError as error:
        if error.encrypted:
            raise ConfigError(
                "the client key is encrypted",
                hint="Decrypt it: openssl pkey -in KEY -out NEW, and protect NEW by its file mode; "
                "kubectl takes no encrypted keys either.",
                cause="tls-client-cert",
            ) from None
        raise ConfigError(
            f"the client certificate cannot be used: {error}",
            hint="Look at client-certificate and client-key, or the *-data fields, of the user.",
            cause="tls-client-cert",
        ) from None
