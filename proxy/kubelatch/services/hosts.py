"""Names of services below ``localhost``: one label each, the context always in it.

``SERVICE--NAMESPACE--CONTEXT``, with ``PORT--`` before it for one port of several, by number or
name, and ``https--PORT--`` for one that speaks TLS. Only one label below localhost is a site of its
own to a browser (Public Suffix List, the default rule): with more, applications could set cookies
for each other. Names with ``--`` in them, and those too long for a label (RFC 1035 section 2.3.4:
63 octets), have a hash instead. Pure.
"""

import base64
import hashlib
import re
from typing import Final, NamedTuple

from ..errors import ClientRequestError

START_LABEL: Final = "apps"
"""The label of the start page."""

_DOMAIN: Final = ".localhost"
_SEPARATOR: Final = "--"
_LONGEST: Final = 63
# RFC 1123 labels, as Kubernetes' names of services (RelaxedServiceNameValidation) and namespaces.
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,4}")
_LABEL: Final = re.compile(r"[A-Za-z0-9-]+")
_HASH: Final = re.compile(r"s-[a-z2-7]{32}")
_PORT_OF_HOST: Final = re.compile(r"[0-9]{0,5}")
# A label that begins so is decoded by browsers (RFC 5890 section 2.3.2.1).
_ENCODED: Final = "xn"
_HINT: Final = (
    "the form is SERVICE--NAMESPACE--CONTEXT.localhost, with PORT-- or https--PORT-- before it"
)


class HostError(ClientRequestError):
    """A host that names no service, or could name several."""

    default_cause = "service-host"


class ServiceName(NamedTuple):
    """A service's port, as a host names it.

    Attributes:
        service: the service's name.
        namespace: its namespace.
        context: the context's alias.
        port: a number or a name; empty: the only one.
        https: the port speaks TLS.
    """

    service: str
    namespace: str
    context: str
    port: str = ""
    https: bool = False

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.namespace}/{self.service}{port}"


class Hashed(NamedTuple):
    """A label that is the hash of a :class:`ServiceName`."""

    label: str


def label_below_localhost(authority: str) -> str | None:
    """The label of a host and port that may be meant for a service or for the start page, in lower
    case; None for all others.

    Args:
        authority: as in ``Host``.
    """
    host, _, port = authority.partition(":")
    if not _PORT_OF_HOST.fullmatch(port):
        return None
    host = host.lower().removesuffix(".")
    if not host.endswith(_DOMAIN):
        return None
    label = host.removesuffix(_DOMAIN)
    if not _LABEL.fullmatch(label):
        return None
    ours = _SEPARATOR in label or label == START_LABEL or _HASH.fullmatch(label)
    return label if ours else None


def parse_label(label: str) -> ServiceName | Hashed:
    """What a label names.

    Args:
        label: in lower case.

    Raises:
        HostError: nothing, or it could be several things.
    """
    if _HASH.fullmatch(label):
        return Hashed(label)
    if len(label) > _LONGEST:
        msg = f"the name {label}{_DOMAIN} is too long: a label has up to {_LONGEST} characters"
        raise HostError(msg, hint=f"a shorter one is listed at {START_LABEL}{_DOMAIN}")
    parts = label.split(_SEPARATOR)
    name = _assemble(parts) if len(parts) >= 3 else None
    if name is None or label_of(name) != label:
        msg = f"the host {label}{_DOMAIN} does not name one service"
        raise HostError(msg, hint=_HINT)
    return name


def _assemble(parts: list[str]) -> ServiceName | None:
    *ports, service, namespace, context = parts
    if len(ports) > 2 or (len(ports) == 2 and ports[0] != "https"):
        return None
    name = ServiceName(service, namespace, context, ports[-1] if ports else "", len(ports) == 2)
    return name if is_valid(name) else None


def is_valid(name: ServiceName) -> bool:
    """Whether its parts can be names of Kubernetes', and of a port."""
    if name.https and not name.port:
        return False
    if name.port.isdigit() and not (_NUMBER.fullmatch(name.port) and int(name.port) < 2**16):
        return False
    parts = (name.service, name.namespace, name.context, name.port or "-")
    return all(
        part == "-" or (len(part) <= _LONGEST and _NAME.fullmatch(part) is not None)
        for part in parts
    )


def label_of(name: ServiceName) -> str:
    """The label of a service: readable where that is unambiguous, else a hash."""
    before = (["https"] if name.https else []) + ([name.port] if name.port else [])
    parts = [*before, name.service, name.namespace, name.context]
    label = _SEPARATOR.join(parts)
    plain = (
        len(label) <= _LONGEST
        and parts[0] != _ENCODED
        and all(_SEPARATOR not in part and _NAME.fullmatch(part) for part in parts)
    )
    return label if plain else _hash(name)


def host_of(name: ServiceName) -> str:
    """The host of a service, without a port."""
    return label_of(name) + _DOMAIN


def is_hashed(name: ServiceName) -> bool:
    """Whether the service's label is a hash."""
    return _HASH.fullmatch(label_of(name)) is not None


def _hash(name: ServiceName) -> str:
    # No part has a slash in it.
    scheme = "https" if name.https else "http"
    text = f"{scheme}/{name.port}/{name.service}/{name.namespace}/{name.context}"
    digest = hashlib.sha256(text.encode()).digest()[:20]
    return "s-" + base64.b32encode(digest).decode().lower()
