"""Matches names in certificates as Go does: the server's name, and name constraints.

Where two releases of Go differ, the stricter rule applies. The functions of Go that docstrings
name are in ``crypto/x509``, ``verify.go`` and ``constraints.go``.
"""

import ipaddress
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from ...config.addresses import IPAddress, parse_server_ip

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LETTERS: Final = frozenset(string.ascii_letters + string.digits + "-_")
# For mailboxes; a quoted local part, which Go can parse, is refused.
_ATEXT: Final = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~.")


class NameRefusedError(ValueError):
    """A name that cannot be parsed, or that a constraint does not allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names in a subjectAltName; other kinds are ignored, as in Go.

    Host names keep their case; IPv4 addresses are never in the form of IPv6.
    """

    hosts: tuple[str, ...] = ()
    addresses: tuple[IPAddress, ...] = ()
    mailboxes: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.addresses or self.mailboxes or self.uris)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtrees:
    """One side, permitted or excluded, of name constraints (RFC 5280 section 4.2.1.10)."""

    hosts: tuple[str, ...] = ()
    networks: tuple[IPNetwork, ...] = ()
    mailboxes: tuple[str, ...] = ()
    uri_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Name constraints of a CA, without directory names, which Go does not support."""

    permitted: Subtrees = field(default_factory=Subtrees)
    excluded: Subtrees = field(default_factory=Subtrees)

    def check(self, names: Names) -> None:
        """Check that each name is permitted, and none excluded (``chainConstraints.check``).

        Raises:
            NameRefusedError: one is not, or cannot be parsed.
        """
        permitted, excluded = self.permitted, self.excluded
        for address in names.addresses:
            if permitted.networks and not _within(address, permitted.networks):
                raise NameRefusedError(f"address {address} is not permitted")
            if _within(address, excluded.networks):
                raise NameRefusedError(f"address {address} is excluded")
        for host in names.hosts:
            _require_domain(host)
            if permitted.hosts and not any(_is_below(host, tree) for tree in permitted.hosts):
                raise NameRefusedError("a DNS name is not permitted")
            if any(_is_below(host, t) or _wildcard_reaches(host, t) for t in excluded.hosts):
                raise NameRefusedError("a DNS name is excluded")
        for uri in names.uris:
            _check_host(_uri_host(uri), permitted.uri_hosts, excluded.uri_hosts, "URI")
        for mailbox in names.mailboxes:
            _check_mailbox(mailbox, permitted.mailboxes, excluded.mailboxes)


def matches_server(names: Names, server: str) -> bool:
    """Whether a certificate with these names is for *server* (``Certificate.VerifyHostname``).

    An IP address must be among the addresses. A wildcard is the whole first label and stands for
    one label. Underscores count as letters. The subject's common name is not used.
    """
    address = parse_server_ip(server)
    if address is not None:
        return address in names.addresses
    server = _lower(server)
    plain = _is_host(server.removesuffix("."))
    for name in names.hosts:
        pattern = _lower(name)
        if plain and _is_host(pattern, wildcard=True):
            if _matches(pattern, server.removesuffix(".")):
                return True
        elif pattern == server and pattern not in {"", "."}:
            return True
    return False


def is_domain(name: str, *, constraint: bool = False) -> bool:
    """Whether Go can parse it as a domain name (``domainNameValid``)."""
    if not name:
        return True
    if constraint:
        name = name.removeprefix(".")
    return all(name.split(".")) and all("!" <= character <= "~" for character in name)


def is_mailbox(text: str) -> bool:
    """Whether :meth:`Constraints.check` can parse it as a mailbox."""
    local, at, domain = text.rpartition("@")
    return (
        bool(at and local and domain)
        and all(local.split("."))
        and _ATEXT.issuperset(local)
        and is_domain(domain)
    )


def _lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def _is_host(name: str, *, wildcard: bool = False) -> bool:
    """``validHostname``."""
    labels = name.split(".")
    if wildcard and labels[0] == "*" and len(labels) > 1:
        labels = labels[1:]
    return all(label and label[0] != "-" and _LETTERS.issuperset(label) for label in labels)


def _matches(pattern: str, host: str) -> bool:
    """``matchHostnames``; both are lower case."""
    parts, labels = pattern.split("."), host.split(".")
    if parts[0] == "*":
        parts[0] = labels[0]
    return parts == labels


def _within(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in networks)


def _require_domain(name: str) -> None:
    if not is_domain(name):
        raise NameRefusedError("a name is no domain name")


def _is_below(host: str, tree: str) -> bool:
    """``dnsHasSuffix``: the name itself or below it; with a dot before it, only below it."""
    host, tree = _lower(host), _lower(tree)
    if not tree:
        return True
    return host.endswith(tree) and (
        len(host) == len(tree) or tree[0] == "." or host[-len(tree) - 1] == "."
    )


def _wildcard_reaches(host: str, tree: str) -> bool:
    """Whether a wildcard stands for an excluded name, too (``dnsConstraints.query``)."""
    if not host.startswith("*"):
        return False
    _, dot, parent = _lower(tree).partition(".")
    return bool(dot) and _lower(host).partition(".")[2] == parent


def _is_host_below(host: str, tree: str) -> bool:
    """For URIs and mailboxes: the host *tree* itself, or if that has a dot first, below it."""
    return _is_below(host, tree) if not tree or tree[0] == "." else _lower(host) == _lower(tree)


def _check_host(host: str, permitted: Sequence[str], excluded: Sequence[str], kind: str) -> None:
    _require_domain(host)
    # Releases of Go differ in whether a tree without a dot includes names below it: here it does
    # if it is excluded, and does not if it is permitted.
    if permitted and not any(_is_host_below(host, tree) for tree in permitted):
        raise NameRefusedError(f"a host of a {kind} is not permitted")
    if any(_is_below(host, tree) for tree in excluded):
        raise NameRefusedError(f"a host of a {kind} is excluded")


def _check_mailbox(mailbox: str, permitted: Sequence[str], excluded: Sequence[str]) -> None:
    if not is_mailbox(mailbox):
        raise NameRefusedError("a mailbox cannot be read")
    local, _, domain = mailbox.rpartition("@")
    whole = (local, _lower(domain))

    def same(tree: str) -> bool:
        other, _, host = tree.rpartition("@")
        return whole == (other, _lower(host))

    if permitted and not any(
        same(tree) if "@" in tree else _is_host_below(domain, tree) for tree in permitted
    ):
        raise NameRefusedError("a mailbox is not permitted")
    if any(same(tree) if "@" in tree else _is_below(domain, tree) for tree in excluded):
        raise NameRefusedError("a mailbox is excluded")


def _uri_host(uri: str) -> str:
    """The host of a URI; a URI without a host, or with an address, is refused (``parseURIs``)."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parse_server_ip(host) is not None or ":" in host:
        raise NameRefusedError("a URI names no host")
    return host
