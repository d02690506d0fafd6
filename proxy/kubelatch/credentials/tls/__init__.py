"""TLS to the API server, and towards clients: contexts, and explanations of errors.

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
from .serving import (
    ServerCertificate,
    ServerContext,
    is_own_authority,
    make_certificate,
    server_context,
    trusted_by_clients,
)

__all__ = [
    "CertificateInfo",
    "ClientCertificate",
    "ClientContext",
    "ServerCertificate",
    "ServerContext",
    "TlsContext",
    "certificate_info",
    "check_certificate",
    "client_context",
    "explain",
    "go_may_accept",
    "is_cut",
    "is_own_authority",
    "make_certificate",
    "proxy_context",
    "server_context",
    "trusted_by_clients",
]
