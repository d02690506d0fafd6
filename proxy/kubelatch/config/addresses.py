"""Hosts, ports and IP addresses in text. Pure."""

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def join_host_port(host: str, port: int | str) -> str:
    """``host:port``, an IPv6 address in brackets (Go's ``net.JoinHostPort``)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_host_port(text: str) -> tuple[str, str]:
    """The host, without brackets, and the port; empty if there is none.

    As Go's ``net.SplitHostPort``; where that fails, the whole text is the host.
    """
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and ":" not in host else (text, "")


def reachable_host(host: str) -> str:
    """The host itself; for the address of all interfaces, or an empty one, that of loopback."""
    return "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 -- compared with


def parse_ip(text: str) -> IPAddress | None:
    """The IP address in *text*, or None (Go's ``net.ParseIP``).

    One with a zone is none; an IPv4 address in the form of IPv6 is returned as IPv4.
    """
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_server_ip(text: str) -> IPAddress | None:
    """The IP address of a server name, with or without brackets; None if it is a host name."""
    return parse_ip(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
