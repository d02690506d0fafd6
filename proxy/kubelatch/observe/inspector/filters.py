"""Selects exchanges by the parameters of ``GET /inspect/requests``."""

import json
from collections.abc import Sequence
from typing import Any, Final

_EXACT: Final = frozenset({"verb", "resource", "namespace", "name", "method", "context", "event"})
_DEFAULT_LIMIT: Final = 1000


def select(summaries: Sequence[bytes], query: dict[str, str]) -> list[bytes]:
    """Those that match all parameters, in the order in which they are.

    Args:
        summaries: JSON objects.
        query: ``verb``, ``resource``, ``namespace``, ``name``, ``method``, ``context``, ``event``:
            the value itself; ``status``: it, or a class such as ``4xx``; ``client``: a part of its
            address, user agent or process; ``q``: a part of anything; ``before``: an id that theirs
            are smaller than; ``limit``: how many at most.

    Raises:
        ValueError: a parameter is unknown, or has no such value.
    """
    query = dict(query)
    limit = _number(query, "limit", _DEFAULT_LIMIT)
    before = _number(query, "before", 0)
    for name in query.keys() - _EXACT - {"status", "client", "q"}:
        msg = f"there is no parameter {name!r}"
        raise ValueError(msg)
    found: list[bytes] = []
    for text in summaries:
        if len(found) >= limit:
            break
        if query or before:
            summary = json.loads(text)
            if before and int(summary["id"]) >= before:
                continue
            if not all(_matches(summary, *parameter) for parameter in query.items()):
                continue
        found.append(text)
    return found


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.pop(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 17:
        msg = f"{name} is a number"
        raise ValueError(msg)
    return int(text)


def _matches(summary: dict[str, Any], name: str, value: str) -> bool:
    if name in _EXACT:
        return str(summary.get(name, "")) == value
    if name == "status":
        status = str(summary.get("status", 0))
        return status == value or (value[1:].lower() == "xx" and status[:1] == value[:1])
    if name == "client":
        texts = [summary.get("client", ""), summary.get("user_agent", "")]
        texts.append(summary.get("process", {}).get("name", ""))
        return any(value.lower() in text.lower() for text in texts)
    return value.lower() in json.dumps(summary, ensure_ascii=False).lower()
