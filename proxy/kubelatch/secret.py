"""A string that is not shown by accident.

Tokens, passwords and keys are wrapped, so that a repr, a log line, an f-string or a traceback shows
``***``. Only the code that sends one unwraps it.
"""

from typing import final


@final
class Secret:
    """A secret text, which only :meth:`reveal` returns."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"
