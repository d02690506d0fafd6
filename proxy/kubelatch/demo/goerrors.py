"""Messages of Go's standard library, which messages of the API server quote."""

import datetime as dt
import json
import re
from typing import Any

import yaml

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_LITERALS = {"n": "null", "t": "true", "f": "false"}
_NO_KEY = "looking for beginning of object key string"
_AFTER = {
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid \\escape: ": "in string escape code",
    "Invalid control character at": "in string literal",
    "Expecting property name enclosed in double quotes": _NO_KEY,
    "Illegal trailing comma before end of object": _NO_KEY,
}


def json_syntax(body: bytes) -> str:
    """The message of ``encoding/json`` for a text that is no JSON."""
    text = body.decode("latin-1")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _syntax(text, error)
    return "invalid UTF-8"


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    place = error.pos
    if error.msg == "Expecting ',' delimiter":
        where = "after object key:value pair" if _in_object(text[:place]) else "after array element"
    elif error.msg == "Expecting value":
        literal = _LITERALS.get(text[place : place + 1], "")
        for wanted in literal:
            if text[place : place + 1] != wanted:
                where = f"in literal {literal} (expecting '{wanted}')"
                break
            place += 1
        else:
            where = "looking for beginning of value"
    else:
        where = _AFTER.get(error.msg, "")
    if place >= len(text) or not where:
        return "unexpected end of JSON input"
    character = text[place]
    shown = f"\\x{ord(character):02x}" if ord(character) > 127 else repr(character)[1:-1]
    return f"invalid character '{shown}' {where}"


def _in_object(text: str) -> bool:
    """Whether the innermost value that is open at the end of ``text`` is an object."""
    text, closed = re.sub(r'"(\\.|[^"\\])*"', "", text), 1
    while closed:
        text, closed = re.subn(r"\{[^][{}]*\}|\[[^][{}]*\]", "", text)
    return text.rfind("{") > text.rfind("[")


def number(text: str, *, signed: bool = True) -> str:
    """The message of ``strconv`` for a text that is no decimal number; empty for a number."""
    digits = text[1:] if signed and text[:1] in {"+", "-"} else text
    if digits.isascii() and digits.isdigit():
        return ""
    return f'strconv.Parse{"Int" if signed else "Uint"}: parsing "{text}": invalid syntax'


def json_type(value: Any) -> str:
    """What ``encoding/json`` calls the type of a value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def yaml_syntax(error: yaml.YAMLError) -> str:
    """The message of go-yaml for a text that is no YAML."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "yaml: control characters are not allowed"
    line = error.problem_mark.line
    place = f"line {line}: " if line else ""
    problem = str(error.problem).replace("not allowed here", "not allowed in this context")
    return f"yaml: {place}{problem}"


def time(text: str) -> str:
    """The message of ``time.Parse`` for a text that is no RFC 3339 time; empty for a time."""
    try:
        if _TIME.fullmatch(text):
            dt.datetime.fromisoformat(re.sub(r"\.\d+", "", text).upper())
            return ""
    except ValueError:
        pass
    return f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'
