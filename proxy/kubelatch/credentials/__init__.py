"""Credentials: what authenticates the proxy to the API server now.

From the user of a :class:`~kubelatch.kubeconfig.ClientConfig` to a source that returns a
certificate, a header, or an error with the reason. It renews before expiry, runs one attempt at a
time for all that wait, and keeps the last good credential. It knows nothing of requests.
"""

from .expiry import expiry_warnings
from .impersonation import impersonation_headers
from .source import source_for
from .values import CLIENT_SUPPLIED, Credential, CredentialSource, SourceStatus

__all__ = [
    "CLIENT_SUPPLIED",
    "Credential",
    "CredentialSource",
    "SourceStatus",
    "expiry_warnings",
    "impersonation_headers",
    "source_for",
]
