"""The digest of a request: an answer is for exactly what it names."""

import hashlib
from collections.abc import Iterable

from ...relay.held import HeldExchange


def digest_of(exchange: HeldExchange, context: str, body_digest: bytes) -> str:
    """SHA-256, in hexadecimal, over all that goes upstream, and where it goes.

    Args:
        exchange: the request's.
        context: the name of its kubeconfig context.
        body_digest: of its body.
    """
    request, upstream = exchange.plan.upstream, exchange.generation.upstream
    if request is None:
        raise TypeError(exchange.plan.decision)
    server = f"{upstream.host}:{upstream.port}"
    parts = [
        context.encode("utf-8", "surrogateescape"),
        server.encode("utf-8", "surrogateescape"),
        request.method.encode(),
        request.target,
        request.authority,
        request.upgrade,
        b"own" if request.own_credential else b"client",
        body_digest,
    ]
    for name, value in (*request.fields, *request.identity):
        parts += [name, value]
    return _hash(parts)


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # With its length: no two lists of parts are the same bytes.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()
