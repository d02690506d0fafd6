"""Running an exec plugin's process: one run, bounded in time and output.

It has ended when its process has: what it started, such as a browser or an agent, may hold its
outputs open for hours. Those are then read and thrown away, since a process that writes to a pipe
without a reader is ended by the kernel. After a time-out only the plugin is ended, and those it
started to make the credential for it (:func:`_parts`).

The plugin gets a session of its own, except when it may use the terminal, which belongs to ours.

The process is started by :mod:`subprocess` itself, which closes every other descriptor in the
child. uvloop's own way leaves the child with copies of its pipes.
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
"""Seconds between asking a plugin to end and ending it; and what one that has closed its standard
output has until its exit code is no longer waited for."""

# Made into lines at once, it takes a few milliseconds.
_CHUNK: Final = 16 * 1024
# What a pipe can hold (pipe(7), pipe-max-size): a process that has ended has written no more.
_PIPE_SIZE: Final = 1024 * 1024
# Of what a plugin left behind writes, so much is thrown away; then it writes too much.
_MOST_DISCARDED: Final = 16 * 1024 * 1024
# Two for each process that plugins have left behind.
_MOST_LEFT_OPEN: Final = 32
# Where the system does not say that a process has ended.
_LOOK_INTERVAL: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A plugin's run. A negative code is the signal that ended it."""

    code: int
    stdout: bytes = field(repr=False)


class _Pipe:
    """One of the plugin's outputs. What comes is handed on as the event loop sees it.

    Args:
        take: gets it.
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take: Callable[[bytes], None] | None = take
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

    def started(self) -> None:
        """The plugin has its end, or never will."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def read_rest(self) -> None:
        """Read what is there, without waiting for more."""
        left = _PIPE_SIZE
        while left > 0 and (read := self._read()):
            left -= read

    def leave(self) -> None:
        """Throw away what may still come, from others than the plugin."""
        self._take = None
        if not self.ended.done():
            _left_open.add(self)

    def close(self) -> None:
        """Stop reading. May be repeated."""
        self.started()
        if self._fd >= 0:
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if not self.ended.done() and not self._loop.is_closed():
            self.ended.set_result(None)

    def _read(self) -> int:
        """Read once. Returns how many bytes came; 0 if there are none, now or any more."""
        if self._fd < 0:
            return 0
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return 0
        if not data:
            self.close()
        elif self._take is not None:
            self._take(data)
        else:
            self._discarded += len(data)
            if self._discarded > _MOST_DISCARDED:
                self.close()
        return len(data)


class _LeftOpen(threading.local):
    """The pipes that were left, of the event loop of this thread, which keeps them."""

    def __init__(self) -> None:
        self._pipes: deque[weakref.ref[_Pipe]] = deque()

    def add(self, pipe: _Pipe) -> None:
        """Keep it open, and close the oldest if these are too many."""
        kept = [ref for ref in self._pipes if (old := ref()) is not None and not old.ended.done()]
        self._pipes = deque([*kept, weakref.ref(pipe)])
        if len(self._pipes) > _MOST_LEFT_OPEN and (oldest := self._pipes.popleft()()) is not None:
            oldest.close()


_left_open = _LeftOpen()


async def run(
    argv: list[str],
    *,
    env: Mapping[str, str],
    interactive: bool,
    time_limit: float,
    on_stderr: Callable[[bytes], None],
) -> Finished:
    """Run a plugin to its end, or end it.

    Args:
        argv: the executable, resolved, and its arguments.
        env: its whole environment.
        interactive: whether it reads our standard input, and shares our terminal.
        time_limit: seconds.
        on_stderr: is given its stderr, piece by piece.

    Raises:
        OSError: it could not be started.
        TimeoutError: it took too long.
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
            out.started()
            err.started()
        restore_descriptor_limit(process.pid)
        stack.pop_all()
    exited = _exit_of(process)
    over = False
    try:
        async with asyncio.timeout(time_limit):
            waited_for: list[asyncio.Future[None] | asyncio.Future[int]] = [out.ended, exited]
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                # It has closed its standard output, and is about to end; or it stays as an agent,
                # and has said what it has to say.
                await asyncio.wait([exited], timeout=GRACE if stdout else None)
        over = True
    finally:
        if not over:
            await _end(process, exited, os.getsid(0) if interactive else process.pid, out.inode)
        for pipe in (out, err):
            pipe.read_rest()
            pipe.leave()
    return Finished(code=exited.result() if exited.done() else 0, stdout=bytes(stdout))


def _exit_of(process: subprocess.Popen[bytes]) -> "asyncio.Future[int]":
    """The exit code, once there is one. The process is waited for even if nobody asks."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[int] = loop.create_future()

    def look() -> bool:
        code = process.poll()
        if code is not None and not exited.done():
            exited.set_result(code)
        return code is not None

    def look_again() -> None:
        if not look():
            loop.call_later(_LOOK_INTERVAL, look_again)

    if sys.platform == "linux":
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:  # an old kernel, or a sandbox
            look_again()
            return exited

        def on_exit() -> None:
            if look():
                loop.remove_reader(fd)
                os.close(fd)

        loop.add_reader(fd, on_exit)
    else:
        look_again()
    return exited


async def _end(
    process: subprocess.Popen[bytes], exited: "asyncio.Future[int]", session: int, stdout: int
) -> None:
    """Ask the plugin to end, then force it, and see it gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        parts = await asyncio.to_thread(lambda: list(_parts(session, stdout)))
        if exited.done() and not parts:
            return
        for pid in parts:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if not exited.done() and process.pid not in parts:
            process.send_signal(number)
        await asyncio.wait([exited], timeout=GRACE)


def _parts(session: int, stdout: int) -> Iterator[int]:
    """The processes at work for a plugin: those of its session that write to its standard output.

    Of a shell script, these are the programs it waits for, and ending the script alone would leave
    them behind at each attempt. A browser that it has opened writes elsewhere, as it must: what it
    says would be taken for the credential. Linux only; elsewhere there are none.
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
