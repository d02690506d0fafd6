"""The request log: records in, lines out, by the batch.

An exchange only appends its record to a list. Some hundred records or a tenth of a second later
they are made into lines, once, and handed to the writer in one piece, whose thread writes them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from ...gate.patterns import PatternList
from ...relay.record import Record
from ...system.supervision import where
from . import verbose
from .formats import CombinedFormat, Format
from .request_view import RequestViews, is_problem
from .writer import LogWriter

log = logging.getLogger(__name__)

# Marks a record of the program's log whose text is redacted and escaped already, by what its parts
# mean: a selector may be called token.
_REDACTED: Final = {"redacted": True}

Scope = Literal["all", "problems", "none"]

# A person at a terminal takes this for at once.
_DELAY: Final = 0.1
# Few enough to be formatted in half a millisecond, which is what other exchanges wait meanwhile;
# fewer would cost more, since each change of task costs the processor's caches.
_BATCH: Final = 100


class Batches:
    """Collects records, and hands them on in their order.

    Args:
        consumers: each gets every batch. Called by the event loop, never by an exchange.
    """

    __slots__ = ("_consumers", "_queued", "_timer")

    def __init__(self, *consumers: Callable[[Sequence[Record]], None]) -> None:
        self._consumers = consumers
        self._queued: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, record: Record) -> None:
        """Take a record."""
        self._queued.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._on_time)
        if len(self._queued) == _BATCH:
            asyncio.get_running_loop().call_soon(self.flush)

    def _on_time(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Hand on what there is."""
        if self._queued:
            records, self._queued = self._queued, []
            for take in self._consumers:
                try:
                    take(records)
                except Exception as error:  # noqa: BLE001 -- the others are to get them all the same
                    log.error("internal error in the log of requests (%s)", where(error))


class AccessLog:
    """Writes records.

    Args:
        writer: where to; None hands lines to Python's logging, as warnings.
        form: how.
        views: reads them.
        scope: which.
        skip: paths of which only problems are written.
        verbosity: ``-v``; see :mod:`.verbose`.
    """

    def __init__(
        self,
        writer: LogWriter | None,
        form: Format,
        views: RequestViews,
        *,
        scope: Scope = "all",
        skip: PatternList | None = None,
        verbosity: int = 0,
    ) -> None:
        self._writer = writer
        self._form = form
        self._views = views
        self._scope = scope
        self._skip = skip if skip is not None and skip.patterns else None
        self._verbosity = verbosity
        # Apache's format has no way to say that something has begun.
        self._logs_starts = scope == "all" and not isinstance(form, CombinedFormat)

    def begin(self, record: Record) -> None:
        """Tell of an exchange that has been let through; to be called from ``-v=2`` on."""
        view = self._views.read(record)
        if self._verbosity >= verbose.DECISIONS:
            log.info("%s", verbose.beginning(record, view), extra=_REDACTED)
        if view.stream and self._logs_starts:
            self._write([self._form(record, view, _offset())])

    def take(self, records: Sequence[Record]) -> None:
        """Write the lines of exchanges that have ended."""
        offset, lines = _offset(), []
        if self._verbosity >= verbose.DECISIONS:
            self._log_verbose(records)
        if self._scope != "all":
            records = [r for r in records if self._scope == "problems" and is_problem(r)]
        read, form = self._views.read, self._form
        for record in records:
            view = read(record)
            if self._skip is None or not self._skips(record, view.info.path):
                lines.append(form(record, view, offset))
        if lines:
            self._write(lines)

    def _skips(self, record: Record, path: str) -> bool:
        if record.status >= 400 or is_problem(record):
            # A health check that fails is what people look for.
            return False
        return self._skip is not None and self._skip.first_match(path) is not None

    def _log_verbose(self, records: Sequence[Record]) -> None:
        for record in records:
            for parts in verbose.ending(record, self._views.read(record), self._verbosity):
                log.info("%s", parts, extra=_REDACTED)

    def _write(self, lines: list[str]) -> None:
        if self._writer is None:
            for line in lines:
                log.warning("%s", line, extra=_REDACTED)
            return
        lines.append("")
        self._writer.write("\n".join(lines).encode("utf-8", "backslashreplace"))


def _offset() -> float:
    """What makes a record's times seconds since the epoch."""
    return time.time() - time.monotonic()
