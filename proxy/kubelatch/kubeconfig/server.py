"""Parses the ``server`` of a cluster as Go parses a URL."""

import re
from typing import Literal
from urllib.parse import quote, urlsplit

from ..errors import ConfigError
from ..redact import without_userinfo
from .values import ServerAddress

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")


def parse_server(text: str, *, where: str) -> tuple[ServerAddress, tuple[str, ...]]:
    """Parse a server URL; the second value holds warnings for the user.

    Without a scheme it is http, as in kubectl (``rest.DefaultServerUrlFor``). Query and fragment
    are dropped, and so are user and password, which Go's transport never sends.

    Args:
        text: the URL as written.
        where: its name in an error, e.g. ``cluster "c"``.

    Raises:
        ConfigError: the text is no usable URL.
    """
    warnings: list[str] = []
    if "://" not in text:
        if "/" in text.rstrip("/"):
            raise _unusable(text, where, "it has a path and no scheme")
        warnings.append(
            f"the server of {where} has no scheme: plain http is used, as kubectl does, and the "
            f"proxy sends no credentials of its own; write https://{without_userinfo(text)} if it "
            "speaks TLS"
        )
        text = f"http://{text}"
    if _UNSAFE.search(text):
        raise _unusable(text, where, "it holds a character that no URL may hold")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        # The error quotes the port, which is part of the password if that has a slash.
        problem = "it cannot be parsed" if "@" in text else str(error).lower()
        raise _unusable(text, where, problem) from None
    scheme: Literal["https", "http"]
    match parts.scheme.lower():
        case "https":
            scheme = "https"
        case "http":
            scheme = "http"
        case other:
            raise _unusable(text, where, f'unsupported protocol scheme "{other}"')
    if not host:
        raise _unusable(text, where, "it has no host")
    if "@" in parts.netloc:
        warnings.append(f"the user and password in the server URL of {where} are not used")
    if problem := host_problem(host):
        raise _unusable(text, where, problem)
    authority = _ascii(parts.netloc.rpartition("@")[2], text, where).removesuffix(":")
    path = _NON_ASCII.sub(lambda found: quote(found[0]), parts.path.rstrip("/"))
    return (
        ServerAddress(
            scheme=scheme,
            host=_ascii(host, text, where),
            port=port if port is not None else _DEFAULT_PORTS[scheme],
            path=path,
            authority=authority,
            url=f"{scheme}://{authority}{parts.path}",
        ),
        tuple(warnings),
    )


def host_problem(host: str) -> str:
    """Why this cannot be a host name (RFC 1035 section 2.3.4), or ``""``. Underscores are
    allowed, though RFC 952 does not have them."""
    if any(char <= " " or char == "\x7f" for char in host):
        return "its host name holds a character that no name may hold"
    if ":" in host:
        return ""  # an IPv6 address
    name = host.removesuffix(".")
    labels = name.split(".")
    if not all(labels):
        return "its host name has an empty label"
    if any(len(label) > 63 for label in labels):
        return "its host name has a label of more than 63 characters"
    if len(name) > 253:
        return "its host name has more than 253 characters"
    if not name.isascii():
        try:
            name.encode("idna")
        except UnicodeError:
            return "its host name is not valid"
    return ""


def _ascii(host: str, text: str, where: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise _unusable(text, where, "its host name is not valid") from None


def _unusable(text: str, where: str, problem: str) -> ConfigError:
    return ConfigError(
        f'host must be a URL or a host:port pair: "{without_userinfo(text)}", the server of '
        f"{where}: {problem}",
        hint="A server looks like https://192.0.2.1:6443.",
    )
