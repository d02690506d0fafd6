"""From a client's JSON to an object of its kind, by its schema.

What the API server's decoder does: values of another type are refused in the words of Go's
``encoding/json``, fields that the schema does not have are dropped and reported, and so are those
given twice (KEP-2885).
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import goerrors, schemas
from .schemas import Schema
from .status import Object

_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_QUANTITY_PROBLEM = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_QUANTITY_NAME = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_RANGES = {"int32": 2**31, "int64": 2**63}


class BodyDecodeError(ValueError):
    """A value that does not fit its field, in the decoder's words."""


class Repeating(dict[str, Any]):
    """A JSON object some of whose keys were given twice."""

    repeated: tuple[str, ...] = ()


def loads(body: bytes | str) -> Any:
    """JSON, with keys that are given twice remembered.

    Raises:
        ValueError: the text is no JSON.
    """
    return json.loads(body, object_pairs_hook=_pairs)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    repeating = Repeating(result)
    repeating.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeating


@dataclass(slots=True)
class Decoder:
    """Decodes one object.

    ``problems`` lists unknown and repeated fields in their order, e.g. ``unknown field "nope"``.
    """

    problems: list[str] = field(default_factory=list)

    def decode(self, schema: Schema, value: Any) -> Object:
        """``value`` as the schema has it.

        Raises:
            DecodeError: it does not fit.
        """
        result: Object = self._value(schema, value, ("", ()), "")
        return result

    def _value(self, schema: Schema, value: Any, place: "_Place", label: str) -> Any:
        name, schema = schemas.resolve(schema)
        match schema.get("type"):
            case "object" if "properties" in schema:
                return self._struct(name, schema, value, place, label)
            case "object" if isinstance(schema.get("additionalProperties"), dict):
                return self._map(schema, value, place, label)
            case "array":
                if not isinstance(value, list):
                    raise _mismatch(value, _go_type(name, schema), place)
                return [
                    self._value(schema["items"], item, place, f"{label}[{index}]")
                    for index, item in enumerate(value)
                ]
            case "object":
                if not isinstance(value, dict):
                    raise _mismatch(value, _go_type(name, schema), place)
                return value
            case _:
                return _scalar(name, schema, value, place)

    def _struct(self, name: str, schema: Schema, value: Any, place: "_Place", label: str) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _mismatch(value, _go_type(name, schema), place)
        struct = name.rpartition(".")[2] or place[0]
        properties, required = schema["properties"], schema.get("required") or ()
        self._report(value, label)
        result: Object = {}
        for key, item in value.items():
            here = f"{label}.{key}" if label else key
            known = properties.get(key)
            if known is None:
                self.problems.append(f'unknown field "{here}"')
                continue
            if item is None:
                continue
            decoded = self._value(known, item, (struct, (*place[1], key)), here)
            if decoded in ([], {}) and key not in required and _is_omitted(known):
                continue
            result[key] = decoded
        return result

    def _map(self, schema: Schema, value: Any, place: "_Place", label: str) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, _go_type("", schema), place)
        self._report(value, label)
        items = schema["additionalProperties"]
        return {
            key: self._value(items, item, place, f"{label}.{key}" if label else key)
            for key, item in value.items()
        }

    def _report(self, value: Object, label: str) -> None:
        if isinstance(value, Repeating):
            for key in value.repeated:
                here = f"{label}.{key}" if label else key
                self.problems.append(f'duplicate field "{here}"')


_Place = tuple[str, tuple[str, ...]]
"""The innermost Go struct, and the fields that lead to a value."""


def _scalar(name: str, schema: Schema, value: Any, place: _Place) -> Any:
    kind, form = schema.get("type"), schema.get("format")
    if value is None and kind in _ZERO:
        return _ZERO[kind]
    if name == _QUANTITY_NAME:
        return _quantity(value)
    if form == "int-or-string":
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise _mismatch(value, "int32", place)
        return value
    if kind == "string":
        if not isinstance(value, str):
            raise _mismatch(value, _go_type(name, schema), place)
        if form == "byte":
            _check_base64(value)
        elif form == "date-time" and (problem := goerrors.time(value)):
            raise BodyDecodeError(problem)
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise _mismatch(value, "bool", place)
    elif kind == "integer":
        number = isinstance(value, int) and not isinstance(value, bool)
        limit = _RANGES.get(str(form), 2**63)
        if not number or not -limit <= value < limit:
            raise _mismatch(value, str(form or "int64"), place, exact=True)
    elif kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _mismatch(value, "float64", place)
    return value


_ZERO = {"string": "", "boolean": False, "integer": 0, "number": 0}


def _quantity(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BodyDecodeError(_QUANTITY_PROBLEM)
    text = str(value).strip()
    if not _QUANTITY.fullmatch(text) or text.count(".") > 1:
        raise BodyDecodeError(_QUANTITY_PROBLEM)
    return text


def _check_base64(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        clean = re.match(r"[A-Za-z0-9+/]*", text)
        at = clean.end() if clean else 0
        if at == len(text):
            at -= at % 4
        raise BodyDecodeError(f"illegal base64 data at input byte {at}") from error


def _is_omitted(schema: Schema) -> bool:
    """Whether Go leaves out an empty value of this type: a list, or a map that is no struct."""
    _, schema = schemas.resolve(schema)
    return schema.get("type") == "array" or "additionalProperties" in schema


def _mismatch(value: Any, wanted: str, place: _Place, *, exact: bool = False) -> BodyDecodeError:
    found = _token(value)
    if found == "number" and exact:
        found = f"number {json.dumps(value)}"
    struct, path = place
    where = f"struct field {struct}.{'.'.join(path)}" if path else "value"
    return BodyDecodeError(f"json: cannot unmarshal {found} into Go {where} of type {wanted}")


def _token(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _go_type(name: str, schema: Schema) -> str:
    """How Go's reflection names a type: ``v1.PodSpec``, ``[]string``, ``map[string]string``."""
    if name:
        return ".".join(name.split(".")[-2:])
    match schema.get("type"):
        case "array":
            return f"[]{_go_type(*schemas.resolve(schema['items']))}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"map[string]{_go_type(*schemas.resolve(schema['additionalProperties']))}"
        case "object":
            return "map[string]interface {}"
        case "boolean":
            return "bool"
        case "integer":
            return str(schema.get("format", "int64"))
        case "string" if schema.get("format") == "byte":
            return "[]uint8"
        case _:
            return "string"


def strict_error(problems: Iterable[str]) -> str:
    """The message for ``fieldValidation=Strict``."""
    return f"strict decoding error: {', '.join(problems)}"
