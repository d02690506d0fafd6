"""Lists of regular expressions in kubectl's dialect: RE2, split at commas, searched unanchored.

Patterns are matched against text from clients, so they run in linear time (RE2), and the text never
has a newline, which ``.`` does not match.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ..errors import UsageError

# Patterns that need no RE2: literals and `.*`, anchored or not, as kubectl's defaults. A search for
# a literal takes a tenth of the time, and not every Python has RE2.
_SIMPLE: Final = re.compile(r"\^?(?:[A-Za-z0-9/_:~=@%&;!'#-]|\\[.\[\]/:()+?-]|\.\*)*\$?")
_NOT_UTF8: Final = re.compile("[\ud800-\udfff]")
_MATCH_ALL: Final = frozenset({"", "^", ".*", "^.*"})
# The two non-ASCII characters that RE2 and Go fold to an ASCII letter (Unicode simple folding):
# KELVIN SIGN and LATIN SMALL LETTER LONG S.
_FOLDED: Final = {0x212A: "k", 0x017F: "s"}


def split_patterns(value: str) -> tuple[str, ...]:
    """A flag's value as kubectl splits it: at each comma, without escapes; empty is no pattern.

    (kubectl/pkg/proxy/proxy_server.go, MakeRegexpArray.)
    """
    return tuple(value.split(",")) if value else ()


def split_warnings(flag: str, patterns: tuple[str, ...]) -> list[str]:
    """Warnings about patterns that the split at commas has probably broken."""
    found = []
    for left, right in pairwise(patterns):
        if re.search(r"\{\d+\Z", left) and re.match(r"\d*\}", right):
            found.append(
                f"{flag} is split at commas: {left!r} and {right!r} are two patterns; "
                "write the repetition without a comma"
            )
    if "" in patterns:
        found.append(f"{flag} has an empty pattern between its commas: it matches everything")
    return found


class PatternList:
    """The compiled patterns of one flag.

    Args:
        flag: the flag, for messages.
        patterns: regular expressions.
        ignore_case: whether ASCII and Unicode case is ignored.
        whole: whether a pattern must match the whole text, not just some of it.

    Raises:
        UsageError: a pattern is not RE2.
    """

    def __init__(
        self,
        flag: str,
        patterns: tuple[str, ...],
        *,
        ignore_case: bool = False,
        whole: bool = False,
    ) -> None:
        self.patterns = patterns
        self.matches_all = not (ignore_case or whole or _MATCH_ALL.isdisjoint(patterns))
        # Not an `re2.Set`: if its automaton runs out of memory, nothing matches (re2/set.cc). A
        # single pattern falls back to a slower algorithm.
        self._tests: list[tuple[str, Callable[[str], object]]] = []
        search: Callable[[str], object]
        for pattern in patterns:
            if _SIMPLE.fullmatch(pattern):
                literals = _Literals(pattern, ignore_case=ignore_case, whole=whole)
                search = literals.match_folded if ignore_case else literals.match
            else:
                search = _compile(flag, pattern, ignore_case=ignore_case, whole=whole)
            self._tests.append((pattern, search))

    def first_match(self, text: str) -> str | None:
        """The first pattern that matches, or None.

        Args:
            text: without newlines. A surrogate escape, which stands for a byte that is not UTF-8,
                matches as U+FFFD, as in Go's regexp.
        """
        if not text.isascii():
            text = _NOT_UTF8.sub("\ufffd", text)
        for pattern, search in self._tests:
            if search(text):
                return pattern
        return None


def _compile(flag: str, pattern: str, *, ignore_case: bool, whole: bool) -> Callable[[str], object]:
    try:
        import re2  # noqa: PLC0415 -- not for the defaults; and Python 3.15 may be without
    except ImportError:
        raise UsageError(
            f"{flag}: {pattern!r} needs RE2, and google-re2 is not installed for this Python",
            hint="literals, with a backslash before each dot, and .* do without; or use "
            "Python 3.11 to 3.14, for which google-re2 has wheels",
            cause="pattern",
        ) from None
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        # Without the group first: `a)|(b` is valid only inside parentheses.
        compiled = re2.compile(pattern, options)
        if whole:
            compiled = re2.compile(rf"\A(?:{pattern})\z", options)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        if isinstance(detail, bytes):
            detail = detail.decode("utf-8", "replace")
        raise UsageError(
            f"{flag}: Error compiling re {pattern!r}: error parsing regexp: {detail}",
            hint="patterns are RE2 (https://github.com/google/re2/wiki/Syntax) "
            "and are split at every comma",
            cause="pattern",
        ) from None
    search: Callable[[str], object] = compiled.search
    return search


class _Literals:
    """A simple pattern, as the literals between its ``.*``."""

    def __init__(self, pattern: str, *, ignore_case: bool, whole: bool) -> None:
        self._start = whole or pattern.startswith("^")
        body = pattern.removeprefix("^")
        self._end = whole or body.endswith("$")
        if ignore_case:
            body = body.lower()
        parts = re.split(r"(?<!\\)\.\*", body.removesuffix("$"))
        self._parts = [re.sub(r"\\(.)", r"\1", part) for part in parts]

    def match_folded(self, text: str) -> bool:
        """As :meth:`match`, ignoring case."""
        if text.isascii():
            return self.match(text.lower())
        # bytes.lower() changes ASCII only; str.lower() would change U+0130 to `i`.
        return self.match(text.translate(_FOLDED).encode().lower().decode())

    def match(self, text: str) -> bool:
        """Whether the pattern matches in a text without newlines.

        Each literal is searched at its leftmost position, which leaves the most text for the next,
        so that no backtracking is needed.
        """
        parts = self._parts
        if len(parts) == 1:
            return self._match_one(parts[0], text)
        first, last = parts[0], parts[-1]
        if self._start:
            if not text.startswith(first):
                return False
            position = len(first)
        else:
            position = text.find(first)
            if position < 0:
                return False
            position += len(first)
        for part in parts[1:-1]:
            position = text.find(part, position)
            if position < 0:
                return False
            position += len(part)
        if self._end:
            return text.endswith(last) and len(text) - len(last) >= position
        return text.find(last, position) >= 0

    def _match_one(self, part: str, text: str) -> bool:
        if self._start:
            return text == part if self._end else text.startswith(part)
        return text.endswith(part) if self._end else part in text
