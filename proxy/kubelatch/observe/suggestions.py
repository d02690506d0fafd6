"""Commands that we suggest, so that they work as printed.

Pure but for looking up where this program is. It knows what to ask through a proxy, and how to call
kubelatch where it is not on PATH.
"""

import contextlib
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..config.addresses import join_host_port, reachable_host, split_host_port
from ..config.commands import COMMANDS

if TYPE_CHECKING:
    from ..config.settings import Settings
    from ..gate import Gate

# `kubelatch` where a command of ours begins; "called as kubelatch or ..." is none.
_OURS: Final = re.compile(
    rf"(?<![\w./-])kubelatch(?= (?:--[a-z]|(?:{'|'.join(COMMANDS)})\b))|(?<=^  )kubelatch$",
    re.MULTILINE,
)
_QUESTIONS: Final = ("/version", "/api", "/apis", "/healthz")


def as_called(text: str) -> str:
    """*text* with the commands of ours that it suggests as they have to be called here.

    In a virtual environment that is not active kubelatch is not on PATH: then its path is shown.
    """
    if shutil.which("kubelatch"):
        return text
    script = Path(sys.prefix, "bin", "kubelatch")
    if script.exists():
        with contextlib.suppress(OSError, ValueError):  # no directory any more, or not within it
            script = script.relative_to(Path.cwd())
        called = shlex.quote(str(script))
    else:
        called = f"{shlex.quote(sys.executable)} -m kubelatch"
    return _OURS.sub(called.replace("\\", r"\\"), text)


def question(settings: "Settings", name: str, gate: "Gate", *, unix: bool) -> str:
    """A ``curl`` command that is answered through the proxy, for a POSIX shell or zsh.

    Args:
        settings: of the proxy.
        name: the address it listens on, as ``host:port`` or a socket's path.
        gate: what it lets through.
        unix: that is a unix socket's.

    Returns:
        The command, or nothing where the gate refuses all that it could ask.
    """
    from base64 import b64encode  # noqa: PLC0415 -- not for the help

    from ..gate import Allowed  # noqa: PLC0415

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
        host = authority.removesuffix(f":{port}")
    for asked in (host, "localhost"):
        option = [] if asked == host else [f"-H 'Host: {asked}'"]
        for path in _QUESTIONS:
            head = ((b"Host", asked.encode()), *fields)
            if isinstance(gate.decide("GET", prefix + path, head), Allowed):
                url = shlex.quote(f"http://{authority}{prefix}{path}")
                return " ".join([*options, *option, url])
    return ""
