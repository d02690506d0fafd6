"""OpenAPI v2 as protobuf: gnostic's ``openapi.v2.Document`` (OpenAPIv2.proto of google/gnostic).

Of the document, what describes objects: ``info`` and the definitions. That is what the clients that
ask for this form read.
"""

import json
from collections.abc import Iterator
from typing import Any

ACCEPTED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def encode(document: dict[str, Any]) -> bytes:
    """The document's wire form."""
    info = document["info"]
    parts = (
        _field(1, document["swagger"]),
        _field(2, _field(1, info["title"]) + _field(2, info["version"])),
        _field(8, b""),
        _field(9, b"".join(_named(document["definitions"]))),
    )
    return b"".join(parts)


def _named(schemas: dict[str, Any]) -> Iterator[bytes]:
    """``repeated NamedSchema``."""
    for name, schema in schemas.items():
        yield _field(1, _field(1, name) + _field(2, _schema(schema)))


def _schema(schema: dict[str, Any]) -> bytes:
    parts: list[bytes] = []
    for key, value in schema.items():
        match key:
            case "$ref":
                parts.append(_field(1, value))
            case "format":
                parts.append(_field(2, value))
            case "description":
                parts.append(_field(4, value))
            case "default":
                parts.append(_field(5, _any(value)))
            case "required":
                parts += [_field(19, name) for name in value]
            case "enum":
                parts += [_field(20, _any(item)) for item in value]
            case "additionalProperties" if isinstance(value, dict):
                parts.append(_field(21, _field(1, _schema(value))))
            case "additionalProperties":
                parts.append(_field(21, b"\x10" + bytes([bool(value)])))
            case "type":
                parts.append(_field(22, _field(1, value)))
            case "items":
                parts.append(_field(23, _field(1, _schema(value))))
            case "properties":
                parts.append(_field(25, b"".join(_named(value))))
            case _ if key.startswith("x-"):
                parts.append(_field(31, _field(1, key) + _field(2, _any(value))))
            case _:
                pass
    return b"".join(parts)


def _any(value: Any) -> bytes:
    """``Any`` with its content as YAML, of which JSON is a part."""
    return _field(2, json.dumps(value) + "\n")


def _field(number: int, value: str | bytes) -> bytes:
    """A length-delimited field."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
