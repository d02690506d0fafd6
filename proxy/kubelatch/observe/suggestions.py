"""Suggested commands, written so that they work as printed.

An example request through the proxy, and kubelatch's own commands where it is not on PATH.
"""

import contextlib
import os
import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Final

from ..config.commands import COMMANDS

if TYPE_CHECKING:
    from ..config.settings import Settings
    from ..gate import Gate

# `kubelatch` at the start of a suggested command, not as in "called as kubelatch or ...".
_COMMAND: Final = re.compile(
    rf"(?<![\w./-])kubelatch(?= (?:--[a-z]|(?:{'|'.join(COMMANDS)})\b))|(?<=^  )kubelatch$",
    re.MULTILINE,
)
_EXAMPLE_PATHS: Final = ("/version", "/api", "/apis", "/healthz")


def as_called(text: str) -> str:
    """*text* with its kubelatch commands as they have to be typed here.

    Where kubelatch is not on PATH, as in a virtual environment that is not active, its path is put
    in its place.
    """
    if shutil.which("kubelatch"):
        return text
    script = os.path.join(sys.prefix, "bin", "kubelatch")
    if os.path.exists(script):
        with contextlib.suppress(OSError):  # no directory any more
            script = script.removeprefix(os.path.join(os.getcwd(), ""))
        called = shlex.quote(script)
    else:
        called = f"{shlex.quote(sys.executable)} -m kubelatch"
    return _COMMAND.sub(called.replace("\\", r"\\"), text)


def example_request(settings: "Settings", name: str, gate: "Gate", *, unix: bool) -> str:
    """A ``curl`` command that gets a response through the proxy, for a POSIX shell or zsh.

    Args:
        settings: of the proxy.
        name: the address it listens on, as ``host:port`` or a socket's path.
        gate: decides which requests pass.
        unix: *name* is a unix socket's.

    Returns:
        The command; empty if the gate refuses every example, or curl could not verify the proxy.
    """
    from base64 import b64encode  # noqa: PLC0415 -- not for the help

    from ..config.addresses import (  # noqa: PLC0415
        join_host_port,
        reachable_host,
        split_host_port,
    )
    from ..gate import Allowed  # noqa: PLC0415

    if settings.tls == "auto" and not settings.tls_ca_file and not unix:
        return ""
    prefix = settings.api_prefix.rstrip("/")
    options, fields = ["curl"], []
    if settings.client_token_file:
        # curl takes a password out of the list of processes, but not a header field.
        options.append(f'-u "kubelatch:$(cat {shlex.quote(settings.client_token_file)})"')
        secret = gate.settings.client_token
        token = secret.reveal() if secret is not None else ""
        fields.append((b"Authorization", b"Basic " + b64encode(f"kubelatch:{token}".encode())))
    if unix:
        if name.startswith("@"):
            options.append(f"--abstract-unix-socket {shlex.quote(name[1:])}")
        else:
            options.append(f"--unix-socket {shlex.quote(name)}")
        authority = host = "localhost"
    else:
        address, port = split_host_port(name)
        authority = join_host_port(reachable_host(address), port)
        if settings.tls_ca_file:
            options.append(f"--cacert {shlex.quote(settings.tls_ca_file)}")
        host = authority.removesuffix(f":{port}")
    scheme = "https" if settings.tls and not unix else "http"
    for name_sent in (host, "localhost"):
        option = [] if name_sent == host else [f"-H 'Host: {name_sent}'"]
        for path in _EXAMPLE_PATHS:
            head = ((b"Host", name_sent.encode()), *fields)
            if isinstance(gate.decide("GET", prefix + path, head), Allowed):
                url = shlex.quote(f"{scheme}://{authority}{prefix}{path}")
                return " ".join([*options, *option, url])
    return ""
