"""Turns an exec plugin's standard error into lines for the log.

Lines are passed on at once, since they may ask the user to open a page. They are redacted and
escaped, since they may hold tokens, keys and escape codes. A text without a line end that nothing
follows is a prompt, and shown as well. PEM blocks are left out from the first line to the last,
since their last lines alone do not look like a key.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..kubeconfig import ExecConfig
from ..redact import REDACTED, printable, redact

# The rest of a longer line is dropped.
_MAX_LINE: Final = 4096
# For one run: more than a verbose plugin prints; an endless one would fill the log.
_MAX_LINES: Final = 500
# Short for a person; a program writes its line in one go.
_PROMPT_SECONDS: Final = 0.2
# Colours and weights (ECMA-48, SGR), which carry no text.
_COLOURS: Final = re.compile(rb"\x1b\[[0-9;:]*m")
# The lines of a key (RFC 7468, RFC 1421).
_PEM_LINE: Final = re.compile(r"[A-Za-z0-9+/= ]*|[A-Za-z0-9-]+: .*")
_SENSITIVE: Final = re.compile("token|secret|passw|pwd|key|credential|assertion", re.IGNORECASE)
# Environment values that are too short or too plain for a secret: a region, profile, path, number.
_PLAIN: Final = re.compile(
    r".{0,5}|[a-z]+(?:-[a-z]+)*(?:-[0-9]{1,2})?|(?:[./~]|https?:).*", re.DOTALL
)


class StderrLines:
    """Splits bytes into lines.

    Args:
        known: secrets to redact.
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
        """Add bytes."""
        self._stop_timer()
        *lines, rest = (bytes(self._rest) + data).split(b"\n")
        for line in lines:
            self._line(line)
        # A progress display overwrites its line.
        kept, _, rest = rest.rpartition(b"\r")
        rest = rest or (kept + b"\r" if kept else b"")
        if len(rest) > _MAX_LINE:
            self._line(rest)
            self._cut, rest = True, b""
        self._rest = bytearray(rest)
        if rest and not self._cut:
            self._timer = asyncio.get_running_loop().call_later(_PROMPT_SECONDS, self.flush)

    def flush(self) -> None:
        """Show the text that has no line end yet."""
        self._stop_timer()
        if self._rest:
            rest, self._rest = bytes(self._rest), bytearray()
            self._line(rest)

    def close(self) -> None:
        """Show the rest, and how many lines were left out."""
        self.flush()
        if self._lines > _MAX_LINES:
            self._show(f"({self._lines - _MAX_LINES} lines more)")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _line(self, line: bytes) -> None:
        if self._cut:
            # The rest of a line that was too long.
            self._cut = False
            return
        self._lines += 1
        if self._lines > _MAX_LINES:
            return
        whole = _COLOURS.sub(b"", line.rstrip(b"\r")).rpartition(b"\r")[2]
        text = whole[:_MAX_LINE].decode("utf-8", "replace")
        begins, ends = "-----BEGIN " in text, "-----END " in text
        if self._in_pem and (ends or _PEM_LINE.fullmatch(text)):
            self._in_pem = not ends
            return
        self._in_pem = begins and not ends
        text = printable(redact(text, self._known)).strip()
        if text:
            self._show(f"{text}..." if len(whole) > _MAX_LINE else text)


def secrets_of(plugin: ExecConfig) -> tuple[str, ...]:
    """The secrets, certain or probable, in arguments and environment; longest first."""
    found = {value.reveal() for name, value in plugin.env if _is_secret(name, value.reveal())}
    found.update(_secret_arguments(plugin.args))
    return tuple(sorted(found, key=len, reverse=True))


def _is_secret(name: str, value: str) -> bool:
    if len(value) < 4 or value == REDACTED:
        return False
    return bool(_SENSITIVE.search(name)) or redact(value) != value or not _PLAIN.fullmatch(value)


def _secret_arguments(args: Sequence[str]) -> Iterable[str]:
    """The values of ``--client-secret=x`` and ``--client-secret x``, and arguments like tokens."""
    for at, argument in enumerate(args):
        name, equals, value = argument.partition("=")
        before = args[at - 1] if at else ""
        if not equals and before.startswith("-") and "=" not in before:
            name, value = before, argument
        if name.startswith("-") and _SENSITIVE.search(name) and len(value) >= 4:
            yield value
        elif redact(argument) == REDACTED:
            yield argument
