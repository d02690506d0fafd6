"""Runs an exec plugin's process, bounded in time and output.

A run ends with the plugin's own process: processes that it started, such as a browser or an agent,
may hold its outputs open for hours. Their output is read and discarded, since a process that writes
to a pipe without a reader is killed by SIGPIPE. After a time-out only the plugin is terminated, and
the processes that produce its output (:func:`_producers`).

The plugin gets a session of its own, except when it may use the terminal, which belongs to the
proxy's session.

The process is started by :mod:`subprocess`, which closes every other descriptor in the child.
uvloop's subprocesses inherit copies of its pipes.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..system.process import original_core_limit, restore_descriptor_limit

STDOUT_LIMIT = 4 * 1024 * 1024
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL; and how long to wait for the exit code of a plugin that has
closed its standard output."""

# Splitting this much into lines takes a few milliseconds.
_CHUNK: Final = 16 * 1024
# The most that a pipe holds (pipe(7), pipe-max-size) when its writer has exited.
_PIPE_SIZE: Final = 1024 * 1024
# After this much discarded output of processes that a plugin left behind, the pipe is closed.
_MAX_DISCARDED: Final = 16 * 1024 * 1024
# Two for each process that plugins have left behind.
_MAX_ABANDONED: Final = 32
# Where the system has no pidfd.
_POLL_INTERVAL: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRun:
    """The result of a plugin's run. A negative code is the signal that ended it."""

    code: int
    stdout: bytes = field(repr=False)


class _Pipe:
    """One of the plugin's outputs, read on the event loop.

    Args:
        on_data: gets each piece.
    """

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data: Callable[[bytes], None] | None = on_data
        self._loop = asyncio.get_running_loop()
        self._discarded = 0
        self._fd = self.write_end = -1
        self._fd, self.write_end = os.pipe()
        self.inode = os.fstat(self._fd).st_ino
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._read)

    def __del__(self) -> None:
        # The event loop was closed, and held the last reference.
        if self._fd >= 0:
            os.close(self._fd)

    def close_write_end(self) -> None:
        """Close the plugin's end in this process."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def read_available(self) -> None:
        """Read what is in the pipe, without waiting."""
        left = _PIPE_SIZE
        while left > 0 and (read := self._read()):
            left -= read

    def abandon(self) -> None:
        """Discard further output: it is written by other processes than the plugin."""
        self._on_data = None
        if not self.ended.done():
            _abandoned.add(self)

    def close(self) -> None:
        """Stop reading. May be repeated."""
        self.close_write_end()
        if self._fd >= 0:
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if not self.ended.done() and not self._loop.is_closed():
            self.ended.set_result(None)

    def _read(self) -> int:
        """Read once. Returns the number of bytes; 0 at the end, or if there are none now."""
        if self._fd < 0:
            return 0
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return 0
        if not data:
            self.close()
        elif self._on_data is not None:
            self._on_data(data)
        else:
            self._discarded += len(data)
            if self._discarded > _MAX_DISCARDED:
                self.close()
        return len(data)


class _Abandoned(threading.local):
    """Weak references to the abandoned pipes of this thread's event loop, which keeps them."""

    def __init__(self) -> None:
        self._pipes: deque[weakref.ref[_Pipe]] = deque()

    def add(self, pipe: _Pipe) -> None:
        """Add a pipe, and close the oldest if there are too many."""
        kept = [ref for ref in self._pipes if (old := ref()) is not None and not old.ended.done()]
        self._pipes = deque([*kept, weakref.ref(pipe)])
        if len(self._pipes) > _MAX_ABANDONED and (oldest := self._pipes.popleft()()) is not None:
            oldest.close()


_abandoned = _Abandoned()


async def run(
    argv: list[str],
    *,
    env: Mapping[str, str],
    interactive: bool,
    time_limit: float,
    on_stderr: Callable[[bytes], None],
) -> CompletedRun:
    """Run a plugin until it ends.

    Args:
        argv: the resolved executable and its arguments.
        env: its whole environment.
        interactive: whether it reads the proxy's standard input, and shares its terminal.
        time_limit: seconds, after which it is terminated.
        on_stderr: gets its standard error, piece by piece.

    Raises:
        OSError: it could not be started.
        TimeoutError: it did not end in time.
    """
    stdout = bytearray()

    def on_stdout(data: bytes) -> None:
        if len(stdout) <= STDOUT_LIMIT:
            stdout.extend(data)

    with contextlib.ExitStack() as stack:
        out = _Pipe(on_stdout)
        stack.callback(out.close)
        err = _Pipe(on_stderr)
        stack.callback(err.close)
        try:
            with original_core_limit():
                process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
                    argv,
                    stdin=None if interactive else subprocess.DEVNULL,
                    stdout=out.write_end,
                    stderr=err.write_end,
                    env=dict(env),
                    start_new_session=not interactive,
                )
        finally:
            out.close_write_end()
            err.close_write_end()
        restore_descriptor_limit(process.pid)
        stack.pop_all()
    exited = _exit_code(process)
    completed = False
    try:
        async with asyncio.timeout(time_limit):
            ends: list[asyncio.Future[None] | asyncio.Future[int]] = [out.ended, exited]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                # It has closed its standard output, and either exits now, or keeps running as an
                # agent after it has printed its credential.
                await asyncio.wait([exited], timeout=GRACE if stdout else None)
        completed = True
    finally:
        if not completed:
            await _terminate(
                process, exited, os.getsid(0) if interactive else process.pid, out.inode
            )
        for pipe in (out, err):
            pipe.read_available()
            pipe.abandon()
    return CompletedRun(code=exited.result() if exited.done() else 0, stdout=bytes(stdout))


def _exit_code(process: subprocess.Popen[bytes]) -> "asyncio.Future[int]":
    """Resolves to the exit code. The process is reaped even if the future is not awaited."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[int] = loop.create_future()

    def poll() -> bool:
        code = process.poll()
        if code is not None and not exited.done():
            exited.set_result(code)
        return code is not None

    def poll_again() -> None:
        if not poll():
            loop.call_later(_POLL_INTERVAL, poll_again)

    if sys.platform == "linux":
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:  # an old kernel, or a sandbox
            poll_again()
            return exited

        def on_exit() -> None:
            if poll():
                loop.remove_reader(fd)
                os.close(fd)

        loop.add_reader(fd, on_exit)
    else:
        poll_again()
    return exited


async def _terminate(
    process: subprocess.Popen[bytes], exited: "asyncio.Future[int]", session: int, stdout: int
) -> None:
    """Send SIGTERM, then SIGKILL, and wait for the exit."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        producers = await asyncio.to_thread(lambda: list(_producers(session, stdout)))
        if exited.done() and not producers:
            return
        for pid in producers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if not exited.done() and process.pid not in producers:
            process.send_signal(number)
        await asyncio.wait([exited], timeout=GRACE)


def _producers(session: int, stdout: int) -> Iterator[int]:
    """The processes of a plugin's session that write to its standard output.

    For a shell script these are the programs that it waits for: terminating the script alone would
    leave them running. A browser that it has opened writes elsewhere, since its output would be
    taken for the credential. Linux only; elsewhere there are none.
    """
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            if (
                os.readlink(f"/proc/{name}/fd/1") == f"pipe:[{stdout}]"
                and os.getsid(int(name)) == session
            ):
                yield int(name)
