"""Credentials: what authenticates us, right now.

From the chosen user of a :class:`~proxy.kubeconfig.ClientConfig` to a source that always has an
answer: a certificate, a header, or an error that says why there is none. It renews ahead of
time, runs one attempt at a time however many wait, and keeps the last good credential. It knows
nothing of requests.
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
