"""Parsers for the values of flags that kubectl does not have; ``goflags`` has Go's types.

Each raises ValueError with a message that says what the value must be.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

from ..secret import Secret
from .goflags import parse_bool, parse_int

_Word = TypeVar("_Word", bound=str)


def parse_secret(text: str) -> Secret | None:
    return Secret(text) if text else None


def parse_item(text: str) -> tuple[str, ...]:
    return (text,)


def parse_items(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def one_of(*words: _Word) -> Callable[[str], _Word]:
    def parse(text: str) -> _Word:
        for word in words:
            if text == word:
                return word
        msg = f"must be one of {', '.join(words)}"
        raise ValueError(msg)

    return parse


def at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = parse_int(text)
        if number < least:
            msg = f"must be at least {least}"
            raise ValueError(msg)
        return number

    return parse


def parse_read_only(text: str) -> Literal["off", "on", "with-secrets"]:
    if text == "with-secrets":
        return "with-secrets"
    try:
        return "on" if parse_bool(text) else "off"
    except ValueError:
        msg = "must be true, false or with-secrets"
        raise ValueError(msg) from None


def parse_clients(text: str) -> frozenset[int] | Literal["auto", "any", "same-user"]:
    if text == "auto":
        return "auto"
    if text == "any":
        return "any"
    if text == "same-user":
        return "same-user"
    try:
        return frozenset(int(part) for part in parse_items(text))
    except ValueError:
        msg = "must be auto, any, same-user, or user ids with commas"
        raise ValueError(msg) from None


def parse_file_mode(text: str) -> int:
    """A file mode in octal: ``660``, ``0660`` or ``0o660``."""
    digits = text.removeprefix("0o")
    if not digits.isascii() or not digits.isdigit() or {"8", "9"} & set(digits):
        msg = "must be a file mode in octal, such as 0660"
        raise ValueError(msg)
    mode = int(digits, 8)
    if mode > 0o777:
        msg = "must be a file mode from 0000 to 0777"
        raise ValueError(msg)
    return mode
