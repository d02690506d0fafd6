"""Decodes YAML and JSON as Go does.

kubectl turns YAML into JSON with go-yaml v2 and decodes that. PyYAML alone decodes differently:
in Go ``1:30`` is a number, ``2024-01-01`` a date, ``y`` and ``1e3`` are texts, and ``=`` is no
error. Numbers and booleans keep their spelling, so that a text field can take it as it was
written. Errors give the position and never the content.
"""

import base64
import binascii
import codecs
import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

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
_PLAIN_TAGS = frozenset(
    [None, "!", *(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))]
)

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
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_UNFINISHED: Value = Scalar("boolean", "unfinished")

_RESOLVERS: Final = (
    ("bool", _BOOLEAN, "yYnNtTfFoO"),
    ("float", _NUMBER, "+-.0123456789"),
    ("null", _NULL, "~nN"),
    ("merge", _MERGE, "<"),
)
_BY_FIRST: Final = {
    first: [(tag, pattern) for tag, pattern, firsts in _RESOLVERS if first in firsts]
    for _, _, all_firsts in _RESOLVERS
    for first in all_firsts
}

# As libyaml (parser.c, MAX_NESTING_LEVEL), for PyYAML's own parser.
_MAX_DEPTH: Final = 1_000
# Nodes of plain data; aliases of aliases could expand to any number.
_MAX_NODES: Final = 1_000_000

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(content: bytes) -> Value:
    """Decode the first document of a YAML or JSON text, all of which must be well-formed; an
    empty one is ``None``.

    Raises:
        DecodeError: the text is neither.
    """
    content, value = _decode_as_json(content)
    return next(iter(decode_all(content)), None) if value is None else value


def decode_first(content: bytes) -> Value:
    """Decode the first document and ignore the rest, as kubectl does with a kubeconfig
    (``clientcmd/api/latest``: the YAML serializer alone).

    Raises:
        DecodeError: the text does not begin with one.
    """
    content, value = _decode_as_json(content)
    return next(_documents(content), None) if value is None else value


def _decode_as_json(content: bytes) -> tuple[bytes, Value]:
    """The content without a byte order mark, and what it holds if it is a JSON object."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] == b"{":
        with contextlib.suppress(ValueError):  # a flow mapping in YAML begins alike
            return content, decode_json(content)
    return content, None


def decode_json(content: bytes) -> Value:
    """Decode strict JSON. Raises ValueError."""
    try:
        value = json.loads(content, parse_int=_number, parse_float=_number, parse_constant=_number)
        return from_python(value)
    except RecursionError:
        raise DecodeError("json: nested too deeply") from None


def decode_all(content: bytes, *, strict: bool = False) -> list[Value]:
    """Decode every document of a YAML stream.

    Args:
        content: the text.
        strict: a duplicate key is an error, else the last one counts; so is a tag that JSON has no
            type for, which is ignored otherwise.

    Raises:
        DecodeError: the text is no YAML.
    """
    return list(_documents(content, strict=strict))


def _documents(content: bytes, *, strict: bool = False) -> Iterator[Value]:
    try:
        parser = _Parser(content)
        try:
            while not parser.check_event(yaml.StreamEndEvent):
                if parser.check_event(yaml.DocumentStartEvent):
                    yield _DocumentBuilder(strict=strict).build(parser.get_event)
                else:
                    parser.get_event()
        finally:
            parser.dispose()
    except yaml.MarkedYAMLError as error:
        # libyaml quotes the one character that was expected. What PyYAML's own parser quotes may
        # be longer, and a secret.
        problem = _QUOTED.sub(
            lambda quoted: quoted[0] if len(quoted[0]) <= 3 else "something", str(error.problem)
        )
        raise DecodeError(f"yaml: {_line(error.problem_mark)}{problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DecodeError("yaml: not a text in UTF-8 or UTF-16") from None
    except RecursionError:
        raise DecodeError("yaml: nested too deeply") from None


def from_python(value: Any) -> Value:
    """Convert Python objects, such as a mapping that a program built.

    Raises:
        DecodeError: an object that no kubeconfig can hold.
    """
    match value:
        case str():
            return _valid_text(value)
        case None | Scalar():
            return value
        case bool():
            return Scalar("boolean", "true" if value else "false")
        case int() | float():
            return Scalar("number", str(value))
        case bytes():
            return _valid_text(value.decode("utf-8", "surrogateescape"))
        case Mapping():
            return {_valid_text(str(key)): from_python(item) for key, item in value.items()}
        case list() | tuple():
            return [from_python(item) for item in value]
        case _:
            raise DecodeError(f"a {type(value).__name__} cannot be part of a kubeconfig")


def _valid_text(text: str) -> str:
    """The text itself. Raises DecodeError for half a surrogate pair, which JSON can spell."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DecodeError("a text holds what is no character of Unicode") from None
    return text


def to_python(value: Value) -> Any:
    """Plain JSON-like data.

    Raises:
        DecodeError: its aliases expand to too much.
    """
    return _copy(value, itertools.count())


def _copy(value: Value, copied: "itertools.count[int]") -> Any:
    if next(copied) >= _MAX_NODES:
        raise DecodeError("yaml: document contains excessive aliasing")
    match value:
        case Scalar(kind="boolean", text=text):
            return text in _TRUE
        case Scalar(text=text):
            return _to_number(text)
        case list():
            return [_copy(item, copied) for item in value]
        case dict():
            return {key: _copy(item, copied) for key, item in value.items()}
        case _:
            return value


def is_true(value: Scalar) -> bool:
    """The value of a boolean scalar."""
    return value.text in _TRUE


def decode_base64(text: str) -> bytes:
    """Standard base64 as Go decodes it: line breaks are skipped, other stray bytes are errors.

    Raises:
        DecodeError: it is no base64.
    """
    compact = text.replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("illegal base64 data") from None


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


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}: " if mark else ""


class _MergeKey(str):
    """A plain ``<<``: as a key it merges its value, elsewhere it is that text."""

    __slots__ = ()


_MERGE_KEY: Final = _MergeKey("<<")


@dataclass(slots=True, eq=False, repr=False)
class _Open:
    """A mapping or sequence whose end has not been parsed yet.

    Attributes:
        anchor: its name for aliases.
        items: keys and values alternating, or the items.
        lines: for each item, the line it begins at.
    """

    anchor: str | None
    is_mapping: bool
    items: list[Any]
    lines: list[int]


class _DocumentBuilder:
    """Builds one document from a parser's events; aliases share one node.

    Without recursion, and without PyYAML's tree of nodes, which takes as long as all the rest.
    """

    __slots__ = ("_anchors", "_open", "_strict")

    def __init__(self, *, strict: bool) -> None:
        self._anchors: dict[str, Any] = {}
        self._open: list[_Open] = []
        self._strict = strict

    def build(self, next_event: Callable[[], Any]) -> Value:
        """Consume the events of one document.

        Raises:
            DecodeError: it is well-formed YAML, but no data.
        """
        root: Value = None
        while True:
            event = next_event()
            line = event.start_mark.line if event.start_mark else 0
            if self._strict and getattr(event, "tag", None) not in _PLAIN_TAGS:
                raise DecodeError(f"yaml: line {line + 1}: a tag that no manifest needs")
            # By frequency.
            if isinstance(event, yaml.ScalarEvent):
                value: Any = _from_scalar(event)
                self._name(event.anchor, value)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                self._begin(_Open(event.anchor, is_mapping, [], []), line)
                continue
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                ended = self._open.pop()
                value = self._mapping(ended) if ended.is_mapping else ended.items
                self._name(ended.anchor, value)
            elif isinstance(event, yaml.AliasEvent):
                value = self._alias(event.anchor or "", line)
            elif isinstance(event, yaml.DocumentEndEvent):
                return root
            else:
                continue
            if self._open:
                self._open[-1].items.append(value)
                if self._strict:
                    self._open[-1].lines.append(line)
            else:
                root = value

    def _begin(self, opened: _Open, line: int) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise DecodeError(f"yaml: line {line + 1}: nested too deeply")
        if opened.anchor is not None:
            self._anchors[opened.anchor] = _UNFINISHED
        self._open.append(opened)

    def _name(self, anchor: str | None, value: Any) -> None:
        if anchor is not None:
            self._anchors[anchor] = value

    def _alias(self, anchor: str, line: int) -> Any:
        if anchor not in self._anchors:
            raise DecodeError(f"yaml: line {line + 1}: unknown anchor referenced")
        value = self._anchors[anchor]
        if value is _UNFINISHED:
            raise DecodeError(f"yaml: line {line + 1}: an anchor contains itself")
        return value

    def _mapping(self, ended: _Open) -> dict[str, Value]:
        merged: dict[str, Value] = {}
        own: dict[str, Value] = {}
        items = ended.items
        for at in range(0, len(items), 2):
            key, value = items[at], items[at + 1]
            if key is _MERGE_KEY:
                for source in reversed(value if isinstance(value, list) else [value]):
                    if isinstance(source, dict):
                        merged |= source
                continue
            if isinstance(key, Scalar):
                key = key.text
            elif key is None:
                key = "null"
            elif not isinstance(key, str):
                raise DecodeError("yaml: a mapping key must be a text")
            if self._strict and key in own:
                line = ended.lines[at] + 1
                raise DecodeError(f"yaml: line {line}: the key {key!r} is there twice")
            own[key] = value
        return merged | own if merged else own


def _from_scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is None:
        if not event.implicit[0]:
            return text
        if not text:
            return None
        for name, pattern in _BY_FIRST.get(text[0], ()):
            if pattern.match(text):
                tag = name
                break
        else:
            return text
    else:
        tag = tag.removeprefix(_TAG)
    match tag:
        case "null":
            return None
        case "bool":
            return Scalar("boolean", text)
        case "float" | "int":
            return Scalar("number", text)
        case "merge":
            return _MERGE_KEY
        case "binary":
            return decode_base64(text).decode("utf-8", "replace")
        case _:
            return text
