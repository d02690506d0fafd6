"""Appends lines to a file, in a thread.

Callers never wait for a slow disk or a pipe that nobody reads. Lines that cannot be written are
dropped and counted; the loss is reported once, and once more when writing works again. Lines are
never mixed: a batch that was cut in the middle is ended with a newline before the next.
"""

import contextlib
import os
import select
import stat
import sys
import threading
from collections.abc import Callable
from typing import Final

from ...errors import UsageError
from ...redact import redact_path
from ...system.supervision import where

STDERR: Final = "-"
# Lines that wait for a slow disk or reader; some ten thousand.
_MAX_QUEUED_BYTES: Final = 8 * 1024 * 1024
# Seconds between two writes. Each wake-up of the thread competes with the event loop for the GIL,
# so lines are collected. With the time that records are collected for, a tenth of a second or so.
_WRITE_INTERVAL: Final = 0.05
# Seconds that closing waits for a reader that does not read.
_CLOSE_TIMEOUT: Final = 5.0


class LogWriter:
    """Writes lines to a file, a named pipe or standard error.

    Args:
        path: the file, created with mode 0600 if it does not exist, or a named pipe;
            :data:`STDERR` is standard error.
        report: called from any thread with a message when lines are lost, and when writing works
            again.

    Attributes:
        lost: the number of lines that could not be written.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: str, report: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._report = report
        self._fd = _stderr() if path == STDERR else _open(path)
        self._changed = threading.Condition()
        # None stands for reopening the file, once the lines before it are written.
        self._queued: list[bytes | None] = []
        self._size = 0
        self._writes = 0
        self._closed = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._partial_line = False
        self._is_losing = False
        self.lost = 0

    @property
    def is_terminal(self) -> bool:
        """Whether it writes to a terminal."""
        with contextlib.suppress(OSError):
            return os.isatty(self._fd)
        return False

    @property
    def size(self) -> tuple[int, int]:
        """The terminal's columns and rows; 80 and 24 if they are unknown."""
        with contextlib.suppress(OSError):
            columns, rows = os.get_terminal_size(self._fd)
            return columns or 80, rows or 24
        return 80, 24

    def write(self, lines: bytes) -> None:
        """Queue whole lines, each with its line end; they are written soon, in order."""
        self.rewrite(-1, b"", lines)

    def rewrite(self, writes: int, update: bytes, lines: bytes) -> tuple[int, bool]:
        """Queue *update* if nothing else has been written meanwhile, else *lines*.

        Args:
            writes: the number of writes after which *update* replaces what is on a terminal.
            update: begins with control sequences that move the cursor back.
            lines: whole lines.

        Returns:
            The number of writes after this one, and whether *update* was queued.
        """
        with self._changed:
            updates = writes == self._writes
            self._writes += 1
            self._queue(update if updates else lines)
            return self._writes, updates

    def _queue(self, lines: bytes) -> None:
        if self._closed:
            return
        if self._size + len(lines) > _MAX_QUEUED_BYTES:
            self._drop(lines, "nobody takes its lines as fast as they come")
            return
        self._queued.append(lines)
        self._size += len(lines)
        self._wake()

    def reopen(self) -> None:
        """Reopen the file once the queued lines are in the old one, as logrotate needs it."""
        with self._changed:
            if self._path != STDERR and not self._closed:
                self._queued.append(None)
                self._wake()

    def close(self) -> None:
        """Write what is queued, for at most five seconds, and close. May be repeated."""
        with self._changed:
            self._closed = True
            self._closing.set()
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_CLOSE_TIMEOUT)
            if thread.is_alive():
                with self._changed:
                    rest, self._queued = self._queued, []
                    self._drop(b"".join(filter(None, rest)), "nobody took the last in time")
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
                if not self._write_queued():
                    return
            except Exception as error:  # noqa: BLE001 -- the log must not end in silence
                self._is_losing = True
                self._report_state(f"loses lines: internal error ({where(error)})")

    def _write_queued(self) -> bool:
        """Write what is queued, or wait for it; False if closed and nothing is queued."""
        with self._changed:
            while not self._queued and not self._closed:
                self._changed.wait()
            waiting, self._queued, self._size = self._queued, [], 0
        if not waiting:
            return False
        while None in waiting:
            at = waiting.index(None)
            self._write_all(b"".join(filter(None, waiting[:at])))
            self._open_anew()
            waiting = waiting[at + 1 :]
        self._write_all(b"".join(filter(None, waiting)))
        self._closing.wait(_WRITE_INTERVAL)
        return True

    def _write_all(self, lines: bytes) -> None:
        if not lines:
            return
        data = b"\n" + lines if self._partial_line else lines
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    # Another process that shares standard error has made it non-blocking.
                    poll = select.poll()
                    poll.register(self._fd, select.POLLOUT)
                    poll.poll(1000)
        except OSError as error:
            done = len(data) - len(rest)
            if done:
                self._partial_line = data[done - 1 : done] != b"\n"
            self._drop(bytes(rest), os.strerror(error.errno or 0).lower())
            return
        self._partial_line = False
        if self._is_losing and self._size < _MAX_QUEUED_BYTES // 2:
            self._is_losing = False
            self._report_state(f"is written again; {self.lost} lines were lost")

    def _open_anew(self) -> None:
        try:
            fd = _open(self._path)
        except UsageError as error:
            self._report_state(f"goes on in the old file: {error.message}")
            return
        os.close(self._fd)
        self._fd, self._partial_line = fd, False

    def _drop(self, lines: bytes, why: str) -> None:
        self.lost += lines.count(b"\n")
        if not self._is_losing:
            self._is_losing = True
            self._report_state(f"loses lines: {why}")

    def _report_state(self, what: str) -> None:
        if self._report is not None:
            self._report(f"the log {self._path} {what}")


def _stderr() -> int:
    """Standard error; ``/dev/null`` if it was closed at start, since 2 may be another file then."""
    return 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _open(path: str) -> int:
    # Opening a pipe for writing alone blocks until it has a reader, and writing fails once that
    # reader leaves (fifo(7)). Opened both ways, it keeps lines for the next reader.
    mode = os.O_RDWR if _is_pipe(path) else os.O_WRONLY
    flags = mode | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        msg = f"open {redact_path(path)}: {os.strerror(error.errno or 0).lower()}"
        raise UsageError(msg, hint="give --log-requests a file that can be written") from error


def _is_pipe(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False
