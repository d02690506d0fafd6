"""What an exec plugin writes to standard error, made into lines that may be shown.

It may ask the user to open a page, so it is passed on as it comes; it may hold tokens, keys and
escape codes, so it is redacted and escaped. A text without a line end that nothing follows is a
prompt, and shown as well. The last lines of a key would show no sign of it, so that a PEM block is
left out from its first line to its last.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..kubeconfig import ExecConfig
from ..redact import REDACTED, printable, redact

# Beyond this a line is not read: it is no message.
_LONGEST: Final = 4096
# Of one run. A plugin that is told to be verbose says less; one that says more would fill the log.
_MOST_LINES: Final = 500
# A person takes this for at once, and a program writes its line in one go.
_PROMPT_SECONDS: Final = 0.2
# Colours and weights (ECMA-48, SGR). They carry no text, and tools use them wherever they write.
_COLOURS: Final = re.compile(rb"\x1b\[[0-9;:]*m")
# What a key consists of (RFC 7468, RFC 1421).
_PEM_LINE: Final = re.compile(r"[A-Za-z0-9+/= ]*|[A-Za-z0-9-]+: .*")
_SENSITIVE: Final = re.compile("token|secret|passw|pwd|key|credential|assertion", re.IGNORECASE)
# A region, a profile, a path or a number of the plugin's environment: too short or too plain for a
# secret.
_PLAIN: Final = re.compile(
    r".{0,5}|[a-z]+(?:-[a-z]+)*(?:-[0-9]{1,2})?|(?:[./~]|https?:).*", re.DOTALL
)


class StderrLines:
    """Takes bytes, and hands on lines.

    Args:
        known: secrets to redact wherever they are.
        show: gets each line, without its end.
    """

    def __init__(self, known: Sequence[str], show: Callable[[str], None]) -> None:
        self._known = known
        self._show = show
        self._rest = bytearray()
        self._lines = 0
        self._in_pem = False
        self._cut = False
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._stop_timer()
        *lines, rest = (bytes(self._rest) + data).split(b"\n")
        for line in lines:
            self._line(line)
        # Progress is written over and over.
        kept, _, rest = rest.rpartition(b"\r")
        rest = rest or (kept + b"\r" if kept else b"")
        if len(rest) > _LONGEST:
            self._line(rest)
            self._cut, rest = True, b""
        self._rest = bytearray(rest)
        if rest and not self._cut:
            self._timer = asyncio.get_running_loop().call_later(_PROMPT_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand on what has no line end."""
        self._stop_timer()
        if self._rest:
            rest, self._rest = bytes(self._rest), bytearray()
            self._line(rest)

    def close(self) -> None:
        """Hand on the rest, and say how much was left out."""
        self.flush()
        if self._lines > _MOST_LINES:
            self._show(f"({self._lines - _MOST_LINES} lines more)")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _line(self, line: bytes) -> None:
        if self._cut:
            # The rest of a line whose beginning was enough.
            self._cut = False
            return
        self._lines += 1
        if self._lines > _MOST_LINES:
            return
        whole = _COLOURS.sub(b"", line.rstrip(b"\r")).rpartition(b"\r")[2]
        text = whole[:_LONGEST].decode("utf-8", "replace")
        begins, ends = "-----BEGIN " in text, "-----END " in text
        if self._in_pem and (ends or _PEM_LINE.fullmatch(text)):
            self._in_pem = not ends
            return
        self._in_pem = begins and not ends
        text = printable(redact(text, self._known)).strip()
        if text:
            self._show(f"{text}..." if len(whole) > _LONGEST else text)


def secrets_of(plugin: ExecConfig) -> tuple[str, ...]:
    """What of the plugin's arguments and environment is, or may be, a secret; longest first."""
    found = {value.reveal() for name, value in plugin.env if _is_secret(name, value.reveal())}
    found.update(_secret_arguments(plugin.args))
    return tuple(sorted(found, key=len, reverse=True))


def _is_secret(name: str, value: str) -> bool:
    if len(value) < 4 or value == REDACTED:
        return False
    return bool(_SENSITIVE.search(name)) or redact(value) != value or not _PLAIN.fullmatch(value)


def _secret_arguments(args: Sequence[str]) -> Iterable[str]:
    """The values of ``--client-secret=x`` and ``--client-secret x``, and what looks like one."""
    for at, argument in enumerate(args):
        name, equals, value = argument.partition("=")
        before = args[at - 1] if at else ""
        if not equals and before.startswith("-") and "=" not in before:
            name, value = before, argument
        if name.startswith("-") and _SENSITIVE.search(name) and len(value) >= 4:
            yield value
        elif redact(argument) == REDACTED:
            yield argument
