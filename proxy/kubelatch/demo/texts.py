"""How apimachinery words what is wrong with a field (``util/validation``, ``field.Error``)."""

import json
import re
from dataclasses import dataclass
from typing import Any

Problems = list[tuple[str, str]]
"""Fields, and what is wrong with each."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of names, and what is said of those that do not have it."""

    pattern: re.Pattern[str]
    text: str


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENDS = "and must start and end with an alphanumeric character"
LABEL = Form(
    re.compile(_LABEL),
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    f"{_ENDS} (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')",
)
SUBDOMAIN = Form(
    re.compile(_SUBDOMAIN),
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    f"'.', {_ENDS} (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')",
)
QUALIFIED = Form(
    re.compile(_QUALIFIED),
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS} (e.g. 'MyName',  or "
    f"'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')",
)
CONFIG_KEY = Form(
    re.compile(r"[-._a-zA-Z0-9]+"),
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name', "
    " or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
)


def quoted(value: Any) -> str:
    """A value as messages show it: compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def invalid(value: Any, problem: str) -> str:
    """``Invalid value``."""
    return f"Invalid value: {quoted(value)}: {problem}"


def unsupported(value: Any, known: list[str]) -> str:
    """``Unsupported value``, and which are supported."""
    return f"Unsupported value: {quoted(value)}: supported values: {listed(known)}"


def listed(names: list[str]) -> str:
    """Quoted names."""
    return ", ".join(quoted(name) for name in names)
