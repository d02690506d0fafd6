"""An SSLContext for the API server that accepts and refuses what Go's would.

TLS 1.2 or newer; names in subjectAltName only; an intermediate CA may be the trust anchor; and
certificates without key identifiers, as some clouds issue them, are good enough. What differs
from Go is OpenSSL's own: it refuses RSA keys below 2048 bits where the distribution says so.
"""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from ..kubeconfig.files import DISK, explain_os_error
from ..kubeconfig.values import TlsConfig
from .certificates import ClientCertificate, certificate_blocks

# OpenSSL's SSL_OP_IGNORE_UNEXPECTED_EOF. Python sets it by default up to 3.11.2 (python/cpython
# gh-95494): an end without close_notify would then look like one with it.
_IGNORE_UNEXPECTED_EOF: Final[int] = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)


def client_context(tls: TlsConfig, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """Build the context for connections to one API server, or to a proxy on the way to it.

    Reads the CA file. HTTP/1.1 is offered by ALPN.

    Raises:
        ConfigError: a CA, certificate or key that cannot be used, and why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whatever differs between releases of Python is set here. ``create_default_context`` would
    # also write session keys to the file that another program's $SSLKEYLOGFILE names.
    context.options &= ~_IGNORE_UNEXPECTED_EOF
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, tls)
    if certificate is not None:
        _present(context, certificate)
    return context


def _trust(context: ssl.SSLContext, tls: TlsConfig) -> None:
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


def _trust_only(context: ssl.SSLContext, pem: bytes, where: str) -> None:
    blocks = certificate_blocks(pem)
    if not blocks:
        raise _unusable_ca(f"no valid certificate authority data seen in {where}")
    try:
        context.load_verify_locations(cadata=b"".join(blocks).decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError):
        raise _unusable_ca(f"failed to parse certificate in {where}") from None


def _unusable_ca(problem: str) -> ConfigError:
    return ConfigError(
        f"unable to load root certificates: {problem}",
        hint="The certificate authority is a PEM text: -----BEGIN CERTIFICATE-----.",
        cause="tls-ca",
    )


def _trust_the_system(context: ssl.SSLContext) -> None:
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if context.cert_store_stats()["x509_ca"] or _has_system_directory():
        return
    if os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        return  # someone chose this empty store
    import certifi  # noqa: PLC0415  # needed on slim images only

    context.load_verify_locations(cafile=certifi.where())


def _has_system_directory() -> bool:
    """Whether OpenSSL's directory of CAs, which it reads only when it looks one up, has any."""
    path = ssl.get_default_verify_paths().capath
    try:
        return bool(path) and any(Path(path).iterdir())
    except OSError:
        return False


def check_certificate(certificate: ClientCertificate) -> None:
    """See that certificate and key can be read and belong together. Raises ConfigError."""
    _present(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate)


def _present(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    pair = certificate.chain.rstrip() + b"\n" + certificate.key.reveal().encode("latin-1")
    with _unseen_file(pair) as path:
        try:
            context.load_cert_chain(path, password=_refuse_to_ask)
        except ssl.SSLError as error:
            raise _unusable_pair(error) from None


def _refuse_to_ask() -> str:
    """Stands where OpenSSL would ask for a passphrase on the terminal, and block."""
    raise ConfigError(
        "the client key is encrypted",
        hint="Decrypt it: openssl pkey -in KEY -out NEW, and protect NEW by its file mode; "
        "kubectl takes no encrypted keys either.",
        cause="tls-client-cert",
    )


def _unusable_pair(error: ssl.SSLError) -> ConfigError:
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            problem = "private key does not match public key"
        case "EE_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK" | "CA_KEY_TOO_SMALL":
            problem = f"too weak for this system's OpenSSL ({error.reason})"
        case reason:
            problem = f"no certificate and key in PEM ({reason or 'unreadable'})"
    return ConfigError(
        f"the client certificate cannot be used: {problem}",
        hint="Look at client-certificate and client-key, or the *-data fields, of the user.",
        cause="tls-client-cert",
    )


@contextmanager
def _unseen_file(content: bytes) -> Iterator[str]:
    """A path to the content for a library that reads only paths; it is never on a disk.

    Where the system has no anonymous files, it is a file of mode 0600 for as long as the block
    runs.
    """
    if sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("client-certificate")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        descriptor, path = tempfile.mkstemp()
        try:
            os.write(descriptor, content)
            yield path
        finally:
            Path(path).unlink()
            os.close(descriptor)
