"""The demo shell's language: words, quotes, variables, pipes, redirections, lists.

A small part of POSIX ``sh``: no functions, loops, globs or substitutions. Pure: text in, a list of
pipelines out. What is not understood is refused, not guessed at.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)|(?P<operator>&&|\|\||>>|2>&1|[;|<>\n&()])|(?P<word>)""",
    re.VERBOSE,
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+|\?))")
_REFUSED = frozenset("&()`")


class SyntaxProblem(ValueError):
    """A script that is not understood."""


@dataclass(slots=True, kw_only=True)
class Command:
    """One command: its words, and where its input and output go."""

    words: list[str] = field(default_factory=list)
    input: str = ""
    output: str = ""
    append: bool = False
    merge_errors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Commands joined by ``|``, and the operator before them: ``;``, ``&&`` or ``||``."""

    operator: str
    commands: list[Command]


def parse(text: str, variable: Callable[[str], str]) -> list[Pipeline]:
    """Take a script apart.

    Raises:
        SyntaxProblem: the script is not understood.
    """
    pipelines: list[Pipeline] = []
    commands, command, operator, target = [Command()], Command(), ";", ""
    commands = [command]
    for kind, value in [*_tokens(text, variable), ("operator", ";")]:
        if kind == "word":
            if target == "<":
                command.input = value
            elif target:
                command.output, command.append = value, target == ">>"
            else:
                command.words.append(value)
            target = ""
        elif target:
            raise SyntaxProblem(f"syntax error: unexpected {value!r}")
        elif value in {"<", ">", ">>"}:
            target = value
        elif value == "2>&1":
            command.merge_errors = True
        elif value == "|":
            if not command.words:
                raise SyntaxProblem("syntax error: unexpected '|'")
            command = Command()
            commands.append(command)
        else:
            if commands[-1].words:
                pipelines.append(Pipeline(operator=operator, commands=commands))
            elif len(commands) > 1 or value in {"&&", "||"}:
                raise SyntaxProblem(f"syntax error: unexpected {value!r}")
            command = Command()
            commands = [command]
            operator = ";" if value == "\n" else value
    if operator in {"&&", "||"} and not pipelines:
        raise SyntaxProblem("syntax error: unexpected end")
    return pipelines


def _tokens(text: str, variable: Callable[[str], str]) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is not None and match.lastgroup == "space":
            place = match.end()
        elif match is not None and match.lastgroup == "operator":
            if match.group() in _REFUSED:
                raise SyntaxProblem(f"syntax error: {match.group()!r} is not supported here")
            tokens.append(("operator", match.group()))
            place = match.end()
        else:
            word, place = _word(text, place, variable)
            tokens.append(("word", word))
    return tokens


def _word(text: str, place: int, variable: Callable[[str], str]) -> tuple[str, int]:
    """One word from ``place`` on, unquoted and with its variables filled in."""
    parts: list[str] = []
    while place < len(text) and text[place] not in " \t\r\n;|<>&()":
        letter = text[place]
        if letter in "'\"":
            end = _closing(text, place)
            inner = text[place + 1 : end]
            parts.append(inner if letter == "'" else _double_quoted(inner, variable))
            place = end + 1
        elif letter == "\\" and place + 1 < len(text):
            parts.append(text[place + 1])
            place += 2
        elif letter == "`" or text.startswith("$(", place):
            raise SyntaxProblem("syntax error: command substitution is not supported here")
        elif match := _VARIABLE.match(text, place):
            parts.append(variable(match.group(1) or match.group(2)))
            place = match.end()
        else:
            parts.append(letter)
            place += 1
    return "".join(parts), place


def _closing(text: str, place: int) -> int:
    quote, end = text[place], place + 1
    while end < len(text) and text[end] != quote:
        end += 2 if text[end] == "\\" and quote == '"' else 1
    if end >= len(text):
        raise SyntaxProblem("syntax error: unterminated quoted string")
    return end


def _double_quoted(text: str, variable: Callable[[str], str]) -> str:
    if "`" in text or "$(" in text:
        raise SyntaxProblem("syntax error: command substitution is not supported here")
    filled = _VARIABLE.sub(lambda match: variable(match.group(1) or match.group(2)), text)
    return re.sub(r"\\([\\\"$`])", r"\1", filled)
