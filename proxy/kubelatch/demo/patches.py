"""The three patch formats that are served: JSON, merge, strategic merge.

Pure functions from object and patch to a new object; neither argument is changed. Server-side
apply is not here: without field ownership it would be a merge under a false name.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from . import schemas
from .goerrors import json_syntax, json_type
from .schemas import Schema
from .status import Object, StatusError, bad_request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

APPLY_PATCH = "application/apply-patch+yaml"
_MOST_OPERATIONS = 10_000

_MAP = "map[string]interface {}"
_REJECTED = "the server rejected our request due to an error in our request"
_ORDER = "$setElementOrder/"
_DELETE_SCALARS = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"
_DIRECTIVE = "$patch"


def decode(media_type: str, body: bytes) -> Any:
    """A patch from the body of a request.

    Raises:
        StatusError: 400, or 413 for a JSON patch of too many operations.
    """
    try:
        patch = json.loads(body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {json_syntax(body)}") from error
    wanted, name = (list, "[]handlers.jsonPatchOp") if media_type == JSON_PATCH else (dict, _MAP)
    if not isinstance(patch, wanted):
        problem = f"json: cannot unmarshal {json_type(patch)} into Go value of type {name}"
        raise bad_request(f"error decoding patch: {problem}")
    if media_type == JSON_PATCH and len(patch) > _MOST_OPERATIONS:
        raise StatusError(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{_MOST_OPERATIONS}, got {len(patch)}",
        )
    return patch


def apply(media_type: str, obj: Object, patch: Any, schema: Schema) -> Object:
    """``obj``, of that schema, after ``patch``.

    Raises:
        StatusError: 422 for a patch that does not fit the object.
    """
    try:
        if media_type == JSON_PATCH:
            result = json_patch(obj, patch)
        elif media_type == MERGE_PATCH:
            result = merge_patch(obj, patch)
        else:
            result = strategic_merge(obj, patch, schema)
    except (AttributeError, KeyError, TypeError) as error:
        raise bad_request("the patch does not have the shape of the object") from error
    if not isinstance(result, dict):
        raise StatusError(422, "Invalid", _REJECTED, {})
    return result


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, operations: list[Any]) -> Any:
    """RFC 6902: all operations, or none."""
    document = {"": copy.deepcopy(target)}
    for operation in operations:
        try:
            _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise StatusError(422, "Invalid", _REJECTED, {}) from error
    return document[""]


def strategic_merge(target: Any, patch: Object, schema: Schema) -> Object:
    """Kubernetes' own merge: lists are merged by the key that their schema names.

    As apimachinery ``strategicpatch`` does it, with ``x-kubernetes-patch-merge-key``.
    """
    if patch.get(_DIRECTIVE) == "replace":
        return dict(_without_directives(patch))
    result = dict(target) if isinstance(target, dict) else {}
    if isinstance(retained := patch.get(_RETAIN), list):
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_SCALARS):
            name = key.removeprefix(_DELETE_SCALARS)
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif key in {_DIRECTIVE, _RETAIN} or key.startswith(_ORDER):
            continue
        elif value is None or (isinstance(value, dict) and value.get(_DIRECTIVE) == "delete"):
            result.pop(key, None)
        elif isinstance(value, dict):
            below = _field(schema, key)
            replaced = below.get("x-kubernetes-patch-strategy") == "replace"
            result[key] = strategic_merge({} if replaced else result.get(key), value, below)
        elif isinstance(value, list):
            result[key] = _merge_list(_field(schema, key), result.get(key) or [], value)
        else:
            result[key] = value
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and name in result:
            result[name] = _in_order(_merge_key(_field(schema, name)), result[name], order)
    return result


def _field(schema: Schema, key: str) -> Schema:
    """The schema of a field of a struct or a map."""
    _, schema = schemas.resolve(schema)
    found = (schema.get("properties") or {}).get(key) or schema.get("additionalProperties")
    return found if isinstance(found, dict) else {}


def _merge_key(schema: Schema) -> str:
    return str(schema.get("x-kubernetes-patch-merge-key", ""))


def _merge_list(schema: Schema, current: list[Any], patch: list[Any]) -> list[Any]:
    merged = schema.get("x-kubernetes-patch-strategy", "").startswith("merge")
    key, items = _merge_key(schema), schema.get("items") or {}
    if not merged or {_DIRECTIVE: "replace"} in patch:
        return [_without_directives(item) for item in patch if item != {_DIRECTIVE: "replace"}]
    if not key:
        return list(dict.fromkeys([*current, *patch]))
    result = list(current)
    for item in patch:
        places = [i for i, old in enumerate(result) if old.get(key) == item[key]]
        if item.get(_DIRECTIVE) == "delete":
            result = [old for old in result if old.get(key) != item[key]]
        elif places:
            result[places[0]] = strategic_merge(result[places[0]], item, items)
        else:
            result.append(_without_directives(item))
    return result


def _in_order(merge_key: str, items: list[Any], order: Any) -> list[Any]:
    """Put items into the order that the client asked for; others follow, as they were."""
    if not merge_key or not isinstance(order, list):
        return items
    wanted = [entry.get(merge_key) if isinstance(entry, dict) else entry for entry in order]
    last = len(wanted)
    place: Callable[[Any], int] = lambda item: (  # noqa: E731
        wanted.index(item[merge_key]) if item.get(merge_key) in wanted else last
    )
    return sorted(items, key=place)


def _without_directives(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_directives(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_directives(item)
        for key, item in value.items()
        if not key.startswith("$") and item is not None
    }


def _operate(document: Object, operation: Object) -> None:
    """Carry out one operation in place; the document sits under the key ``""``."""
    verb, path = operation["op"], operation["path"]
    if verb in {"copy", "move"}:
        value = copy.deepcopy(_value_at(document, operation["from"]))
        if verb == "move":
            _remove(document, operation["from"])
        _add(document, path, value)
    elif verb == "remove":
        _remove(document, path)
    elif verb == "add":
        _add(document, path, copy.deepcopy(operation["value"]))
    elif verb == "replace":
        _value_at(document, path)
        parent, key = _locate(document, path)
        parent[_index(parent, key)] = copy.deepcopy(operation["value"])
    elif verb == "test":
        if _value_at(document, path) != operation["value"]:
            raise ValueError(f"testing value {path} failed")
    else:
        raise ValueError(f"unknown operation {verb!r}")


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]


def _locate(document: Object, pointer: str) -> tuple[Any, str]:
    value: Any = document
    *parents, last = _tokens(pointer)
    for token in parents:
        value = value[_index(value, token)]
    return value, last


def _index(parent: Any, token: str) -> Any:
    if not isinstance(parent, list):
        return token
    if not (token.isascii() and token.isdigit()):
        raise ValueError(f"{token!r} is not an index")
    return int(token)


def _value_at(document: Object, pointer: str) -> Any:
    parent, key = _locate(document, pointer)
    return parent[_index(parent, key)]


def _remove(document: Object, pointer: str) -> None:
    parent, key = _locate(document, pointer)
    del parent[_index(parent, key)]


def _add(document: Object, pointer: str, value: Any) -> None:
    parent, key = _locate(document, pointer)
    if not isinstance(parent, list):
        parent[key] = value
        return
    place = len(parent) if key == "-" else _index(parent, key)
    if place > len(parent):
        raise IndexError(f"index {place} is out of range")
    parent.insert(place, value)
