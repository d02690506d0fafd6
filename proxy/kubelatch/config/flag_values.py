"""Values of flags that kubectl does not have, from text; those of Go's types are in ``goflags``.

Each function raises ValueError with what the text must be.
"""

from collections.abc import Callable
from typing import Literal

from .goflags import parse_bool, parse_int


def repeated(text: str) -> tuple[str, ...]:
    return (text,)


def commas(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            msg = f"must be one of {', '.join(choices)}"
            raise ValueError(msg)
        return text

    return parse


def at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = parse_int(text)
        if number < least:
            msg = f"must be at least {least}"
            raise ValueError(msg)
        return number

    return parse


def read_only(text: str) -> str:
    if text == "with-secrets":
        return text
    try:
        return "on" if parse_bool(text) else "off"
    except ValueError:
        msg = "must be true, false or with-secrets"
        raise ValueError(msg) from None


def clients(text: str) -> frozenset[int] | Literal["auto", "any", "same-user"]:
    if text == "auto":
        return "auto"
    if text == "any":
        return "any"
    if text == "same-user":
        return "same-user"
    try:
        return frozenset(int(part) for part in commas(text))
    except ValueError:
        msg = "must be auto, any, same-user, or user ids with commas"
        raise ValueError(msg) from None


def file_mode(text: str) -> int:
    """A file's mode as ``chmod`` takes it, ``660`` or ``0660``, or as programs write it, 0o660."""
    digits = text.removeprefix("0o")
    if not digits.isascii() or not digits.isdigit() or {"8", "9"} & set(digits):
        msg = "must be a file mode in octal, such as 0660"
        raise ValueError(msg)
    mode = int(digits, 8)
    if mode > 0o777:
        msg = "must be a file mode from 0000 to 0777"
        raise ValueError(msg)
    return mode
