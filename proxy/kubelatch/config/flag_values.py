"""Parsers for the values of flags that kubectl does not have; ``goflags`` has Go's types.

Each raises ValueError with a message that says what the value must be.
"""

import re
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


def checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """A parser that keeps the text, which *parse* accepts."""

    def keep(text: str) -> str:
        parse(text)
        return text

    return keep


def parse_size(text: str) -> int:
    """Bytes: ``65536``, ``64Ki``, ``64KiB``, ``1Mi``."""
    match = re.fullmatch(r"([0-9]{1,12})\s*(?:([KMG])i?B?)?", text)
    if match is None:
        msg = "must be a size, such as 65536, 64KiB or 1MiB"
        raise ValueError(msg)
    shift = 10 * " KMG".index(match[2]) if match[2] else 0
    return int(match[1]) << shift


def parse_body_size(text: str) -> int:
    """A size of at most 1 MiB, which is parsed and redacted in a fraction of a second; or off."""
    size = 0 if text == "off" else parse_size(text)
    if size > 1024 * 1024:
        msg = "must be at most 1MiB"
        raise ValueError(msg)
    return size


def parse_keep(text: str) -> tuple[int, int]:
    """How many exchanges to keep, how many bytes, or both: ``500``, ``64MiB``, ``500,64MiB``."""
    entries, size = 1000, 32 * 1024 * 1024
    for part in parse_items(text):
        if part.isdigit():
            entries = int(part)
        else:
            size = parse_size(part)
    if not 1 <= entries <= 100_000 or size < 1024 * 1024:
        msg = "must be a number of requests up to 100000, a size from 1MiB on, or both: 500,64MiB"
        raise ValueError(msg)
    return entries, size


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


def parse_tls(text: str) -> tuple[str, str] | None:
    """The files of ``CERT,KEY``; None for ``auto`` and for nothing."""
    if text in {"", "auto"}:
        return None
    chain, _, key = text.partition(",")
    if not (chain and key) or "," in key:
        msg = "must be auto, or two files as CERT,KEY"
        raise ValueError(msg)
    return chain, key


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
