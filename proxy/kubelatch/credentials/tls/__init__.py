"""TLS to the API server, and towards clients (``serving``): contexts, and explanations of errors.

It knows certificates and keys, not where they come from. Keys are never written to disk.
"""

from .certificates import CertificateInfo, ClientCertificate, certificate_info
from .context import (
    ClientContext,
    TlsContext,
    check_certificate,
    client_context,
    go_may_accept,
    proxy_context,
)
from .explain import explain, is_cut

__all__ = [
    "CertificateInfo",
    "ClientCertificate",
    "ClientContext",
    "TlsContext",
    "certificate_info",
    "check_certificate",
    "client_context",
    "explain",
    "go_may_accept",
    "is_cut",
    "proxy_context",
]
