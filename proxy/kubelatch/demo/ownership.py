"""``metadata.managedFields``: which client last set which fields (KEP-555).

Only the operation Update is here. What a write adds or changes against the stored object becomes
the writer's and is taken from all others; what it removes is nobody's. Lists and maps are taken
apart as their schemas say (``x-kubernetes-list-type``, ``x-kubernetes-map-type``).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import schemas
from .resources import Resource
from .schemas import Schema
from .status import Object

Path = tuple[str, ...]
Fields = set[Path]

_STRUCTS = frozenset(
    {
        *("acceptedNames", "involvedObject", "jobTemplate", "loadBalancer", "metadata", "names"),
        *("podSelector", "resources", "roleRef", "scaleTargetRef", "source", "spec", "status"),
        *("strategy", "template", "updateStrategy"),
    }
)
"""Fields that are structs, not pointers, in Go: they are there without being set."""
_UNOWNED = (
    *("creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion"),
    *("selfLink", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"),
)
MANAGER = "kube-controller-manager"
"""Whose the fields are that controllers set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes: ``manager`` is the client's name, ``now`` the time of the write."""

    manager: str
    now: str
    subresource: str = ""


def recorded(resource: Resource, old: Object, new: Object, writer: Writer) -> Object:
    """``new`` with ``managedFields`` that record its differences from ``old``.

    For a new object, ``old`` is empty. A write that changes nothing leaves them as they are.
    """
    metadata = {k: v for k, v in new["metadata"].items() if k != "managedFields"}
    entries = (old.get("metadata") or {}).get("managedFields") or []
    changed, removed = compare(resource, old, new)
    if not writer.subresource and "status" in resource.subresources:
        changed = {path for path in changed if path[0] != "f:status"}
    kept: list[Object] = []
    own: Object | None = None
    for entry in entries:
        fields = set(_paths(entry["fieldsV1"]))
        mine = (
            entry["manager"] == writer.manager
            and entry.get("subresource", "") == writer.subresource
            and entry["apiVersion"] == resource.api_version
        )
        left = fields - removed | changed if mine else fields - removed - changed
        if mine:
            own = entry
        if left:
            same = left == fields
            times = {} if same else {"time": writer.now}
            if "time" not in entry or (not mine and not same):
                times = {}
            kept.append(entry if same else entry | times | {"fieldsV1": _trie(left)})
    if own is None and changed:
        kept.append(_entry(resource, writer, changed))
    if kept:
        metadata["managedFields"] = sorted(kept, key=_order)
    return new | {"metadata": metadata}


def compare(resource: Resource, old: Object, new: Object) -> tuple[Fields, Fields]:
    """The fields that ``new`` adds to or changes in ``old``, and those that it removes."""
    schema = schemas.schema_of(resource)
    comparison = _Comparison(zero=resource.custom is None)
    hidden = {"apiVersion", "kind"}
    comparison.compare(schema, _without(old, hidden), _without(new, hidden), ())
    return comparison.changed, comparison.removed


def _without(obj: Object, hidden: set[str]) -> Object:
    result = {key: value for key, value in obj.items() if key not in hidden}
    metadata = result.get("metadata") or {}
    result["metadata"] = {key: value for key, value in metadata.items() if key not in _UNOWNED}
    return result


class _Comparison:
    def __init__(self, *, zero: bool) -> None:
        self.changed: Fields = set()
        self.removed: Fields = set()
        self._zero = zero

    def compare(self, schema: Schema, old: Any, new: Any, path: Path) -> None:
        _, schema = schemas.resolve(schema)
        if old == new:
            return
        before, after = _children(schema, old), _children(schema, new)
        if before is None or after is None:
            self.changed.add(path)
            return
        required = schema.get("required") or ()
        for step in before.keys() | after.keys():
            child, value = before.get(step) or after[step]
            here = (*path, step)
            if step not in before:
                value = after[step][1]
                if self._zero and value in (None, ""):
                    continue
                base = _zero(step, child, step[2:] in required) if self._zero else None
                if base is None or step[0] != "f":
                    self.changed |= set(_leaves(child, value, here))
                else:
                    self.compare(child, base, value, here)
            elif step not in after:
                self.removed |= set(_leaves(child, value, here))
            else:
                self.compare(child, value, after[step][1], here)


def _zero(step: str, schema: Schema, required: bool) -> Any:
    """What Go has in a field that is not set, or None for nothing."""
    _, resolved = schemas.resolve(schema)
    kind = resolved.get("type")
    if kind == "object" and (step[2:] in _STRUCTS or ("properties" not in resolved and required)):
        return {}
    if not required:
        return None
    return {"array": [], "string": "", "integer": 0}.get(str(kind))


def _children(schema: Schema, value: Any) -> dict[str, tuple[Schema, Any]] | None:
    """The parts of a value that are owned separately, by path element; None for none."""
    if isinstance(value, dict):
        if schema.get("x-kubernetes-map-type") == "atomic":
            return None
        properties, rest = schema.get("properties"), schema.get("additionalProperties")
        if properties is not None:
            return {f"f:{k}": (properties[k], v) for k, v in value.items() if k in properties}
        if isinstance(rest, dict):
            return {f"f:{key}": (rest, item) for key, item in value.items()}
        return None
    if isinstance(value, list):
        kind, items = schema.get("x-kubernetes-list-type"), schema.get("items") or {}
        if kind == "set":
            return {f"v:{_compact(item)}": ({}, item) for item in value}
        if kind == "map":
            keys = sorted(schema["x-kubernetes-list-map-keys"])
            return {
                f"k:{_compact({key: item[key] for key in keys if key in item})}": (items, item)
                for item in value
            }
    return None


def _leaves(schema: Schema, value: Any, path: Path) -> Iterator[Path]:
    _, schema = schemas.resolve(schema)
    yield path
    for step, (child, item) in (_children(schema, value) or {}).items():
        yield from _leaves(child, item, (*path, step))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _trie(fields: Fields) -> Object:
    """The wire form: a node that is itself in the set and has children has the key ``.``."""
    root: Object = {}
    for path in sorted(fields):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}

    def tidy(node: Object) -> Object:
        if len(node) == 1 and "." in node:
            return {}
        return {key: tidy(child) if key != "." else {} for key, child in node.items()}

    return {key: tidy(child) for key, child in root.items()}


def _paths(trie: Object, path: Path = ()) -> Iterator[Path]:
    if path and (not trie or "." in trie):
        yield path
    for step, child in trie.items():
        if step != ".":
            yield from _paths(child, (*path, step))


def _entry(resource: Resource, writer: Writer, fields: Fields) -> Object:
    entry: Object = {
        "manager": writer.manager,
        "operation": "Update",
        "apiVersion": resource.api_version,
        "time": writer.now,
        "fieldsType": "FieldsV1",
        "fieldsV1": _trie(fields),
    }
    if writer.subresource == "scale":
        del entry["time"]
    return entry | ({"subresource": writer.subresource} if writer.subresource else {})


def _order(entry: Object) -> tuple[str, ...]:
    return (
        entry["operation"],
        entry.get("time", ""),
        entry["manager"],
        entry["apiVersion"],
        entry.get("subresource", ""),
    )
