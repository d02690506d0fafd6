"""The proxy through which the API server is reached. Pure.

A ``proxy-url`` in the kubeconfig applies to every server, loopback included. Without one, the
environment applies as in Go's ``golang.org/x/net/http/httpproxy``, which differs from Python's
rules: no ``ALL_PROXY``, loopback is never proxied, ``NO_PROXY`` knows networks and ports.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ..config.addresses import IPAddress, join_host_port, parse_ip, split_host_port
from ..errors import ConfigError
from ..redact import without_userinfo
from ..secret import Secret
from .server import host_problem
from .values import ClientConfig

ProxyScheme = Literal["http", "https", "socks5"]

_DEFAULT_PORTS: dict[ProxyScheme, int] = {"http": 80, "https": 443, "socks5": 1080}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyAddress:
    """A proxy. One of socks5 resolves the API server's host name itself."""

    scheme: ProxyScheme
    host: str
    port: int
    username: str = ""
    password: Secret | None = None

    def url(self) -> str:
        """The address with user and password, and so possibly a secret."""
        authority = join_host_port(self.host, self.port)
        if not (self.username or self.password):
            return f"{self.scheme}://{authority}"
        password = quote(self.password.reveal(), safe="") if self.password else ""
        return f"{self.scheme}://{quote(self.username, safe='')}:{password}@{authority}"


def proxy_for(
    target_url: str, config: ClientConfig, environ: Mapping[str, str]
) -> ProxyAddress | None:
    """The proxy for *target_url*, or ``None`` for a direct connection.

    Raises:
        ConfigError: the proxy that would apply is not usable.
    """
    if config.proxy_url:
        return _address(config.proxy_url.reveal(), "proxy-url")
    return environment_proxy(target_url, environ)


def environment_proxy(target_url: str, environ: Mapping[str, str]) -> ProxyAddress | None:
    """Go's ``ProxyFromEnvironment`` for *target_url*. Raises ConfigError."""
    target = urlsplit(target_url)
    name = "HTTPS_PROXY" if target.scheme == "https" else "HTTP_PROXY"
    text = _either(environ, name)
    if not text:
        return None
    if name == "HTTP_PROXY" and environ.get("REQUEST_METHOD"):
        raise ConfigError(
            "refusing to use HTTP_PROXY value in CGI environment",
            hint="REQUEST_METHOD is set, so HTTP_PROXY may have come from a client's header.",
        )
    host = (target.hostname or "").lower().rstrip(".")
    port = target.port or (443 if target.scheme == "https" else 80)
    if not _uses_proxy(host, port, _either(environ, "NO_PROXY")):
        return None
    return _address(text if "://" in text else f"http://{text}", f"${name}")


def proxy_url_problem(text: str) -> tuple[str, str]:
    """What is wrong with a kubeconfig's ``proxy-url``, or ``""``, and the URL without its user.

    client-go's ``parseProxyURL`` (``tools/clientcmd/helpers.go``): http, https and socks5 only.
    """
    shown = without_userinfo(text)
    parts = _split(text)
    if parts is None:
        return "could not parse", shown
    if parts.scheme not in _DEFAULT_PORTS:
        problem = f'unsupported scheme "{parts.scheme}", must be http, https, or socks5'
        return problem, shown
    return ("" if parts.hostname else "it has no host"), shown


def _address(text: str, where: str) -> ProxyAddress:
    parts = _split(text)
    if parts is None or not parts.hostname:
        raise ConfigError(f"the proxy in {where} cannot be parsed", hint="Write http://host:port.")
    if problem := host_problem(parts.hostname):
        raise ConfigError(f"the proxy in {where}: {problem}", hint="Write http://host:port.")
    scheme: ProxyScheme
    match parts.scheme:
        case "http":
            scheme = "http"
        case "https":
            scheme = "https"
        case "socks5" | "socks5h":
            scheme = "socks5"
        case other:
            raise ConfigError(
                f'the proxy in {where} has the unsupported scheme "{other}"',
                hint="It must be http, https or socks5.",
            )
    return ProxyAddress(
        scheme=scheme,
        host=parts.hostname,
        port=parts.port or _DEFAULT_PORTS[scheme],
        username=unquote(parts.username or ""),
        password=Secret(unquote(parts.password)) if parts.password is not None else None,
    )


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _either(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower()) or ""


def _uses_proxy(host: str, port: int, exceptions: str) -> bool:
    address = parse_ip(host.partition("%")[0])
    if host == "localhost" or (address and address.is_loopback):
        return False
    entries = (entry.strip().lower() for entry in exceptions.split(","))
    return not any(_matches(entry, host, port, address) for entry in entries if entry)


def _matches(entry: str, host: str, port: int, address: IPAddress | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry and (network := _network(entry)):
        return address is not None and address in network
    name, wanted_port = split_host_port(entry)
    if wanted_port and wanted_port != str(port):
        return False
    if listed := parse_ip(name.partition("%")[0]):
        return address == listed
    if address or not name:
        return False
    name = name.removeprefix("*")
    suffix = name if name.startswith(".") else f".{name}"
    return host.endswith(suffix) or host == name


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
