"""Text to plain data, read as Go reads it.

kubectl turns YAML into JSON with go-yaml v2 and decodes that; PyYAML alone would give another
answer for ``1:30`` (a number there), ``2024-01-01`` (a date), ``y`` (a text), ``1e3`` (a text)
or ``=`` (a crash). Scalars that are not text keep their spelling here, so that a field that
wants text can take it as it was written. Errors give the place and never the content.
"""

import base64
import binascii
import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import yaml

Kind = Literal["number", "boolean"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number or a boolean, as it was written."""

    kind: Kind
    text: str


Value: TypeAlias = "str | Scalar | list[Value] | dict[str, Value] | None"


class DecodeError(ValueError):
    """Text that is neither YAML nor JSON. The message holds no content."""


_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_TAG = "tag:yaml.org,2002:"

# go-yaml v2 resolve.go: ParseInt with base 0, then a float, both with underscores taken out.
_NUMBER = re.compile(
    r"""^(?:[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
        |(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?
        |\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_BOOLEAN = re.compile("^(?:" + "|".join(sorted(_TRUE | _FALSE)) + ")$")
_NULL = re.compile("^(?:~|null|Null|NULL|)$")
_MERGE = re.compile("^<<$")
_UNFINISHED: Value = Scalar("boolean", "unfinished")

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the C loader is optional, so its type is open
    """Composes nodes only, with go-yaml's idea of what a plain scalar is."""

    yaml_implicit_resolvers: dict[str | None, Any] = {}  # noqa: RUF012  # PyYAML's own protocol


for _tag, _pattern, _first in (
    ("bool", _BOOLEAN, list("yYnNtTfFoO")),
    ("float", _NUMBER, list("+-.0123456789")),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", _MERGE, ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _tag, _pattern, _first)


def decode(content: bytes) -> Value:
    """Decode the first document of a YAML or JSON text; an empty one is ``None``.

    Raises:
        DecodeError: the text is neither.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] == b"{":
        try:
            return decode_json(content)
        except ValueError:
            pass  # a flow mapping in YAML begins alike
    return next(iter(decode_all(content)), None)


def decode_json(content: bytes) -> Value:
    """Decode strict JSON. Raises ValueError."""
    return from_python(
        json.loads(content, parse_int=_number, parse_float=_number, parse_constant=_number)
    )


def decode_all(content: bytes) -> list[Value]:
    """Decode every document of a YAML stream. Raises DecodeError."""
    try:
        loader = _Loader(content)
        try:
            values = []
            while loader.check_node():
                values.append(_from_node(loader.get_node(), {}))
            return values
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        # A problem may quote what it met, and that may be a secret.
        problem = re.sub(r"'[^'<]{3,}'", "it", str(error.problem))
        raise DecodeError(f"yaml: {line}{problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DecodeError("yaml: not a text in UTF-8 or UTF-16") from None
    except RecursionError:
        raise DecodeError("yaml: nested too deeply") from None


def from_python(value: Any) -> Value:
    """The same data out of Python objects, such as a mapping that a program built.

    Raises:
        DecodeError: an object that no kubeconfig can hold.
    """
    match value:
        case None | str() | Scalar():
            return value
        case bool():
            return Scalar("boolean", "true" if value else "false")
        case int() | float():
            return Scalar("number", str(value))
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case Mapping():
            return {str(key): from_python(item) for key, item in value.items()}
        case list() | tuple():
            return [from_python(item) for item in value]
        case _:
            raise DecodeError(f"a {type(value).__name__} cannot be part of a kubeconfig")


def to_python(value: Value) -> Any:
    """Plain JSON-like data, for what is handed on as it is."""
    match value:
        case Scalar(kind="boolean", text=text):
            return text in _TRUE
        case Scalar(text=text):
            return _to_number(text)
        case list():
            return [to_python(item) for item in value]
        case dict():
            return {key: to_python(item) for key, item in value.items()}
        case _:
            return value


def truth(value: Scalar) -> bool:
    """Whether a boolean scalar says yes."""
    return value.text in _TRUE


def decode_base64(text: str) -> bytes:
    """Standard base64 as Go takes it: line breaks are skipped, any other stray byte is an error.

    Raises:
        ValueError: anything else; the message holds no content.
    """
    compact = text.replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("illegal base64 data") from None


def _number(text: str) -> Scalar:
    return Scalar("number", text)


def _to_number(text: str) -> int | float | str:
    plain = text.replace("_", "")
    for convert in (lambda: int(plain, 0), lambda: int(plain), lambda: float(plain)):
        try:
            return convert()
        except ValueError:
            continue
    return text


def _from_node(node: yaml.Node, built: dict[int, Value]) -> Value:
    """Build each node once, however often aliases name it."""
    if id(node) in built:
        if built[id(node)] is _UNFINISHED:
            raise DecodeError("yaml: an anchor contains itself")
        return built[id(node)]
    built[id(node)] = _UNFINISHED
    if isinstance(node, yaml.MappingNode):
        value: Value = _from_mapping(node, built)
    elif isinstance(node, yaml.SequenceNode):
        value = [_from_node(item, built) for item in node.value]
    else:
        value = _from_scalar(node)
    built[id(node)] = value
    return value


def _from_scalar(node: yaml.Node) -> Value:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return Scalar("boolean", text)
        case "float" | "int":
            return Scalar("number", text)
        case _:
            return text


def _from_mapping(node: yaml.MappingNode, built: dict[int, Value]) -> dict[str, Value]:
    merged: dict[str, Value] = {}
    own: dict[str, Value] = {}
    for key, item in node.value:
        if key.tag == _TAG + "merge":
            sources = item.value if isinstance(item, yaml.SequenceNode) else [item]
            for source in reversed(sources):
                value = _from_node(source, built)
                if isinstance(value, dict):
                    merged |= value
        elif isinstance(key, yaml.ScalarNode):
            own[str(key.value)] = _from_node(item, built)
        else:
            raise DecodeError("yaml: a mapping key must be a text")
    return merged | own
