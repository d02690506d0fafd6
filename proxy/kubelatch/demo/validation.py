"""Finds what is wrong with an object: the rules of ``data/rules.txt`` along its schema.

A problem is a field and its text, as ``field.Error`` of apimachinery has them. What the words of a
rule mean is explained at the head of the file.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import checks, custom, schemas
from .resources import Resource
from .schemas import Schema
from .status import Object, invalid_fields
from .texts import Found, Problems, invalid, join
from .values import at, form, is_set, labels, problems, qualified, rules

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
    found = list(_metadata(resource, obj["metadata"]))
    if old is not None:
        found += 2 * list(_metadata_update(obj["metadata"], old["metadata"]))
    if resource.custom is None:
        name = schemas.name_of(resource.group, resource.version, resource.kind)
        found += find(name, obj, old)
    else:
        found += custom.validate(resource, obj)
    refuse(resource, obj, found)


def refuse(resource: Resource, obj: Object, found: Problems) -> None:
    """Raise StatusError 422 if there are problems."""
    if found:
        name = str(obj["metadata"].get("name") or "")
        raise invalid_fields(resource.group, resource.kind, name, found)


def find(name: str, obj: Object, old: Object | None = None) -> Problems:
    """The problems of an object whose definition has that name."""
    return list(_Walk(obj).value(name, schemas.definitions()[name], obj, old, ""))


def validate_name(resource: Resource, name: str) -> Problems:
    """The problems of an object's name."""
    if not name:
        return [("metadata.name", "Required value: name or generateName is required")]
    wanted = "segment" if resource.group == _RBAC else _NAMES.get(resource.qualified, "subdomain")
    return [("metadata.name", text) for text in form(wanted, name)]


def _metadata(resource: Resource, metadata: Object) -> Found:
    """``validation.ValidateObjectMeta``."""
    yield from validate_name(resource, metadata.get("name", ""))
    yield from labels(metadata.get("labels") or {}, "metadata.labels")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from (("metadata.annotations", text) for text in qualified(key.lower()))
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
        texts = list(qualified(finalizer))
        yield from ((field, text) for text in texts)
        standard = "/" in finalizer or finalizer in _STANDARD_FINALIZERS
        if not texts and not standard and resource.group != _EXTENSIONS and not resource.custom:
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
        if schemas.short_name(name) in rules()[0]:
            return True
        if name and name not in seen:
            seen.add(name)
            left += map(_content, (schemas.definitions()[name].get("properties") or {}).values())
    return False


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
        for key, words in rules()[0].get(schemas.short_name(name), ()):
            yield from self._row(key, words, properties, value, old, field)
            if key == "." or any(word == "into" for word, _ in words):
                looked.add(key)
        for key, item in value.items():
            if key == "status" and not field:
                continue
            unseen = key in properties and key not in looked and isinstance(item, dict | list)
            if unseen and _has_rules(_content(properties[key])):
                before = at(old, key)
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
        item, before = at(value, key), at(old, key)
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
            elif is_set(item) or word.endswith("!"):
                test = word.removesuffix("!")
                yield from problems(test, argument, "" if item is None else item, value, here)

    def _holds(self, condition: str, value: Object) -> bool:
        """``a|b:x,y``: one of the fields is x or y; ``:`` none is set; ``!:`` the opposite."""
        names, _, values = condition.partition(":")
        source: Any = self.root if names.startswith("/") else value
        found = [at(source, name) for name in names.strip("/!").split("|")]
        if values:
            held = any(str(item) in values.split(",") for item in found)
        else:
            held = not any(map(is_set, found))
        return held is not names.endswith("!")


_ABSOLUTE: dict[str, tuple[Callable[[Any, Any, bool], bool], Callable[[Any, str], str]]] = {
    "required": (lambda item, *_: not is_set(item), lambda _, text: _required(text)),
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
