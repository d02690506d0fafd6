"""The demo shell's language: a part of POSIX ``sh``, with pipes, lists, ``while`` and ``for``.

Pure: text in, a tree out. What is not understood is refused, not guessed at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_OPERATOR = re.compile(r"&&|\|\||>>|2>&1|2>>?|1?>&2|[;|<>\n()&]")
_SPACE = re.compile(r"(?:[ \t\r]|\\\n|(?:(?<=\s)|^)#[^\n]*)+")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+|[?$#]))")
_REDIRECTIONS = frozenset({"<", ">", ">>", "2>", "2>>"})
_DUPLICATES = frozenset({"2>&1", ">&2", "1>&2"})
_RESERVED = frozenset({*("do", "done", "if", "then", "fi", "case", "until", "{", "}", "(", ")")})


class ScriptError(ValueError):
    """A script that is not understood."""


class Expansion(NamedTuple):
    """A place in a word that is filled in when the command runs.

    ``kind`` is ``$`` for a variable, ``(`` for a command's output and ``+`` for arithmetic.
    """

    kind: str
    text: str
    quoted: bool


Word = tuple[str | Expansion, ...]


@dataclass(slots=True)
class Node:
    """A command: ``simple``, ``|``, ``while`` or ``for``."""

    kind: str
    words: list[Word] = field(default_factory=list)
    redirections: list[tuple[str, Word]] = field(default_factory=list)
    nodes: list["Node"] = field(default_factory=list)
    bodies: list["Steps"] = field(default_factory=list)


Steps = list[tuple[str, Node]]
"""Commands with the operator before each: ``;``, ``&&`` or ``||``."""


class _Token(NamedTuple):
    text: str
    word: Word | None = None


def parse(text: str) -> Steps:
    """Take a script apart.

    Raises:
        ScriptError: the script is not understood.
    """
    parser = _Parser(text)
    steps = parser.steps()
    parser.expect("")
    return steps


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), _Token("")]

    def steps(self, *ends: str) -> Steps:
        """Commands up to one of ``ends``, which stays."""
        found: Steps = []
        operator = ";"
        while True:
            while self._text == "\n":
                self._next()
            if self._text in {*ends, ""}:
                if operator in {"&&", "||"}:
                    raise self._unexpected()
                return found
            found.append((operator, self._pipeline()))
            operator = ";"
            if self._text in {"&&", "||", ";", "\n"}:
                operator = self._next().text.replace("\n", ";")
            elif self._text not in {*ends, ""}:
                raise self._unexpected()

    def expect(self, text: str) -> None:
        """Take that token."""
        if self._next().text != text:
            raise ScriptError(f"syntax error: {text or 'end of script'!r} expected")

    @property
    def _text(self) -> str:
        return self._tokens[0].text

    def _next(self) -> _Token:
        return self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]

    def _unexpected(self) -> ScriptError:
        return ScriptError(f"syntax error: unexpected {self._text or 'end of script'!r}")

    def _pipeline(self) -> Node:
        nodes = [self._command()]
        while self._text == "|":
            self._next()
            nodes.append(self._command())
        return nodes[0] if len(nodes) == 1 else Node("|", nodes=nodes)

    def _command(self) -> Node:
        kind = self._text
        node = Node(kind)
        if kind == "while":
            self._next()
            self._bodies(node, "do", "done")
        elif kind == "for":
            self._next()
            node.words = [self._word()]
            self.expect("in")
            while self._tokens[0].word is not None:
                node.words.append(self._word())
            if self._text in {";", "\n"}:
                self._next()
            self.expect("do")
            self._bodies(node, "done")
        else:
            return self._simple()
        while self._text in _REDIRECTIONS | _DUPLICATES:
            self._redirection(node)
        return node

    def _bodies(self, node: Node, *ends: str) -> None:
        for end in ends:
            node.bodies.append(self.steps(end))
            self.expect(end)

    def _simple(self) -> Node:
        node = Node("simple")
        if self._text in _RESERVED:
            raise self._unexpected()
        while True:
            if self._text in _REDIRECTIONS | _DUPLICATES and self._tokens[0].word is None:
                self._redirection(node)
            elif self._tokens[0].word is not None:
                node.words.append(self._word())
            elif not (node.words or node.redirections):
                raise self._unexpected()
            else:
                return node

    def _redirection(self, node: Node) -> None:
        operator = self._next().text
        node.redirections.append((operator, () if operator in _DUPLICATES else self._word()))

    def _word(self) -> Word:
        word = self._next().word
        if word is None:
            raise self._unexpected()
        return word


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        if match := _SPACE.match(text, place):
            place = match.end()
        elif match := _OPERATOR.match(text, place):
            if match.group() == "&":
                raise ScriptError("syntax error: '&' is not supported here")
            yield _Token(match.group())
            place = match.end()
        else:
            word, end = _word(text, place)
            yield _Token(text[place:end], word)
            place = end


def _word(text: str, place: int) -> tuple[Word, int]:
    """The word at ``place``, and where it ends."""
    parts: list[str | Expansion] = []
    quoted = False
    while place < len(text) and (quoted or text[place] not in " \t\r\n;|<>&()"):
        letter = text[place]
        if letter == '"':
            quoted = not quoted
            parts.append("")
            place += 1
        elif letter == "'" and not quoted:
            end = text.find("'", place + 1)
            if end < 0:
                raise ScriptError("syntax error: unterminated quoted string")
            parts.append(text[place + 1 : end])
            place = end + 1
        elif letter == "\\" and (not quoted or text[place + 1 : place + 2] in set('\\"$`')):
            parts.append(text[place + 1 : place + 2])
            place += 2
        elif text.startswith("$((", place) and (end := text.find("))", place)) > 0:
            parts.append(Expansion("+", text[place + 3 : end], quoted))
            place = end + 2
        elif text.startswith("$(", place):
            end = _closing(text, place + 2)
            parts.append(Expansion("(", text[place + 2 : end], quoted))
            place = end + 1
        elif letter == "`":
            raise ScriptError("syntax error: backquotes are not supported here; use $(...)")
        elif match := _VARIABLE.match(text, place):
            parts.append(Expansion("$", match.group(1) or match.group(2), quoted))
            place = match.end()
        else:
            parts.append(letter)
            place += 1
    if quoted:
        raise ScriptError("syntax error: unterminated quoted string")
    return _joined(parts), place


def _joined(parts: list[str | Expansion]) -> Word:
    """Parts with neighbouring texts in one."""
    word: list[str | Expansion] = []
    for part in parts:
        last = word[-1] if word else None
        if isinstance(part, str) and isinstance(last, str):
            word[-1] = last + part
        else:
            word.append(part)
    return tuple(word)


def _closing(text: str, place: int) -> int:
    """Where the parenthesis that is open at ``place`` closes."""
    depth, quote = 1, ""
    while place < len(text):
        letter = text[place]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
            if not depth:
                return place
        place += 2 if letter == "\\" and quote != "'" else 1
    raise ScriptError("syntax error: unterminated command substitution")
