"""The ``server`` of a cluster: text to address, read as Go reads a URL."""

import re
from typing import Literal
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..redact import without_userinfo
from .values import ServerAddress

_DEFAULT_PORTS = {"https": 443, "http": 80}
_UNSAFE = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")


def parse_server(text: str, *, where: str) -> tuple[ServerAddress, tuple[str, ...]]:
    """Parse a server URL; the second value is what the user should know about it.

    Without a scheme it is http, as in kubectl, where TLS is decided before the CA is looked at
    (``rest.DefaultServerUrlFor``). Query and fragment are dropped, and so are user and password,
    which Go's transport never sends.

    Args:
        text: the URL as written.
        where: what to call it in an error, e.g. ``cluster "c"``.

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
        # Its text quotes what it takes for a port: part of a password, if that has a slash.
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
    authority = _ascii(parts.netloc.rpartition("@")[2], text, where).removesuffix(":")
    path = parts.path.rstrip("/")
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
