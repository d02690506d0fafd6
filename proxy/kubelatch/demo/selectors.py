"""Label and field selectors: text in, predicate out.

The grammar is that of k8s.io/apimachinery ``labels.Parse`` and ``fields.ParseSelector``.
"""

import re
from collections.abc import Callable
from typing import Any

from .resources import Resource
from .status import Object, StatusError, bad_request

Predicate = Callable[[Object], bool]

_EQUALITY = re.compile(r"^\s*([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)\s*$")
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset({"==", "!=", *"=!(),<>"})
_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")

_FIELDS_OF_ALL = ("metadata.name", "metadata.namespace")


def label_predicate(text: str) -> Predicate:
    """The objects that a label selector selects.

    Raises:
        StatusError: 400 when the text is no selector.
    """
    tests = _SelectorParser(text).requirements()
    return lambda obj: _all_hold(tests, obj["metadata"].get("labels") or {})


def matches_labels(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a ``metav1.LabelSelector`` selects these labels; an empty one selects nothing here.

    An empty selector of a controller would select everything; the API server refuses it.
    """
    if not selector:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for row in selector.get("matchExpressions") or []:
        values, operator, key = row.get("values") or [], row.get("operator"), row.get("key", "")
        held = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }.get(operator, False)
        if not held:
            return False
    return True


def field_predicate(text: str, resource: Resource) -> Predicate:
    """The objects that a field selector selects.

    Raises:
        StatusError: 400 for a text that is no selector, or a field that cannot be selected on.
    """
    tests: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        match = _EQUALITY.match(part)
        if match is None:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path, operator, value = match.groups()
        if path not in (*_FIELDS_OF_ALL, *resource.selectable):
            raise bad_request(_unsupported(resource, path))
        tests.append((path, operator != "!=", value))
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in tests)


def _unsupported(resource: Resource, path: str) -> str:
    """Kinds with selectable fields of their own word it in another way than the others."""
    if resource.selectable:
        return f"field label not supported: {path}"
    known = ", ".join(f'"{name}"' for name in _FIELDS_OF_ALL)
    return f'"{path}" is not a known field selector: only {known}'


def _all_hold(tests: list[Predicate], labels: dict[str, str]) -> bool:
    return all(test(labels) for test in tests)


class _SelectorParser:
    """``labels.Parser``: one token after the other, with its messages."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]

    def requirements(self) -> list[Predicate]:
        """All requirements.

        Raises:
            StatusError: 400.
        """
        found: list[Predicate] = []
        while self._tokens[0]:
            if not (self._tokens[0] == "!" or self._is_identifier()):
                raise self._unexpected("!, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except StatusError as error:
                raise bad_request(f"unable to parse requirement: {error.message}") from None
            if self._tokens[0] not in {"", ","}:
                raise self._unexpected("',' or 'end of string'")
            if self._next() == "," and not (self._tokens[0] == "!" or self._is_identifier()):
                raise self._unexpected("identifier after ','")
            if not self._tokens:
                break
        return found

    def _requirement(self) -> Predicate:
        absent = self._tokens[0] == "!" and bool(self._next())
        key = self._identifier("identifier")
        if absent or self._tokens[0] in {"", ","}:
            return lambda labels: (key in labels) is not absent
        if self._tokens[0] not in {*_OPERATORS, "<", ">"}:
            raise self._unexpected(", ".join(_OPERATORS))
        operator = self._next()
        if operator in {"in", "notin"}:
            values = self._values()
            return lambda labels: (labels.get(key) in values) is (operator == "in")
        value = "" if self._tokens[0] in {"", ","} else self._identifier("identifier")
        if operator in {"gt", "lt", "<", ">"}:
            sign = 1 if operator in {"gt", ">"} else -1
            return lambda labels: _difference(labels.get(key), value) * sign > 0
        return lambda labels: (labels.get(key) == value) is (operator != "!=")

    def _values(self) -> set[str]:
        if self._tokens[0] != "(":
            raise bad_request(f"found '{self._tokens[0]}' expected: '('")
        self._next()
        values = {""} if self._tokens[0] == "," else set()
        while self._tokens[0] not in {")", ""}:
            if self._tokens[0] == ",":
                self._next()
            values.add(
                "" if self._tokens[0] in {",", ")"} else self._identifier("',', or identifier")
            )
            if self._tokens[0] not in {",", ")"}:
                raise self._unexpected("',' or ')'")
        if self._next() != ")":
            raise bad_request("found '', expected: ',', ')' or identifier")
        return values

    def _is_identifier(self) -> bool:
        return bool(self._tokens[0]) and self._tokens[0] not in _SYMBOLS

    def _identifier(self, wanted: str) -> str:
        if not self._is_identifier():
            raise self._unexpected(wanted)
        return self._next()

    def _next(self) -> str:
        return self._tokens.pop(0)

    def _unexpected(self, wanted: str) -> StatusError:
        return bad_request(f"found '{self._tokens[0]}', expected: {wanted}")


def _difference(left: str | None, right: str) -> int:
    numbers = left is not None and left.isdigit() and right.isdigit()
    return int(left or 0) - int(right) if numbers else 0


def _field(obj: Object, path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path == "spec.unschedulable" else ""
    return str(value)
