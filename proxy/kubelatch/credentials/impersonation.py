"""The ``Impersonate-*`` header fields.

client-go's ``impersonatingRoundTripper`` (``transport/round_trippers.go``).
"""

from ..kubeconfig import Impersonation

_TOKEN = frozenset(b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def impersonation_headers(impersonation: Impersonation | None) -> tuple[tuple[bytes, bytes], ...]:
    """The fields, one for each group and each value of an extra key."""
    if not impersonation:
        return ()
    headers = [(b"Impersonate-User", impersonation.user.encode())]
    if impersonation.uid:
        headers.append((b"Impersonate-Uid", impersonation.uid.encode()))
    headers += [(b"Impersonate-Group", group.encode()) for group in impersonation.groups]
    for key, values in impersonation.extra:
        name = b"Impersonate-Extra-" + _escape(key)
        headers += [(name, value.encode()) for value in values]
    return tuple(headers)


def _escape(key: str) -> bytes:
    """Percent-encode bytes that a field name must not have (RFC 9110 section 5.1), and ``%``."""
    return b"".join(bytes((byte,)) if byte in _TOKEN else b"%%%02X" % byte for byte in key.encode())
