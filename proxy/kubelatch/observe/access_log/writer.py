"""One file that lines are appended to, by a thread of its own.

Whoever writes never waits: not for a disk, not for a reader of a pipe that has gone to lunch.
What cannot be written is dropped and counted, said once, and said again when writing works
again. Lines are never mixed: a batch that was cut in the middle is ended before the next.
"""

import contextlib
import logging
import os
import select
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from ...errors import UsageError
from ...redact import printable, redact, sanitize, shown_path
from ...system.supervision import where

STDERR: Final = "-"
# What may wait for a slow disk or reader; some ten thousand lines.
_MOST_WAITING: Final = 8 * 1024 * 1024
# Between two writes, in seconds: what comes meanwhile goes out together, and each time that the
# thread wakes up it competes with the event loop for the interpreter.
_REST: Final = 0.02
# Of the program's own log, in characters.
_LONGEST_LINE: Final = 8000
# How long the end of the process waits for a reader that does not read.
_PATIENCE: Final = 5.0


class Sink:
    """See the module.

    Args:
        path: the file, made if need be and readable by its owner only, or a named pipe;
            :data:`STDERR` is standard error.
        report: is told, from any thread, when lines are lost and when that is over.

    Attributes:
        lost: how many lines could not be written.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: str, report: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._report = report
        self._fd = _stderr() if path == STDERR else _open(path)
        self._changed = threading.Condition()
        # None stands for the file to be opened anew, behind what was written before.
        self._waiting: list[bytes | None] = []
        self._size = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._torn = False
        self._failing = False
        self.lost = 0

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be looking."""
        with contextlib.suppress(OSError):
            return os.isatty(self._fd)
        return False

    def write(self, lines: bytes) -> None:
        """Take whole lines, each with its end; they are written soon, in order."""
        with self._changed:
            if self._closed:
                return
            if self._size + len(lines) > _MOST_WAITING:
                self._lose(lines, "nobody takes its lines as fast as they come")
                return
            self._waiting.append(lines)
            self._size += len(lines)
            self._wake()

    def reopen(self) -> None:
        """Open the file anew, once what was written before is in the old one (for logrotate)."""
        with self._changed:
            if self._path != STDERR and not self._closed:
                self._waiting.append(None)
                self._wake()

    def close(self) -> None:
        """Write what waits, within seconds, and end. May be repeated."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_PATIENCE)
            if thread.is_alive():
                with self._changed:
                    rest, self._waiting = self._waiting, []
                    self._lose(b"".join(filter(None, rest)), "nobody took the last in time")
                return
        if self._fd > 2:
            os.close(self._fd)
            self._fd = -1

    def _wake(self) -> None:
        if self._thread is None:
            # A daemon: a write that never returns must not keep the process alive.
            self._thread = threading.Thread(target=self._run, name="kubelatch log", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while True:
            try:
                if not self._turn():
                    return
            except Exception as error:  # noqa: BLE001 -- the log must not end in silence
                self._failing = True
                self._say(f"loses lines: internal error ({where(error)})")

    def _turn(self) -> bool:
        """Write what waits; False if it is closed and nothing does."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            waiting, self._waiting, self._size = self._waiting, [], 0
        if not waiting:
            return False
        while None in waiting:
            at = waiting.index(None)
            self._write_all(b"".join(filter(None, waiting[:at])))
            self._open_anew()
            waiting = waiting[at + 1 :]
        self._write_all(b"".join(filter(None, waiting)))
        time.sleep(_REST)
        return True

    def _write_all(self, lines: bytes) -> None:
        if not lines:
            return
        data = b"\n" + lines if self._torn else lines
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    # Somebody who shares our standard error has made it non-blocking.
                    poll = select.poll()
                    poll.register(self._fd, select.POLLOUT)
                    poll.poll(1000)
        except OSError as error:
            done = len(data) - len(rest)
            if done:
                self._torn = data[done - 1 : done] != b"\n"
            self._lose(bytes(rest), os.strerror(error.errno or 0).lower())
            return
        self._torn = False
        if self._failing and self._size < _MOST_WAITING // 2:
            self._failing = False
            self._say(f"is written again; {self.lost} lines were lost")

    def _open_anew(self) -> None:
        try:
            fd = _open(self._path)
        except UsageError as error:
            self._say(f"goes on in the old file: {error.message}")
            return
        os.close(self._fd)
        self._fd, self._torn = fd, False

    def _lose(self, lines: bytes, why: str) -> None:
        self.lost += lines.count(b"\n")
        if not self._failing:
            self._failing = True
            self._say(f"loses lines: {why}")

    def _say(self, what: str) -> None:
        if self._report is not None:
            self._report(f"the log {self._path} {what}")


def _stderr() -> int:
    """Standard error; nowhere if it was closed at start, when its number is another file's."""
    return 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _open(path: str) -> int:
    # Who opens a pipe for writing alone waits until somebody reads it, and is cut off when that
    # one leaves. Whoever reads next gets what the pipe has kept.
    mode = os.O_RDWR if _is_pipe(path) else os.O_WRONLY
    flags = mode | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        msg = f"open {shown_path(path)}: {os.strerror(error.errno or 0).lower()}"
        raise UsageError(msg, hint="give --log-requests a file that can be written") from error


def _is_pipe(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False


def sanitized_traceback(error: BaseException) -> str:
    """The traceback, fit to be shown: each line with its end."""
    told = redact("".join(traceback.format_exception(error)))
    return "".join(f"{printable(line)}\n" for line in told.splitlines())


class SinkHandler(logging.Handler):
    """Sends what the program has to say of itself to a sink, one line each.

    Args:
        sink: usually that of standard error, which a request log may share.
        tracebacks: say where a fault of ours came from, which takes more lines.
        mark: what stands before each line, by the level of the record; the journal reads it.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        tracebacks: bool = False,
        mark: Callable[[int], str] | None = None,
    ) -> None:
        super().__init__()
        self._sink = sink
        self._tracebacks = tracebacks
        self._mark = mark

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, sanitized; of an exception its name and its text."""
        text, trace = record.getMessage(), ""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f": {type(error).__name__}: {error}"
            if self._tracebacks:
                trace = sanitized_traceback(error)
        if not getattr(record, "redacted", False):
            text = sanitize(text, _LONGEST_LINE)
        lines = f"{record.levelname}: {text}\n{trace}"
        if self._mark is not None:
            mark = self._mark(record.levelno)
            lines = "".join(f"{mark}{line}\n" for line in lines.split("\n")[:-1])
        self._sink.write(lines.encode("utf-8", "backslashreplace"))
