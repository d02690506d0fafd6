"""TLS to the API server: contexts made from values, and failures made understandable.

It knows certificates and keys, not where they came from. Key material never touches the disk.
"""

from .certificates import CertificateInfo, ClientCertificate, certificate_info
from .context import (
    ClientContext,
    TlsContext,
    check_certificate,
    client_context,
    may_be_good_for_go,
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
    "is_cut",
    "may_be_good_for_go",
    "proxy_context",
]
