"""The demo shell's language: words, quotes, variables, pipes, redirections, lists.

A small part of POSIX ``sh``: no functions, loops or globs. Pure: text in, a list of pipelines out.
What is not understood is refused, not guessed at.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)|(?P<operator>&&|\|\||>>|2>&1|1?>&2|[;|<>\n&()])""",
    re.VERBOSE,
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+|\?))")
_REFUSED = frozenset("&()`")


class ScriptError(ValueError):
    """A script that is not understood."""


class Variable(NamedTuple):
    """A variable's place in a word; filled in when the command runs."""

    name: str


class Substitution(NamedTuple):
    """A command's place in a word: ``$(...)``; its output stands there when the command runs."""

    script: str


Part = str | Variable | Substitution
Word = tuple[Part, ...]


@dataclass(slots=True, kw_only=True)
class Command:
    """One command: its words, and where its input and output go."""

    words: list[Word] = field(default_factory=list)
    input: Word = ()
    output: Word = ()
    append: bool = False
    merge_errors: bool = False
    """``2>&1``"""
    to_errors: bool = False
    """``>&2``"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Commands joined by ``|``, and the operator before them: ``;``, ``&&`` or ``||``."""

    operator: str
    commands: list[Command]


def parse(text: str) -> list[Pipeline]:
    """Take a script apart.

    Raises:
        ScriptError: the script is not understood.
    """
    pipelines: list[Pipeline] = []
    command, operator, target = Command(), ";", ""
    commands = [command]
    for value in [*_tokens(text), ";"]:
        if not isinstance(value, str):
            if target == "<":
                command.input = value
            elif target:
                command.output, command.append = value, target == ">>"
            else:
                command.words.append(value)
            target = ""
        elif target:
            raise ScriptError(f"syntax error: unexpected {value!r}")
        elif value in {"<", ">", ">>"}:
            target = value
        elif value == "2>&1":
            command.merge_errors = True
        elif value in {">&2", "1>&2"}:
            command.to_errors = True
        elif value == "|":
            if not command.words:
                raise ScriptError("syntax error: unexpected '|'")
            command = Command()
            commands.append(command)
        else:
            if commands[-1].words:
                pipelines.append(Pipeline(operator=operator, commands=commands))
            elif len(commands) > 1 or value in {"&&", "||"}:
                raise ScriptError(f"syntax error: unexpected {value!r}")
            command = Command()
            commands = [command]
            operator = ";" if value == "\n" else value
    if operator in {"&&", "||"} and not pipelines:
        raise ScriptError("syntax error: unexpected end")
    return pipelines


def _tokens(text: str) -> list[str | Word]:
    """Operators as strings, words as tuples."""
    tokens: list[str | Word] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            word, place = _word(text, place)
            tokens.append(word)
            continue
        place = match.end()
        if match.lastgroup == "operator":
            if match.group() in _REFUSED:
                raise ScriptError(f"syntax error: {match.group()!r} is not supported here")
            tokens.append(match.group())
    return tokens


def _word(text: str, place: int) -> tuple[Word, int]:
    """The word at ``place``, and where it ends."""
    parts: list[Part] = []
    while place < len(text) and text[place] not in " \t\r\n;|<>&()":
        letter = text[place]
        if letter == "'":
            end = _closing(text, place)
            parts.append(text[place + 1 : end])
            place = end + 1
        elif letter == '"':
            end = _closing(text, place)
            parts += _double_quoted(text[place + 1 : end])
            place = end + 1
        elif letter == "\\" and place + 1 < len(text):
            parts.append(text[place + 1])
            place += 2
        elif text.startswith("$(", place):
            end = _closing(text, place + 1)
            parts.append(Substitution(text[place + 2 : end]))
            place = end + 1
        elif letter == "`":
            raise ScriptError("syntax error: '`' is not supported here")
        elif match := _VARIABLE.match(text, place):
            parts.append(Variable(match.group(1) or match.group(2)))
            place = match.end()
        else:
            parts.append(letter)
            place += 1
    return tuple(parts), place


def _closing(text: str, place: int) -> int:
    """Where the quotes or parentheses end that begin at ``place``."""
    quote, end = text[place], place + 1
    closing = ")" if quote == "(" else quote
    while end < len(text) and text[end] != closing:
        if text[end] == "\\" and quote != "'":
            end += 2
        elif quote != "'" and text.startswith("$(", end):
            end = _closing(text, end + 1) + 1
        elif quote == "(" and text[end] in "'\"":
            end = _closing(text, end) + 1
        else:
            end += 1
    if end >= len(text):
        raise ScriptError("syntax error: unterminated quoted string")
    return end


def _double_quoted(text: str) -> list[Part]:
    parts: list[Part] = []
    place = 0
    while place < len(text):
        if text[place] == "\\" and text[place + 1 : place + 2] in set('\\"$`'):
            parts.append(text[place + 1])
            place += 2
        elif text.startswith("$(", place):
            end = _closing(text, place + 1)
            parts.append(Substitution(text[place + 2 : end]))
            place = end + 1
        elif text[place] == "`":
            raise ScriptError("syntax error: '`' is not supported here")
        elif match := _VARIABLE.match(text, place):
            parts.append(Variable(match.group(1) or match.group(2)))
            place = match.end()
        else:
            parts.append(text[place])
            place += 1
    return parts
