"""All cases, and the document's tables of them."""

from typing import Final

from .clients import CLIENTS, OWN
from .network import ON_THE_WAY, TLS
from .responses import BEFORE, TUNNELS, WITHIN
from .stage import Case

SECTIONS: Final = {
    "On the way to the API server": ON_THE_WAY,
    "TLS": TLS,
    "Before the API server's response": BEFORE,
    "Within its response, and after it": WITHIN,
    "Tunnels": TUNNELS,
    "Clients": CLIENTS,
    "The proxy itself": OWN,
}
CASES: Final = tuple(case for cases in SECTIONS.values() for case in cases)
# Causes that take a machine of their own to bring about, and what they mean.
WORDS: Final = (
    "connect",
    "tls",
    "oidc",
    "exec",
    "exec-policy",
    "credential",
    "timeout",
    "body-too-large",
    "too-many-held",
    "context",
    "not-found",
    "service",
    "service-host",
    "service-list",
    "service-rbac",
    "no-pod",
    "port-forward",
)
_HEAD: Final = "| fault | the client gets | the log says | the metrics say |\n|---|---|---|---|\n"


def tables() -> dict[str, str]:
    """Each section's table in Markdown, by the section's title."""
    return {title: _HEAD + "".join(map(_row, cases)) for title, cases in SECTIONS.items()}


def _row(case: Case) -> str:
    return f"| {' | '.join((case.fault, *case.outcome.cells))} |\n"
