"""The headers that ask the API server to act as someone else.

client-go's ``impersonatingRoundTripper`` (``transport/round_trippers.go``).
"""

from ..kubeconfig import Impersonation

_TOKEN = frozenset(b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def impersonation_headers(wanted: Impersonation | None) -> tuple[tuple[bytes, bytes], ...]:
    """The header lines, one for each group and each value of an extra key."""
    if not wanted:
        return ()
    headers = [(b"Impersonate-User", wanted.user.encode())]
    if wanted.uid:
        headers.append((b"Impersonate-Uid", wanted.uid.encode()))
    headers += [(b"Impersonate-Group", group.encode()) for group in wanted.groups]
    for key, values in wanted.extra:
        name = b"Impersonate-Extra-" + _escape(key)
        headers += [(name, value.encode()) for value in values]
    return tuple(headers)


def _escape(key: str) -> bytes:
    """Percent-encode what RFC 7230 allows in no header name, and the percent sign itself."""
    return b"".join(bytes((byte,)) if byte in _TOKEN else b"%%%02X" % byte for byte in key.encode())
