"""Finds what is wrong with an object: the rules of ``data/rules.txt`` along its schema.

A problem is a field and its text, as ``field.Error`` of apimachinery has them.
"""

import functools
import importlib.resources
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import checks, custom, schemas
from .resources import Resource
from .schemas import Schema
from .status import Object, invalid_fields
from .texts import LABEL, QUALIFIED, SUBDOMAIN, Problems, invalid, unsupported

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
        text = "Required value: name or generateName is required"
        return [("metadata.name", text)]
    kind = "segment" if resource.group == _RBAC else _NAMES.get(resource.qualified, "subdomain")
    return [("metadata.name", text) for text in _RULES[kind](name, None, "")]


def _metadata(resource: Resource, metadata: Object) -> Iterator[tuple[str, str]]:
    """``validation.ValidateObjectMeta``."""
    yield from validate_name(resource, metadata.get("name", ""))
    for key, value in (metadata.get("labels") or {}).items():
        yield from _qualified("metadata.labels", key)
        yield from (("metadata.labels", text) for text in _label_value(value))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _qualified("metadata.annotations", key.lower())
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        text = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        yield "metadata.annotations", text
    for index, owner in enumerate(metadata.get("ownerReferences") or []):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = invalid(owner.get(key, ""), f"{key} must not be empty")
                yield f"metadata.ownerReferences[{index}].{key}", text
    for index, finalizer in enumerate(metadata.get("finalizers") or []):
        field = f"metadata.finalizers[{index}]"
        problems = list(_qualified(field, finalizer))
        yield from problems
        standard = "/" in finalizer or finalizer in _STANDARD_FINALIZERS
        if not problems and not standard and resource.group != _EXTENSIONS and not resource.custom:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield field, invalid(finalizer, text)


def _metadata_update(metadata: Object, old: Object) -> Iterator[tuple[str, str]]:
    """``validation.ValidateObjectMetaUpdate``; it runs twice, and so do its problems."""
    known = old.get("finalizers") or []
    new = [name for name in metadata.get("finalizers") or [] if name not in known]
    if old.get("deletionTimestamp") and new:
        names = ", ".join(json.dumps(name) for name in sorted(new))
        text = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield "metadata.finalizers", f"Forbidden: {text} []string{{{names}}}"


def _qualified(field: str, key: str) -> Iterator[tuple[str, str]]:
    """``validation.IsQualifiedName``: an optional DNS prefix and a name."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        for text in _dns(prefix, SUBDOMAIN, 253, shown=key, part="prefix part "):
            yield field, text
    if not name:
        yield field, invalid(key, "name part must be non-empty")
    if len(name) > 63:
        yield field, invalid(key, "name part must be no more than 63 characters")
    if not QUALIFIED.pattern.fullmatch(name):
        yield field, invalid(key, f"name part {QUALIFIED.text}")


def _label_value(value: str) -> Iterator[str]:
    if len(value) > 63:
        yield invalid(value, "must be no more than 63 characters")
    if value and not QUALIFIED.pattern.fullmatch(value):
        yield invalid(value, checks.LABEL_VALUE)


def _dns(
    value: str, form: Any, limit: int, *, shown: str | None = None, part: str = ""
) -> Iterator[str]:
    shown = value if shown is None else shown
    if len(value) > limit:
        yield invalid(shown, f"{part}must be no more than {limit} characters")
    if not form.pattern.fullmatch(value):
        yield invalid(shown, f"{part}{form.text}")


def _segment(value: str, _: Any, __: str) -> Iterator[str]:
    """``path.IsValidPathSegmentName``."""
    if value in {".", ".."}:
        yield invalid(value, f"may not be '{value}'")
    for mark in "/%":
        if mark in value:
            yield invalid(value, f"may not contain '{mark}'")


def _in(value: Any, _: Any, argument: str) -> Iterator[str]:
    if value not in argument.split(","):
        yield unsupported(value, argument.split(","))


def _min(value: int, _: Any, argument: str) -> Iterator[str]:
    if value < int(argument):
        yield invalid(value, f"must be greater than or equal to {argument}")


def _more(value: int, _: Any, argument: str) -> Iterator[str]:
    if value <= int(argument):
        yield invalid(value, f"must be greater than {argument}")


def _between(value: int, _: Any, argument: str) -> Iterator[str]:
    low, high = argument.split(":")
    if not int(low) <= value <= int(high):
        yield invalid(value, f"must be between {low} and {high}, inclusive")


def _port_name(value: str, _: Any, __: str) -> Iterator[str]:
    """``validation.IsValidPortName``."""
    if len(value) > 15:
        yield invalid(value, "must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", value):
        yield invalid(
            value, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        )
    if not re.search(r"[a-z]", value):
        yield invalid(value, "must contain at least one letter (a-z)")
    if "--" in value:
        yield invalid(value, "must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        yield invalid(value, "must not begin or end with a hyphen")


def _port_or_name(value: Any, _: Any, __: str) -> Iterator[str]:
    if isinstance(value, str):
        return _port_name(value, None, "")
    return _between(value, None, "1:65535")


def _amount(value: Any, _: Any, __: str) -> Iterator[str]:
    """A number, or a part of the whole in percent (``ValidatePositiveIntOrPercent``)."""
    if isinstance(value, int):
        yield from _min(value, None, "0")
    elif not re.fullmatch("[0-9]+%", str(value)):
        text = "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
        yield invalid(value, f"{text}'1%',  or '93%', regex used for validation is '[0-9]+%')")


def _node_port(value: int, _: Any, __: str) -> Iterator[str]:
    if value and not 30000 <= value <= 32767:
        text = "provided port is not in the valid range. The range of valid ports is 30000-32767"
        yield invalid(value, text)


def _env_name(value: str, _: Any, __: str) -> Iterator[str]:
    """``validation.IsRelaxedEnvVarName``."""
    if not re.fullmatch(r"[ -<>-~]+", value):
        yield invalid(value, checks.ENV_NAME)


def _immutable(value: Any, old: Any, _: str) -> Iterator[str]:
    if old is not None and value != old:
        yield invalid(value, "field is immutable")


_RULES: dict[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "amount": _amount,
    "between": _between,
    "env_name": _env_name,
    "in": _in,
    "label": lambda value, _, __: _dns(value, LABEL, 63),
    "min": _min,
    "more": _more,
    "node_port": _node_port,
    "port": lambda value, _, __: _between(value, None, "1:65535"),
    "port_name": _port_name,
    "port_or_name": _port_or_name,
    "segment": _segment,
    "subdomain": lambda value, _, __: _dns(value, SUBDOMAIN, 253),
}


_Rules = list[tuple[str, str]]
"""Rules and their arguments."""


@functools.cache
def _rules() -> dict[str, list[tuple[str, _Rules]]]:
    """By definition: fields and their rules."""
    path = importlib.resources.files(__package__) / "data" / "rules.txt"
    found: dict[str, list[tuple[str, _Rules]]] = {}
    rows: list[tuple[str, _Rules]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            rows = []
            found |= dict.fromkeys(line.split(), rows)
            continue
        key, *words = line.split()
        parts = [re.split("[=:]", word, maxsplit=1) for word in words]
        rows.append((key, [(part[0], part[1] if part[1:] else "") for part in parts]))
    return found


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
        if schemas.short_name(name) in _rules():
            return True
        if name and name not in seen:
            seen.add(name)
            left += map(_content, (schemas.definitions()[name].get("properties") or {}).values())
    return False


@dataclass(slots=True)
class _Walk:
    root: Object

    def value(
        self, name: str, schema: Schema, value: Any, old: Any, field: str
    ) -> Iterator[tuple[str, str]]:
        """The problems of a value of a definition (or of a list of such)."""
        if isinstance(value, list):
            item_name, items = schemas.resolve(schema.get("items") or {})
            for index, item in enumerate(value):
                before = checks.counterpart(index, old)
                yield from self.value(item_name, items, item, before, f"{field}[{index}]")
            return
        if not isinstance(value, dict):
            return
        properties = schema.get("properties") or {}
        looked: set[str] = set()
        for key, rules in _rules().get(schemas.short_name(name), ()):
            yield from self._row(key, rules, properties, value, old, field)
            if key == "." or any(rule == "into" for rule, _ in rules):
                looked.add(key)
        for key, item in value.items():
            if key == "status" and not field:
                continue
            unseen = key in properties and key not in looked and isinstance(item, dict | list)
            if unseen and _has_rules(_content(properties[key])):
                yield from self._into(properties[key], item, _get(old, key), _join(field, key))

    def _into(self, schema: Schema, value: Any, old: Any, field: str) -> Iterator[tuple[str, str]]:
        name, schema = schemas.resolve(schema)
        yield from self.value(name, schema, value, old, field)

    def _row(
        self,
        key: str,
        rules: list[tuple[str, str]],
        properties: Any,
        value: Object,
        old: Any,
        field: str,
    ) -> Iterator[tuple[str, str]]:
        here = field if key == "." else _join(field, key)
        item = value if key == "." else value.get(key)
        before = old if key == "." else _get(old, key)
        for rule, argument in rules:
            if rule == "check":
                yield from checks.check(argument, self.root, value, old, here)
            elif rule == "required":
                if item in (None, "", [], {}):
                    more = argument.replace("_", " ")
                    yield here, f"Required value: {more}" if more else "Required value"
            elif rule == "immutable":
                if old is not None:
                    yield from ((here, text) for text in _immutable(item, before, ""))
            elif rule == "into":
                yield from self._into(properties[key], item, before, here)
            elif item in (None, "", [], {}):
                continue
            elif rule == "unique":
                yield from checks.unique(list(item), argument, here)
            elif rule == "keys":
                yield from checks.config_keys(item, here)
            else:
                yield from ((here, text) for text in _RULES[rule](item, before, argument))


def _join(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
