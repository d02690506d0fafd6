"""How apimachinery words what is wrong with a field (``util/validation``, ``field.Error``)."""

import json
from collections.abc import Iterator
from typing import Any

Problems = list[tuple[str, str]]
"""Fields, and what is wrong with each."""
Found = Iterator[tuple[str, str]]
"""The same, one after the other."""


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


def join(field: str, key: str) -> str:
    """The path of a field's own field."""
    return f"{field}.{key}" if field else key
