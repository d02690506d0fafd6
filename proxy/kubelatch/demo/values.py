"""Rules of single values, and the data file that has all rules (``data/rules.txt``)."""

import functools
import ipaddress
import json
import operator
import re
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

from . import cron, quantities, schemas
from .status import Object
from .texts import Found, invalid, unsupported

Row = tuple[str, list[tuple[str, str]]]
"""A field, and its rules with their arguments."""
_WORD = re.compile(r'([^\s=]+)(?:=(?:"((?:\\.|[^"])*)"|(\S+)))?')


@functools.cache
def rules() -> tuple[dict[str, list[Row]], dict[str, list[tuple[re.Pattern[str], str]]]]:
    """The rules by definition, and the forms by name."""
    found: dict[str, list[Row]] = {}
    forms: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    rows: list[Row] = []
    for line in schemas.text("rules.txt").splitlines():
        if line.startswith("form "):
            _, name, pattern, text = line.split(" ", 3)
            forms.setdefault(name, []).append((re.compile(pattern, re.DOTALL), text))
        elif line.startswith(" "):
            parts = (match.groups() for match in _WORD.finditer(line))
            (key, _), *words = ((w, (a or b or "").replace('\\"', '"')) for w, a, b in parts)
            rows.append((key, words))
        elif not line.startswith("#"):
            rows = []
            found |= dict.fromkeys(line.split(), rows)
    return found, forms


def at(value: Any, path: str) -> Any:
    """What a path leads to in a struct: ``.`` is itself."""
    for key in path.split(".") if path != "." else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value


def is_set(value: Any) -> bool:
    """Whether a field has something in it."""
    return value not in (None, "", [], {})


def labels(given: Object, field: str) -> Found:
    """The problems of labels (``validation.ValidateLabels``)."""
    for key, value in given.items():
        yield from ((field, text) for text in qualified(key))
        yield from ((field, text) for text in form("label_value", value))


def qualified(key: str) -> Iterator[str]:
    """``validation.IsQualifiedName``: an optional DNS prefix and a name."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        yield from form("subdomain", prefix, shown=key, part="prefix part ")
    yield from form("name_part", name, shown=key, part="name part ")


def form(name: str, value: str, *, shown: str | None = None, part: str = "") -> Iterator[str]:
    """The problems of a text that should have a form of the data file."""
    for pattern, text in rules()[1][name]:
        if not pattern.fullmatch(value):
            problem = text.replace("{}", pattern.pattern).replace("{value}", value)
            yield invalid(value if shown is None else shown, part + problem)


def _port(value: Any, _: str) -> Iterator[str]:
    if isinstance(value, str):
        return form("port_name", value)
    return _between(value, "1:65535")


def _between(value: int, argument: str) -> Iterator[str]:
    low, high, *text = argument.split(":", 2)
    if not int(low) <= value <= int(high):
        yield invalid(value, text[0] if text else f"must be between {low} and {high}, inclusive")


def _amount(value: Any, _: str) -> Iterator[str]:
    """A number, or a part of the whole in percent (``ValidatePositiveIntOrPercent``)."""
    if isinstance(value, int):
        yield from _compare(operator.ge, "must be greater than or equal to", value, 0)
    elif not re.fullmatch("[0-9]+%", str(value)):
        text = "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
        yield invalid(value, f"{text}'1%',  or '93%', regex used for validation is '[0-9]+%')")


def _share(value: Any, _: str) -> Iterator[str]:
    if re.fullmatch("[0-9]+%", str(value)) and int(value[:-1]) > 100:
        yield invalid(value, "must not be greater than 100%")


def _address(value: str, kind: str) -> Iterator[str]:
    try:
        _ = ipaddress.ip_address(value) if kind == "IP" else ipaddress.ip_network(value)
    except ValueError:
        example = "10.9.8.7 or 2001:db8::ffff" if kind == "IP" else "10.9.8.0/24 or 2001:db8::/64"
        noun = "IP address" if kind == "IP" else "CIDR value"
        yield invalid(value, f"must be a valid {noun}, (e.g. {example})")


def _size(value: Any, argument: str) -> Iterator[str]:
    """A quantity that is not negative, or more than nothing."""
    amount = quantities.parse(value)
    if amount < 0:
        yield invalid(str(value), "must be greater than or equal to 0")
    if amount <= 0 and argument == "positive":
        yield invalid(str(value), "must be greater than zero")


def _zone(value: str, _: str) -> Iterator[str]:
    """A time zone; any, where there is no database of them."""
    try:
        zoneinfo.ZoneInfo(value)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        if zoneinfo.available_timezones():
            yield invalid(value, f"unknown time zone {value}")


def _in(value: Any, argument: str) -> Iterator[str]:
    if value not in argument.split(","):
        yield unsupported(value, argument.split(","))


def _compare(
    holds: Callable[[Any, Any], bool], text: str, value: Any, limit: Any, name: str = ""
) -> Iterator[str]:
    if isinstance(limit, int) and not holds(value, limit):
        yield invalid(value, f"{text} {name or limit}")


_TESTS: dict[str, Callable[[Any, str], Iterator[str]]] = {
    "address": _address,
    "amount": _amount,
    "between": _between,
    "cron": lambda value, _: (invalid(value, text) for text in [cron.problem(value)] if text),
    "in": _in,
    "port": _port,
    "qualified": lambda value, _: qualified(value),
    "share": _share,
    "size": _size,
    "zone": _zone,
}
_COMPARISONS = {
    "min": (operator.ge, "must be greater than or equal to"),
    "more": (operator.gt, "must be greater than"),
}


def problems(word: str, argument: str, item: Any, owner: Object, field: str) -> Found:
    """The problems of one rule that looks at a field which is set."""
    if word.startswith("each."):
        for index, row in enumerate(item):
            yield from problems(word[5:], argument, row, owner, f"{field}[{index}]")
    elif word.startswith("all."):
        for row in item:
            yield from problems(word[4:], argument, row, owner, field)
    elif word == "keys":
        for key in item:
            yield from ((f"{field}[{key}]", text) for text in form(argument, key))
    elif word == "sizes":
        for key, amount in item.items():
            yield from ((f"{field}[{key}]", text) for text in _size(amount, argument))
    elif word == "labels":
        yield from labels(item, field)
    elif word == "unique":
        seen: set[Any] = set()
        for index, row in enumerate(item):
            own = row.get(argument) if isinstance(row, dict) else None
            if own is not None and own in seen:
                yield f"{field}[{index}].{argument}", f"Duplicate value: {json.dumps(own)}"
            seen.add(own)
    elif word == "forbidden":
        yield field, f"Forbidden: {argument}"
    elif word == "invalid":
        yield field, invalid(item, argument)
    elif word in _COMPARISONS:
        holds, text = _COMPARISONS[word]
        digits = argument.lstrip("-").isdigit()
        limit = int(argument) if digits else at(owner, argument.strip("`")) or 0
        yield from ((field, row) for row in _compare(holds, text, item or 0, limit, argument))
    elif word in _TESTS:
        yield from ((field, text) for text in _TESTS[word](item, argument))
    else:
        yield from ((field, text) for text in form(word, item))
