"""TLS to the API server: contexts made from values, and failures made understandable.

It knows certificates and keys, not where they came from. Key material never touches the disk.
"""

from .certificates import CertificateInfo, ClientCertificate, certificate_info
from .context import check_certificate, client_context
from .explain import explain, is_cut

__all__ = [
    "CertificateInfo",
    "ClientCertificate",
    "certificate_info",
    "check_certificate",
    "client_context",
    "explain",
    "is_cut",
]
