"""The request log: records in, lines out, in batches.

An exchange only appends its record to a list. After a hundred records or 70 ms they are formatted,
and passed to the writer's thread in one piece.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Literal

from ...gate.patterns import PatternList
from ...relay.record import Record
from ...system.supervision import where
from . import verbose
from .combined import CombinedFormat
from .formats import JsonFormat, LineFormat
from .request_view import RequestViews, is_problem
from .writer import LogWriter

log = logging.getLogger(__name__)

# Marks a record of the program's log whose text is redacted and escaped already, field by field; a
# second pass over the whole text would redact a label selector called token.
_REDACTED: Final = {"redacted": True}

Scope = Literal["all", "problems", "none"]

# Seconds; at a terminal this still looks immediate.
_DELAY: Final = 0.07
# Formatting so many blocks the event loop for half a millisecond; smaller batches cost more in
# total, since each one starts with cold processor caches.
_BATCH: Final = 100


class Batches:
    """Collects records, and passes them on in order.

    Args:
        consumers: each is called with every batch, by the event loop and never by an exchange.
    """

    def __init__(self, *consumers: Callable[[Sequence[Record]], None]) -> None:
        self._consumers = consumers
        self._queued: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, record: Record) -> None:
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
        """Pass on the records collected so far."""
        if self._queued:
            records, self._queued = self._queued, []
            for take in self._consumers:
                try:
                    take(records)
                except Exception as error:  # noqa: BLE001 -- the other consumers still get them
                    log.error("internal error in the log of requests (%s)", where(error))


class AccessLog(ABC):
    """Logs exchanges.

    Args:
        views: parses the requests of records.
        scope: which records are written.
        skip: patterns of paths of which only problems are written.
        verbosity: of ``-v``; see :mod:`.verbose`.
    """

    def __init__(
        self,
        views: RequestViews,
        *,
        scope: Scope = "all",
        skip: PatternList | None = None,
        verbosity: int = 0,
    ) -> None:
        self._views = views
        self._scope = scope
        self._skip = skip if skip is not None and skip.patterns else None
        self._verbosity = verbosity

    def begin(self, record: Record) -> None:
        """Log that the gate has accepted a request; called with ``-v=2`` and higher."""
        view = self._views.read(record)
        if self._verbosity >= verbose.DECISIONS:
            log.info("%s", verbose.beginning(record, view), extra=_REDACTED)
        if view.stream and self._scope == "all":
            self._output([record], _offset())

    def write(self, records: Sequence[Record]) -> None:
        """Log exchanges that have ended."""
        if self._verbosity >= verbose.DECISIONS:
            self._log_verbose(records)
        if self._scope != "all":
            records = [r for r in records if self._scope == "problems" and is_problem(r)]
        self._output(records, _offset())

    @abstractmethod
    def _output(self, records: Sequence[Record], offset: float) -> None:
        """Write the lines of *records*; *offset* as for :class:`LineFormat`."""

    def _skips(self, record: Record, path: str) -> bool:
        if self._skip is None or record.status >= 400 or is_problem(record):
            # Failing health checks are logged though passing ones are skipped.
            return False
        return self._skip.first_match(path) is not None

    def _log_verbose(self, records: Sequence[Record]) -> None:
        for record in records:
            for text in verbose.ending(record, self._views.read(record), self._verbosity):
                log.info("%s", text, extra=_REDACTED)


class LineLog(AccessLog):
    """Writes each record as one line.

    Args:
        writer: takes the lines; with None they go to Python's logging as warnings.
        form: formats a record.
        views: see :class:`AccessLog`, as the others.
    """

    def __init__(
        self,
        writer: LogWriter | None,
        form: LineFormat,
        views: RequestViews,
        *,
        scope: Scope = "all",
        skip: PatternList | None = None,
        verbosity: int = 0,
    ) -> None:
        super().__init__(views, scope=scope, skip=skip, verbosity=verbosity)
        self._writer = writer
        self._form = form
        # Apache's format has no line for a request that has not ended.
        self._logs_starts = not isinstance(form, CombinedFormat)

    def begin(self, record: Record) -> None:
        """See :class:`AccessLog`."""
        if self._logs_starts or self._verbosity >= verbose.DECISIONS:
            super().begin(record)

    def _output(self, records: Sequence[Record], offset: float) -> None:
        read, line = self._views.read, self._form.line
        if self._skip is not None:
            records = [r for r in records if not self._skips(r, read(r).info.path)]
        lines = [line(record, read(record), offset) for record in records]
        if not lines:
            return
        if self._writer is None:
            extra = {**_REDACTED, "line": isinstance(self._form, JsonFormat)}
            for text in lines:
                log.warning("%s", text, extra=extra)
            return
        lines.append("")
        self._writer.write("\n".join(lines).encode("utf-8", "backslashreplace"))


def _offset() -> float:
    """Seconds to add to a record's times, which are monotonic, to get seconds since the epoch."""
    return time.time() - time.monotonic()
