"""A TLS context that verifies the server as Go does, for servers that OpenSSL refuses.

Python's ``ssl`` leaves verification to OpenSSL alone. pyOpenSSL, by the authors of cryptography,
calls a verify callback within the handshake: after the server's certificates have arrived and
before the client certificate, or any byte of a request, is sent. Any error in it fails the
handshake. This module is imported when the first server needs it.

To :class:`~...upstream.tls_transport.TlsTransport` it looks like an ``ssl.SSLContext``, with the
same errors. Sessions are not resumed.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from ...config.addresses import parse_server_ip
from .certificates import ClientCertificate
from .context import ClientContext
from .path import UNSPECIFIED, CertificatePool, RefusedError, verify
from .peer import UnreadableCertificateError, read

_PIECE: Final = 32 * 1024
# Raised by cryptography for a certificate or key that it cannot parse.
_UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion)
_T = TypeVar("_T")


class GoContext:
    """See the module. Do not create it on the event loop: it parses the trust anchors.

    Args:
        context: has the trust anchors, the client certificate and the ciphers.

    Raises:
        ValueError: it has no trust anchors of its own.
        ssl.SSLError: the client certificate cannot be used.
    """

    def __init__(self, context: ClientContext) -> None:
        if not context.anchors or context.verify_mode is not ssl.CERT_REQUIRED:
            raise ValueError("the context has no trust anchors of its own")
        self._anchors = _pool(context.anchors)
        self._context = made = SSL.Context(SSL.TLS_CLIENT_METHOD)
        made.set_min_proto_version(SSL.TLS1_2_VERSION)
        made.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        made.set_mode(SSL.MODE_RELEASE_BUFFERS)
        made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        made.set_alpn_protos([name.encode() for name in context.protocols])
        made.set_verify(SSL.VERIFY_PEER, _verify)
        with _as_ssl_errors():
            made.set_cipher_list(_ciphers(context))
            if context.certificate is not None:
                _load_client_certificate(made, context.certificate)

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, server_hostname: str
    ) -> "GoConnection":
        """The client's side of one connection, as ``ssl.SSLContext.wrap_bio``."""
        return GoConnection(self._context, self._anchors, incoming, outgoing, server_hostname)


class _Verification:
    """Verifies the server of one connection; ``passed`` is None until then."""

    def __init__(self, anchors: CertificatePool, server: str) -> None:
        self._anchors = anchors
        self._server = server
        self.passed: bool | None = None
        self.refusal: RefusedError | None = None

    def run(self, connection: SSL.Connection) -> bool:
        """Verify the server's chain, once."""
        if self.passed is None:
            self.passed = False
            try:
                sent = connection.get_peer_cert_chain(as_cryptography=True) or ()
                chain = [read(certificate) for certificate in sent]
                verify(chain, self._anchors, self._server, datetime.now(UTC))
            except RefusedError as error:
                self.refusal = error
            except UnreadableCertificateError as error:
                self.refusal = RefusedError(UNSPECIFIED, str(error))
            except Exception:  # noqa: BLE001, S110 -- any error: not passed
                pass
            else:
                self.passed = True
        return self.passed


class GoConnection:
    """The methods of ``ssl.SSLObject`` that TlsTransport uses, with a pyOpenSSL connection."""

    session: None = None
    session_reused = False

    def __init__(
        self,
        context: SSL.Context,
        anchors: CertificatePool,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server: str,
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._ended = False
        # The connection has received bytes since it last wanted a read.
        self._unread = False
        self._verification = _Verification(anchors, server)
        self._connection = SSL.Connection(context)
        self._connection.set_app_data(self._verification)
        self._connection.set_connect_state()
        if parse_server_ip(server) is None:
            self._connection.set_tlsext_host_name(server.removesuffix(".").encode("idna"))

    def do_handshake(self) -> None:
        """Continue the handshake. When this returns, the server is verified."""
        try:
            self._run(self._connection.do_handshake)
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if self._verification.passed is False:
                raise _refusal(self._verification.refusal) from error
            raise
        if self._verification.passed is not True:
            raise _refusal(None)

    def read(self, size: int) -> bytes:
        """Up to *size* bytes of one record; raises as ``SSLObject.read``."""
        return self._run(lambda: self._connection.recv(size))

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt all of *data*."""
        return self._run(lambda: self._connection.sendall(data))

    def pending(self) -> int:
        """Not 0 if another read may return data."""
        return self._connection.pending() or int(self._unread)

    def selected_alpn_protocol(self) -> str | None:
        """The protocol that was agreed on by ALPN, or None."""
        return self._connection.get_alpn_proto_negotiated().decode() or None

    def unwrap(self) -> None:
        """Send close_notify; nothing is read."""
        self._run(self._connection.shutdown)

    def _run(self, step: Callable[[], _T]) -> _T:
        data = self._incoming.read()
        if data:
            self._connection.bio_write(data)
            self._unread = True
        if self._incoming.eof and not self._ended:
            self._ended = True
            self._connection.bio_shutdown()
        try:
            with _as_ssl_errors():
                return step()
        except ssl.SSLWantReadError:
            self._unread = False
            raise
        finally:
            with contextlib.suppress(SSL.WantReadError):
                piece = b""
                while not piece or len(piece) == _PIECE:
                    piece = self._connection.bio_read(_PIECE)
                    self._outgoing.write(piece)


def _verify(connection: SSL.Connection, *_: object) -> bool:
    """The verify callback, which OpenSSL calls for each certificate and each error. It verifies the
    whole chain and ignores OpenSSL's result; an exception counts as a refusal."""
    verification = connection.get_app_data()
    return isinstance(verification, _Verification) and verification.run(connection)


def _pool(anchors: tuple[bytes, ...]) -> CertificatePool:
    """The trusted certificates, without those that Go cannot parse (``AppendCertsFromPEM``)."""
    found = []
    for pem in anchors:
        with contextlib.suppress(*_UNREADABLE):
            found.append(read(x509.load_pem_x509_certificate(pem)))
    return CertificatePool(found)


def _ciphers(context: ssl.SSLContext) -> bytes:
    """The TLS 1.2 ciphers of *context*; those of TLS 1.3 are not configurable."""
    names = [cipher["name"] for cipher in context.get_ciphers()]
    return ":".join(name for name in names if not name.startswith("TLS_")).encode()


def _load_client_certificate(made: SSL.Context, certificate: ClientCertificate) -> None:
    try:
        leaf, *chain = x509.load_pem_x509_certificates(certificate.chain)
        key = serialization.load_pem_private_key(certificate.key.reveal().encode("latin-1"), None)
    except (*_UNREADABLE, TypeError) as error:
        raise ssl.SSLError("the client certificate cannot be used") from error
    made.use_certificate(leaf)
    for issuer in chain:
        made.add_extra_chain_cert(issuer)
    made.use_privatekey(key)  # type: ignore[arg-type]  # a kind that it does not take: SSL.Error


@contextlib.contextmanager
def _as_ssl_errors() -> Iterator[None]:
    try:
        yield
    except SSL.WantReadError as error:
        raise ssl.SSLWantReadError from error
    except SSL.ZeroReturnError as error:
        raise ssl.SSLZeroReturnError from error
    except SSL.SysCallError as error:
        raise ssl.SSLEOFError from error
    except SSL.Error as error:
        _raise(error)


def _raise(error: SSL.Error) -> NoReturn:
    """With a reason as in ``ssl``, such as TLSV1_ALERT_UNKNOWN_CA."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reason = str(queue[-1][-1]) if queue else "unknown"
    translated = ssl.SSLError(ssl.SSLErrorNumber.SSL_ERROR_SSL, reason)
    translated.reason = reason.upper().replace(" ", "_")
    raise translated from error


def _refusal(why: RefusedError | None) -> ssl.SSLCertVerificationError:
    code, text = (why.code, str(why)) if why else (UNSPECIFIED, "it could not be verified")
    error = ssl.SSLCertVerificationError(ssl.SSLErrorNumber.SSL_ERROR_SSL, text)
    error.verify_code, error.verify_message = code, text
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    return error
