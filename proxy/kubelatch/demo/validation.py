"""Finds what is wrong with an object: the rules of ``data/rules.txt`` along its schema.

A problem is a field and its text, as ``field.Error`` of apimachinery has them. What the words of a
rule mean is explained at the head of the file.
"""

import functools
import ipaddress
import json
import operator
import re
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import checks, cron, custom, quantities, schemas
from .resources import Resource
from .schemas import Schema
from .status import Object, invalid_fields
from .texts import Found, Problems, invalid, join, unsupported

_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_ANNOTATIONS_LIMIT = 256 * 1024
_NAMES = {"namespaces": "label", "services": "label"}
_EXTENSIONS = "apiextensions.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


def validate(resource: Resource, obj: Object, old: Object | None = None) -> None:
    """Refuse an object that breaks a rule.

    Raises:
        StatusError: 422 with all problems.
    """
    problems = list(_metadata(resource, obj["metadata"]))
    if old is not None:
        problems += 2 * list(_metadata_update(obj["metadata"], old["metadata"]))
    if resource.custom is None:
        name = schemas.name_of(resource.group, resource.version, resource.kind)
        problems += find(name, obj, old)
    else:
        problems += custom.validate(resource, obj)
    refuse(resource, obj, problems)


def refuse(resource: Resource, obj: Object, problems: Problems) -> None:
    """Raise StatusError 422 if there are problems."""
    if problems:
        name = str(obj["metadata"].get("name") or "")
        raise invalid_fields(resource.group, resource.kind, name, problems)


def find(name: str, obj: Object, old: Object | None = None) -> Problems:
    """The problems of an object whose definition has that name."""
    return list(_Walk(obj).value(name, schemas.definitions()[name], obj, old, ""))


def validate_name(resource: Resource, name: str) -> Problems:
    """The problems of an object's name."""
    if not name:
        return [("metadata.name", "Required value: name or generateName is required")]
    form = "segment" if resource.group == _RBAC else _NAMES.get(resource.qualified, "subdomain")
    return [("metadata.name", text) for text in _form(form, name)]


def _metadata(resource: Resource, metadata: Object) -> Found:
    """``validation.ValidateObjectMeta``."""
    yield from validate_name(resource, metadata.get("name", ""))
    yield from _labels(metadata.get("labels") or {}, "metadata.labels")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from (("metadata.annotations", text) for text in _qualified(key.lower()))
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        text = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        yield "metadata.annotations", text
    for index, owner in enumerate(metadata.get("ownerReferences") or []):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = invalid(owner.get(key, ""), f"{key} must not be empty")
                yield f"metadata.ownerReferences[{index}].{key}", text
    in_charge = [row for row in metadata.get("ownerReferences") or [] if row.get("controller")]
    if len(in_charge) > 1:
        first, second = (f"{row.get('kind')}/{row.get('name')}" for row in in_charge[:2])
        text = 'Only one reference can have Controller set to true. Found "true" in references for'
        shown = invalid(metadata["ownerReferences"], f"{text} {first} and {second}")
        yield "metadata.ownerReferences", shown
    for index, finalizer in enumerate(metadata.get("finalizers") or []):
        field = f"metadata.finalizers[{index}]"
        problems = list(_qualified(finalizer))
        yield from ((field, text) for text in problems)
        standard = "/" in finalizer or finalizer in _STANDARD_FINALIZERS
        if not problems and not standard and resource.group != _EXTENSIONS and not resource.custom:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield field, invalid(finalizer, text)


def _metadata_update(metadata: Object, old: Object) -> Found:
    """``validation.ValidateObjectMetaUpdate``; it runs twice, and so do its problems."""
    known = old.get("finalizers") or []
    new = [name for name in metadata.get("finalizers") or [] if name not in known]
    if old.get("deletionTimestamp") and new:
        names = ", ".join(json.dumps(name) for name in sorted(new))
        text = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield "metadata.finalizers", f"Forbidden: {text} []string{{{names}}}"


def _labels(labels: Object, field: str) -> Found:
    for key, value in labels.items():
        yield from ((field, text) for text in _qualified(key))
        yield from ((field, text) for text in _form("label_value", value))


def _qualified(key: str) -> Iterator[str]:
    """``validation.IsQualifiedName``: an optional DNS prefix and a name."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        yield from _form("subdomain", prefix, shown=key, part="prefix part ")
    yield from _form("name_part", name, shown=key, part="name part ")


def _form(form: str, value: str, *, shown: str | None = None, part: str = "") -> Iterator[str]:
    """The problems of a text that should have a form of the data file."""
    for pattern, text in _rules()[1][form]:
        if not pattern.fullmatch(value):
            problem = text.replace("{}", pattern.pattern).replace("{value}", value)
            yield invalid(value if shown is None else shown, part + problem)


def _port(value: Any, _: str) -> Iterator[str]:
    if isinstance(value, str):
        return _form("port_name", value)
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
    "qualified": lambda value, _: _qualified(value),
    "share": _share,
    "size": _size,
    "zone": _zone,
}
_COMPARISONS = {
    "min": (operator.ge, "must be greater than or equal to"),
    "more": (operator.gt, "must be greater than"),
}
_Row = tuple[str, list[tuple[str, str]]]
"""A field, and its rules with their arguments."""
_WORD = re.compile(r'([^\s=]+)(?:=(?:"((?:\\.|[^"])*)"|(\S+)))?')


@functools.cache
def _rules() -> tuple[dict[str, list[_Row]], dict[str, list[tuple[re.Pattern[str], str]]]]:
    """The rules by definition, and the forms by name."""
    rules: dict[str, list[_Row]] = {}
    forms: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    rows: list[_Row] = []
    for line in schemas.text("rules.txt").splitlines():
        if line.startswith("form "):
            _, name, pattern, text = line.split(" ", 3)
            forms.setdefault(name, []).append((re.compile(pattern, re.DOTALL), text))
        elif line.startswith(" "):
            found = (match.groups() for match in _WORD.finditer(line))
            (key, _), *words = ((w, (a or b or "").replace('\\"', '"')) for w, a, b in found)
            rows.append((key, words))
        elif not line.startswith("#"):
            rows = []
            rules |= dict.fromkeys(line.split(), rows)
    return rules, forms


def _content(schema: Schema) -> str:
    """The definition that a field, or each item of its list, has."""
    reference: str = schema.get("$ref") or (schema.get("items") or {}).get("$ref") or ""
    return reference.removeprefix(schemas.PREFIX)


@functools.cache
def _has_rules(name: str) -> bool:
    """Whether a definition, or what it is made of, has any rule."""
    seen, left = set[str](), [name]
    while left:
        name = left.pop()
        if schemas.short_name(name) in _rules()[0]:
            return True
        if name and name not in seen:
            seen.add(name)
            left += map(_content, (schemas.definitions()[name].get("properties") or {}).values())
    return False


def _at(value: Any, path: str) -> Any:
    """What a path leads to in a struct: ``.`` is itself."""
    for key in path.split(".") if path != "." else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_set(value: Any) -> bool:
    return value not in (None, "", [], {})


@dataclass(slots=True)
class _Walk:
    root: Object

    def value(self, name: str, schema: Schema, value: Any, old: Any, field: str) -> Found:
        """The problems of a value of a definition (or of a list of such)."""
        if isinstance(value, list):
            item_name, items = schemas.resolve(schema.get("items") or {})
            for index, item in enumerate(value):
                before = old[index] if isinstance(old, list) and index < len(old) else None
                yield from self.value(item_name, items, item, before, f"{field}[{index}]")
            return
        if not isinstance(value, dict):
            return
        properties = schema.get("properties") or {}
        looked: set[str] = set()
        for key, words in _rules()[0].get(schemas.short_name(name), ()):
            yield from self._row(key, words, properties, value, old, field)
            if key == "." or any(word == "into" for word, _ in words):
                looked.add(key)
        for key, item in value.items():
            if key == "status" and not field:
                continue
            unseen = key in properties and key not in looked and isinstance(item, dict | list)
            if unseen and _has_rules(_content(properties[key])):
                before = _at(old, key)
                yield from self._into(properties[key], item, before, join(field, key))

    def _into(self, schema: Schema, value: Any, old: Any, field: str) -> Found:
        name, schema = schemas.resolve(schema)
        yield from self.value(name, schema, value, old, field)

    def _row(
        self,
        key: str,
        words: list[tuple[str, str]],
        properties: Any,
        value: Object,
        old: Any,
        field: str,
    ) -> Found:
        """The problems of one row of a struct, ``value``."""
        here = field if key == "." else join(field, key)
        item, before = _at(value, key), _at(old, key)
        for word, argument in words:
            if word == "if":
                if not self._holds(argument, value):
                    return
            elif word == "at":
                here = join(field, argument)
            elif word == "check":
                yield from checks.check(argument, self.root, value, old, here)
            elif word == "into":
                yield from self._into(properties[key], item, before, here)
            elif word in _ABSOLUTE:
                holds, text = _ABSOLUTE[word]
                if holds(item, before, old is not None):
                    yield here, text(item, argument)
            elif word in {"some", "one", "only"}:
                yield from _members(word, argument, value, here)
            elif _is_set(item) or word.endswith("!"):
                test = word.removesuffix("!")
                yield from _problems(test, argument, "" if item is None else item, value, here)

    def _holds(self, condition: str, value: Object) -> bool:
        """``a|b:x,y``: one of the fields is x or y; ``:`` none is set; ``!:`` the opposite."""
        names, _, values = condition.partition(":")
        source: Any = self.root if names.startswith("/") else value
        found = [_at(source, name) for name in names.strip("/!").split("|")]
        if values:
            held = any(str(item) in values.split(",") for item in found)
        else:
            held = not any(map(_is_set, found))
        return held is not names.endswith("!")


_ABSOLUTE: dict[str, tuple[Callable[[Any, Any, bool], bool], Callable[[Any, str], str]]] = {
    "required": (lambda item, *_: not _is_set(item), lambda _, text: _required(text)),
    "lacks": (lambda *_: True, lambda _, text: _required(text)),
    "wrong": (lambda *_: True, lambda _, text: invalid("", text)),
    "fixed": (
        lambda item, before, stored: stored and item != before,
        lambda _, text: f"Forbidden: {text}",
    ),
    "immutable": (
        lambda item, before, stored: stored and item != before,
        lambda item, text: invalid(item, text or "field is immutable"),
    ),
}
"""Rules of values that may be missing: when they are broken, and what is said then."""


def _required(text: str) -> str:
    return f"Required value: {text}" if text else "Required value"


def _members(word: str, argument: str, value: Object, field: str) -> Found:
    """How many of several fields are set: ``some``, not more than ``one``, ``only`` the first."""
    names, _, text = argument.partition(":")
    listed = names.lstrip("!").split(",")
    found = [key for key in value if (key in listed) is not names.startswith("!")]
    if (word == "some" and not found) or (word == "one" and len(found) > 1):
        yield field, text
    elif word == "only":
        yield from ((join(field, key), text) for key in found[1:])


def _problems(word: str, argument: str, item: Any, owner: Object, field: str) -> Found:
    """The problems of one rule that looks at a field which is set."""
    if word.startswith("each."):
        for index, row in enumerate(item):
            yield from _problems(word[5:], argument, row, owner, f"{field}[{index}]")
    elif word.startswith("all."):
        for row in item:
            yield from _problems(word[4:], argument, row, owner, field)
    elif word == "keys":
        for key in item:
            yield from ((f"{field}[{key}]", text) for text in _form(argument, key))
    elif word == "sizes":
        for key, amount in item.items():
            yield from ((f"{field}[{key}]", text) for text in _size(amount, argument))
    elif word == "labels":
        yield from _labels(item, field)
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
        limit = int(argument) if digits else _at(owner, argument.strip("`")) or 0
        yield from ((field, row) for row in _compare(holds, text, item or 0, limit, argument))
    elif word in _TESTS:
        yield from ((field, text) for text in _TESTS[word](item, argument))
    else:
        yield from ((field, text) for text in _form(word, item))
