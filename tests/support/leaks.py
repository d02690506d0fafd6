"""What a leak or a fault that nobody caught leaves behind in what a program says."""

import logging
import os
from typing import Final

# What a process gets of the tests' environment: where this checkout is, and who measures it.
_CHECKOUT: Final = ("PYTHONPATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
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


def checkout() -> dict[str, str]:
    """The variables by which a Python process imports this checkout, and nothing installed."""
    return {name: os.environ[name] for name in _CHECKOUT if name in os.environ}


def strict() -> dict[str, str]:
    """The same for a process that is watched for leaks: warnings are errors there as well, and CI
    may choose the loop."""
    loop = {name: os.environ[name] for name in ("KUBELATCH_LOOP",) if name in os.environ}
    return checkout() | loop | {"PYTHONWARNINGS": "error"}


def complaints(stderr: str) -> list[str]:
    """The lines that tell of a leak or an uncaught fault."""
    return [line for line in stderr.splitlines() if any(sign in line for sign in _SIGNS)]


class EventLoopErrors(logging.Handler):
    """Keeps what asyncio logs as an error: what a callback raised, a task that was destroyed while
    it was pending, an exception that nobody has asked for; and in debug mode what held the event
    loop up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)
        if message.startswith("Error on transport creation"):
            # Debug mode reports each TLS handshake of a server's that its client has refused.
            return
        if record.levelno >= logging.ERROR or message.startswith("Executing "):
            self.messages.append(message)
