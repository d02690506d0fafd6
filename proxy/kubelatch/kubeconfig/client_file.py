"""A kubeconfig for clients of the proxy, which has nothing of the clusters' credentials. Pure."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..secret import Secret
from .decode import DecodeError, decode_first, to_python

_NAME: Final = "kubelatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyContext:
    """A context of that kubeconfig.

    Attributes:
        server: the URL.
        namespace: the namespace; may be empty.
    """

    server: str
    namespace: str = ""


def client_kubeconfig(
    contexts: Mapping[str, ProxyContext], *, ca: bytes | None, token: Secret | None
) -> dict[str, Any]:
    """The kubeconfig.

    Args:
        contexts: by name, the current one first.
        ca: what clients have to trust, in PEM; empty if the system's CAs, None for plain http.
        token: what they have to send; clients do so over TLS only (client-go ``clientcmd``,
            ``IsConfigTransportTLS``).
    """
    trust: dict[str, Any] = {}
    if ca is None:
        # @kubernetes/client-node refuses an http server without it; no other client minds.
        trust = {"insecure-skip-tls-verify": True}
    elif ca:
        trust = {"certificate-authority-data": base64.b64encode(ca).decode("ascii")}
    servers = {context.server: None for context in contexts.values()}
    clusters = {
        server: f"{_NAME}-{number}" if number else _NAME for number, server in enumerate(servers)
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, **trust}}
            for server, name in clusters.items()
        ],
        "users": [{"name": _NAME, "user": {"token": token.reveal()} if token else {}}],
        "contexts": [
            {
                "name": name,
                "context": {
                    "cluster": clusters[context.server],
                    "user": _NAME,
                    **({"namespace": context.namespace} if context.namespace else {}),
                },
            }
            for name, context in contexts.items()
        ],
        "current-context": next(iter(contexts)),
    }


def is_client_kubeconfig(content: bytes) -> bool:
    """Whether a file is a kubeconfig of :func:`client_kubeconfig`, whatever was chosen in it
    since."""
    try:
        config = to_python(decode_first(content))
        users = [user["name"] for user in config["users"]]
        clusters = [str(cluster["name"]) for cluster in config["clusters"]]
    except (DecodeError, KeyError, TypeError):
        return False
    return users == [_NAME] and all(
        name == _NAME or name.startswith(f"{_NAME}-") for name in clusters
    )
