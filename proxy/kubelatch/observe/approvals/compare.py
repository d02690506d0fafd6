"""The difference between two objects, as a unified diff of YAML without secrets. Pure."""

import difflib
import json
from typing import Any, Final

import yaml

from ...gate.request_info import RequestInfo
from ...redact import REDACTED
from ..inspector.bodies import NotKept
from .body import redacted

# Bytes of an object as JSON, and lines, that are compared; lines and characters that are shown.
_LONGEST: Final = 512 * 1024
_MOST_LINES: Final = 10_000
_SHOWN_LINES: Final = 2000
_SHOWN_CHARACTERS: Final = 200_000
_CONTEXT: Final = 4
# What is another in each dry run, or says nothing of what changes.
_METADATA: Final = (
    "managedFields", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "selfLink",
)  # fmt: skip


class TooLongError(Exception):
    """The objects are too long, or nested too deeply, to be compared."""


class _DiffDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    """Several lines stay several lines, where YAML can write them so."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_DiffDumper.add_representer(str, _represent_text)


def difference(
    before: dict[str, Any] | None, after: dict[str, Any] | None, info: RequestInfo
) -> tuple[list[str], int]:
    """The lines of a unified diff, and how many of them are left out.

    A value that is redacted has a number, the same for equal values: whether it changes is seen.

    Args:
        before: the object as it is; None if there is none.
        after: the object as it would be; None if it would be gone.
        info: what the request asks for.

    Raises:
        TooLongError: they cannot be compared.
    """
    seen: dict[str, int] = {}
    old, new = _lines(before, info, seen), _lines(after, info, seen)
    lines = list(
        difflib.unified_diff(old, new, "as it is", "as it would be", lineterm="", n=_CONTEXT)
    )
    shown, size = 0, 0
    for line in lines[:_SHOWN_LINES]:
        size += len(line) + 1
        if size > _SHOWN_CHARACTERS:
            break
        shown += 1
    return lines[:shown], len(lines) - shown


def _lines(value: dict[str, Any] | None, info: RequestInfo, seen: dict[str, int]) -> list[str]:
    """The object as lines of YAML."""
    if value is None:
        return []
    if len(json.dumps(value)) > _LONGEST:
        raise TooLongError
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        kept = {name: item for name, item in metadata.items() if name not in _METADATA}
        value = {**value, "metadata": kept}
    try:
        shown = _number(value, redacted(value, info), seen)
    except NotKept:
        raise TooLongError from None
    # ASCII: what could reorder or hide text is escaped.
    text = yaml.dump(shown, Dumper=_DiffDumper, sort_keys=True, allow_unicode=False, width=2**30)
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        raise TooLongError
    return lines


def _number(value: Any, shown: Any, seen: dict[str, int]) -> Any:
    """What is shown, with a number at each redacted value."""
    if isinstance(shown, dict) and isinstance(value, dict):
        return {name: _number(value.get(name), item, seen) for name, item in shown.items()}
    if isinstance(shown, list) and isinstance(value, list):
        return [_number(old, new, seen) for old, new in zip(value, shown, strict=True)]
    if isinstance(shown, str) and shown != value:
        number = seen.setdefault(json.dumps(value, sort_keys=True), len(seen) + 1)
        return f"{shown} ({number})" if REDACTED in shown else f"{REDACTED} ({number})"
    return shown
