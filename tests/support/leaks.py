"""What a leak or a fault that nobody caught leaves behind in what a program says."""

import logging
import os
from typing import Final

# In debug mode asyncio says where a leak was made, and what it finds is looked for at once.
STRICT: Final = bool(os.environ.get("PYTHONASYNCIODEBUG"))
# What the commands of the tests are to be strict about as well.
PASSED_ON: Final = {
    name: value
    for name, value in os.environ.items()
    if name in {"PYTHONWARNINGS", "KUBELATCH_LOOP"}
}
_SIGNS: Final = (
    "Traceback",
    "internal error",
    "never retrieved",
    "was never awaited",
    "Task was destroyed",
    "Unclosed",
    "unclosed",
    "ResourceWarning",
    "Exception ignored",
    "Exception in callback",
)


def complaints(stderr: str) -> list[str]:
    """The lines that tell of a leak or an uncaught fault."""
    return [line for line in stderr.splitlines() if any(sign in line for sign in _SIGNS)]


class EventLoopErrors(logging.Handler):
    """Keeps what asyncio logs as an error: what a callback raised, a task that was destroyed while
    it was pending, an exception that nobody has asked for."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))
