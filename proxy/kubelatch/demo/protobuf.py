"""Reads and writes Kubernetes' protobuf, as far as kubectl's typed commands need it.

``kubectl create``, ``auth can-i`` and ``auth whoami`` of 1.35 and later send protobuf and do not
fall back to JSON. ``data/messages.txt`` has the part of k8s.io/api's ``generated.proto`` files that
those commands use. A field that is not listed is refused, never dropped, in both directions.
"""

import base64
import datetime as dt
import functools
import importlib.resources
import json
from collections.abc import Callable, Iterator
from typing import Any

from .status import Object, bad_request


class EncodeError(ValueError):
    """An object with a field that is not listed."""


MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

_VARINT, _BYTES = 0, 2
_WRAPPED = {"ExtraValue": "items", "Verbs": "items", "Quantity": "string"}
"""Messages of one field, which JSON does without."""


@functools.cache
def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    path = importlib.resources.files(__package__) / "data" / "messages.txt"
    messages = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, colon, fields = line.partition(":")
        if colon and not line.startswith("#"):
            rows = (row.split() for row in fields.split(",") if row.strip())
            messages[name] = {int(number): (key, kind) for number, key, kind in rows}
    return messages


def encode(obj: Object) -> bytes:
    """An object in its envelope.

    Raises:
        EncodeError: it has something that is not listed.
    """
    kind = str(obj.get("kind", ""))
    fields = {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}
    head = _encoded("TypeMeta", {"apiVersion": obj.get("apiVersion", ""), "kind": kind}, empty=True)
    item = kind.removesuffix("List")
    if kind not in _messages() and item in _messages():
        raw = b"".join(_field(2, _encoded(item, row)) for row in fields.pop("items"))
        raw = _field(1, _encoded("ListMeta", fields.pop("metadata", {}))) + raw
        if fields:
            raise EncodeError(kind)
    else:
        raw = _encoded(kind, fields)
    return _MAGIC + _field(1, head) + _field(2, raw) + _field(3, b"") + _field(4, b"")


def _encoded(name: str, obj: Object, *, empty: bool = False) -> bytes:
    known = {key: (number, kind) for number, (key, kind) in _messages().get(name, {}).items()}
    inlined = known.pop("-", None)
    others = {key: obj[key] for key in obj.keys() - known.keys()}
    if name not in _messages() or (others and inlined is None):
        raise EncodeError(f"{name}: {others.keys()}")
    out = _field(inlined[0], _encoded(inlined[1], others)) if inlined is not None else b""
    for key, value in obj.items():
        if key in others or value is None:
            continue
        number, kind = known[key]
        if kind.endswith("[]"):
            out += b"".join(_field(number, _scalar(kind[:-2], item)) for item in value)
        elif kind.endswith("{}"):
            for text, item in value.items():
                entry = _field(1, text.encode()) + _field(2, _scalar(kind[:-2], item))
                out += _field(number, entry)
        elif value != "" or empty:
            out += _field(number, _scalar(kind.removesuffix("?"), value))
    return out


def _scalar(kind: str, value: Any) -> bytes | int:
    if kind in _PLAIN:
        encoded: bytes | int = _PLAIN[kind][0](value)
        return encoded
    if kind in _WRAPPED:
        return _encoded(kind, {_WRAPPED[kind]: value})
    return _COMPOSED[kind][0](value) if kind in _COMPOSED else _encoded(kind, value)


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    return _number(number << 3 | _BYTES) + _number(len(value)) + value


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def decode(body: bytes) -> Object:
    """An object from its protobuf envelope (``runtime.Unknown``).

    Raises:
        StatusError: 400 for what is malformed or not listed above.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body does not begin as Kubernetes protobuf does")
    try:
        envelope = _message("Unknown", body[len(_MAGIC) :])
        kind = envelope["typeMeta"]["kind"]
        if kind not in _messages():
            raise bad_request(f"{kind} is not read from protobuf here; send application/json")
        decoded = _message(kind, envelope.get("raw", b""))
    except (IndexError, KeyError, OSError, OverflowError, ValueError) as error:
        raise bad_request(f"malformed protobuf: {error}") from error
    return {**envelope["typeMeta"], **decoded}


def _message(name: str, data: bytes) -> Object:
    fields = _messages()[name]
    result: Object = {}
    for number, value in _read(data):
        if number not in fields:
            raise bad_request(
                f"field {number} of {name} is not read from protobuf here; send application/json"
            )
        key, kind = fields[number]
        if kind.endswith("[]"):
            result.setdefault(key, []).append(_value(kind[:-2], value))
        elif kind.endswith("{}"):
            entry = dict(_read(_value("raw", value)))
            text = _value("str", entry.get(1, b""))
            result.setdefault(key, {})[text] = _value(kind[:-2], entry.get(2, b""))
        elif key == "-":
            result |= _value(kind, value)
        else:
            decoded = _value(kind.removesuffix("?"), value)
            if kind.endswith("?") or decoded not in ("", 0, None, {}):
                result[key] = decoded
    return result


def _value(kind: str, value: Any) -> Any:
    if isinstance(value, int) is not (kind in {"int", "bool"}):
        raise ValueError(f"a {kind} has the wrong wire type")
    if kind in _PLAIN:
        return _PLAIN[kind][1](value)
    fields = _message(kind, value)
    if kind in _WRAPPED:
        return fields.get(_WRAPPED[kind], "0" if kind == "Quantity" else [])
    return _COMPOSED[kind][1](fields) if kind in _COMPOSED else fields


_PLAIN: dict[str, tuple[Callable[[Any], bytes | int], Callable[[Any], Any]]] = {
    "str": (lambda value: str(value).encode(), bytes.decode),
    "bytes": (base64.b64decode, lambda value: base64.b64encode(value).decode()),
    "raw": (bytes, bytes),
    "bool": (int, bool),
    "int": (lambda value: value & (1 << 64) - 1, lambda value: value - (value >> 63 << 64)),
}
"""Scalars: how they are written, and read."""


def _either(value: int | str) -> bytes:
    """``IntOrString``."""
    if isinstance(value, int):
        return _field(1, 0) + _field(2, value)
    return _field(1, 1) + _field(3, str(value).encode())


def _moment(value: str) -> bytes:
    moment = dt.datetime.fromisoformat(value)
    return _field(1, int(moment.timestamp())) + _field(2, moment.microsecond * 1000)


def _time(fields: Object) -> str | None:
    seconds = fields.get("seconds", -1)
    moment = dt.datetime.fromtimestamp(max(0, seconds), dt.UTC)
    return None if seconds < 0 else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_COMPOSED: dict[str, tuple[Callable[[Any], bytes], Callable[[Object], Any]]] = {
    "FieldsV1": (
        lambda value: _field(1, json.dumps(value, separators=(",", ":")).encode()),
        lambda fields: json.loads(fields.get("raw", b"{}")),
    ),
    "IntOrString": (
        _either,
        lambda fields: fields.get("strVal", "") if fields.get("type") else fields.get("intVal", 0),
    ),
    "Time": (_moment, _time),
}
"""Messages that JSON writes in another way: from JSON, and from their fields."""


def _read(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values of one message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
        elif tag & 7 == _BYTES:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise ValueError("a field is cut off")
            yield tag >> 3, data[place : place + size]
            place += size
        else:
            raise ValueError(f"wire type {tag & 7} is not used by Kubernetes")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number is too long")
