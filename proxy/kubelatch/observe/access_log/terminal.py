"""The request log at a terminal: one row for each request, cut to the width of the terminal.

A row has what a person looks for while requests pass by. The rest of a record follows on rows of
its own where something is wrong, and always with ``-v``; files and pipes get all of it, see
``formats``. A read that repeats one of the last rows updates that row and its count, so that
polling does not push everything else off the screen.
"""

import textwrap
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...gate.patterns import PatternList
from ...relay.record import Record
from .formats import Details, as_duration, as_size, as_word
from .log import AccessLog
from .request_view import RequestView, RequestViews, is_problem
from .writer import LogWriter

# Columns of verb and resource, such as "list deployments.apps".
_VERB_WIDTH: Final = 22
# Of what is left after these, the share of the object's name; the target gets the rest.
_NAME_SHARE: Final = 0.45
_MIN_NAME: Final = 12
_MAX_NAME: Final = 40
# Rows on which a repeated request is looked for.
_WINDOW: Final = 10
_INDENT: Final = " " * 9
_CUT: Final = "..."
_FOLDED_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Move up so many rows, to their beginning, and erase all below (ECMA-48).
_UP: Final = "\x1b[{}A\r\x1b[J"
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class _Key(NamedTuple):
    """What repeated requests have in common."""

    method: str
    target: str
    status: int
    cause: str
    rule: str


@dataclass(slots=True)
class _Entry:
    """What is shown of one request, or of several that are the same.

    Attributes:
        key: None for what is never repeated.
        count: how many requests it stands for.
        text: its rows, each with its line end.
        height: the number of rows on the screen; 0 before it is written.
    """

    key: _Key | None
    count: int = 1
    text: str = ""
    height: int = 0


class TerminalLog(AccessLog):
    """Writes records as rows of a terminal.

    Args:
        writer: of the terminal.
        views: parses the requests of records.
        colour: whether the status has a colour.
        moves_cursor: whether the terminal can move its cursor, which updating a row takes.
        skip: patterns of paths of which only problems are written.
        verbosity: of ``-v``.
    """

    def __init__(
        self,
        writer: LogWriter,
        views: RequestViews,
        *,
        colour: bool,
        moves_cursor: bool,
        skip: PatternList | None = None,
        verbosity: int = 0,
    ) -> None:
        super().__init__(views, skip=skip, verbosity=verbosity)
        self._terminal = writer
        self._dim, self._reset = (_DIM, _RESET) if colour else ("", "")
        self._colour = colour
        self._moves_cursor = moves_cursor
        self._details = Details()
        # The last entries on the screen, and the writer's count of writes after the last of them.
        self._window: list[_Entry] = []
        self._written = 0

    def _output(self, records: Sequence[Record], offset: float) -> None:
        columns, rows = self._terminal.size
        # A character in the last column makes some terminals begin another row.
        width = columns - 1
        window, shown = self._window, len(self._window)
        heights = [entry.height for entry in window]
        touched: list[_Entry] = []
        first = shown
        for record in records:
            view = self._views.read(record)
            if self._skips(record, view.info.path):
                continue
            key = self._key(record, view)
            at = next((i for i, entry in enumerate(window) if key and entry.key == key), -1)
            if at < 0:
                window.append(_Entry(key))
            else:
                window[at].count += 1
                first = min(first, at)
            entry = window[at]
            entry.text = self._rows(record, view, offset, width, entry.count)
            entry.height = entry.text.count("\n")
            if all(entry is not other for other in touched):
                touched.append(entry)
        if not touched:
            return
        fresh = "".join(entry.text for entry in touched)
        update = "".join(entry.text for entry in window[first:])
        if up := sum(heights[first:shown]):
            update = _UP.format(up) + update
        self._written, updated = self._terminal.rewrite(
            self._written, _encode(update), _encode(fresh)
        )
        self._window = self._last(window if updated else touched, rows)

    def _last(self, entries: list[_Entry], rows: int) -> list[_Entry]:
        """The last entries, as many as certainly still are on a screen of *rows* rows."""
        if not self._moves_cursor:
            return []
        height, kept = 0, 0
        for entry in entries[: -_WINDOW - 1 : -1]:
            height += entry.height
            if height > rows - 2:
                break
            kept += 1
        return entries[len(entries) - kept :]

    def _key(self, record: Record, view: RequestView) -> _Key | None:
        repeats = record.ended and not view.stream and record.method in _FOLDED_METHODS
        if not repeats or not self._moves_cursor:
            return None
        return _Key(record.method, record.target, record.status, record.cause, record.rule)

    def _rows(
        self, record: Record, view: RequestView, offset: float, width: int, count: int
    ) -> str:
        ended = record.ended
        status, took, size = ">>>", "", ""
        if ended:
            status = f"{record.status or '-':>3}"
            took, size = as_duration(ended - record.started), as_size(record.sent)
        moment = time.strftime("%H:%M:%S", time.localtime((ended or record.started) + offset))
        what = f"{view.info.verb} {as_word(view.kind)}" if view.kind else view.info.verb
        left = f" {took:>6} {size:>4}  "
        room = width - len(moment) - 4 - len(left)
        name_width = int(max(_MIN_NAME, min((room - _VERB_WIDTH) * _NAME_SHARE, _MAX_NAME)))
        target = as_word(view.target or "-")
        if count > 1:
            target = f"x{count} {target}"
        request, is_whole = _cut(
            f"{what:<{_VERB_WIDTH}} {view.object_name:<{name_width}} {target}", room
        )
        if self._colour:
            status = f"{_colour_of(record)}{status}{_RESET}"
        row = f"{self._dim}{moment}{self._reset} {status}{left}{request}\n"
        if not (is_problem(record) or record.status >= 400 or self._verbosity):
            return row
        details = self._details.pairs(record).lstrip()
        if not is_whole:
            details = f"{as_word(view.method or '-')} {as_word(view.target or '-')} {details}"
        lines = textwrap.wrap(
            details,
            width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )
        return row + "".join(f"{self._dim}{line}{self._reset}\n" for line in lines)


def _cut(text: str, width: int) -> tuple[str, bool]:
    """The text as far as *width* columns have room for it, and whether that is all of it."""
    if text.isascii():
        if len(text) <= width:
            return text.rstrip(), True
        return text[: max(0, width - len(_CUT))] + _CUT, False
    columns, kept = 0, 0
    for at, char in enumerate(text):
        columns += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if columns <= width - len(_CUT):
            kept = at + 1
    return (text.rstrip(), True) if columns <= width else (text[:kept] + _CUT, False)


def _colour_of(record: Record) -> str:
    if not record.ended:
        return "\x1b[36m"
    if record.cause == "client-gone":
        return _DIM
    if record.cause or record.status >= 500 or not record.status:
        return "\x1b[31m"
    return "\x1b[33m" if record.status >= 400 else "\x1b[32m"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
