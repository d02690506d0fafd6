"""How clients reach the proxy: what a kubeconfig for it, or a program, has to know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config.addresses import join_host_port, reachable_host, split_host_port
from ..config.settings import Settings
from ..secret import Secret

if TYPE_CHECKING:
    from .contexts import Place
    from .reload import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAccess:
    """See the module.

    Attributes:
        url: without the API's prefix; ``unix:///path`` for a socket.
        prefix: where the API is, without a slash at the end.
        ca: what clients have to trust, in PEM; empty if the system's CAs, None without TLS.
        token: the secret that clients must send; None without one.
        context: the name of the chosen context; may be empty.
        namespace: the context's; may be empty.
        clusters: of ``--contexts``: namespaces by alias.
    """

    url: str
    prefix: str = ""
    ca: bytes | None = field(default=None, repr=False)
    token: Secret | None = None
    context: str = ""
    namespace: str = ""
    clusters: Mapping[str, str] = field(default_factory=dict)


def client_access(
    settings: Settings, setup: "Setup", name: str, places: "Sequence[Place]"
) -> ClientAccess:
    """How clients reach a proxy that runs.

    Args:
        settings: the flags.
        setup: in use.
        name: the address it listens on, as in the start line.
        places: the served contexts.
    """
    tls = setup.client_tls
    return ClientAccess(
        url=client_url(name, tls=tls is not None),
        prefix=settings.api_prefix.rstrip("/"),
        ca=tls.certificate.ca if tls is not None else None,
        token=setup.gate.settings.client_token,
        context=setup.config.context,
        namespace=setup.config.namespace,
        clusters={place.name: place.entry.namespace for place in places},
    )


def client_url(name: str, *, tls: bool) -> str:
    """The URL of an address of the start line; for all addresses, that of loopback."""
    if name.startswith(("/", "@")):
        return f"unix://{name}"
    host, port = split_host_port(name)
    return f"http{'s' if tls else ''}://{join_host_port(reachable_host(host), port)}"
