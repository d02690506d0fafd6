"""Running an exec plugin's process: one run, bounded in time and output, leaving nothing behind.

The plugin gets a session of its own, so that what it starts can be ended with it, except when
it may use the terminal, which belongs to ours. Its stderr goes to the user as it comes, and the
end of it is kept for the error.

The process is started by :mod:`subprocess` itself, which closes every other descriptor in the
child. uvloop's own way leaves the child with copies of its pipes, and whoever inherits such a
copy keeps us waiting for an end of output that never comes.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO

from ..descriptors import restore_limit

STDOUT_LIMIT = 4 * 1024 * 1024
TAIL_SIZE = 2048
GRACE = 2.0
"""Seconds between asking a plugin to end and ending it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A plugin's run. A negative code is the signal that ended it."""

    code: int
    stdout: bytes = field(repr=False)
    stderr_tail: bytes = field(repr=False)


class _Pipe:
    """Our end of one of the plugin's outputs, read as the loop sees it readable."""

    def __init__(self, stream: IO[bytes] | None, take: Callable[[bytes], None]) -> None:
        if stream is None:
            raise ValueError("the process was started without this pipe")
        self._stream = stream
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(stream.fileno(), False)
        self._loop.add_reader(stream.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._stream.fileno(), 65536)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self.close()

    def close(self) -> None:
        """Stop reading. May be repeated."""
        if not self._stream.closed:
            self._loop.remove_reader(self._stream.fileno())
            self._stream.close()
        if not self.ended.done():
            self.ended.set_result(None)


class _Heard:
    """What the plugin said: the beginning of stdout, the end of stderr."""

    def __init__(self, relay: Callable[[bytes], None]) -> None:
        self.stdout = bytearray()
        self.tail = bytearray()
        self._relay = relay

    def on_stdout(self, data: bytes) -> None:
        if len(self.stdout) <= STDOUT_LIMIT:
            self.stdout += data

    def on_stderr(self, data: bytes) -> None:
        self._relay(data)
        self.tail += data
        del self.tail[:-TAIL_SIZE]


async def run(
    argv: list[str],
    *,
    env: Mapping[str, str],
    interactive: bool,
    time_limit: float,
    relay: Callable[[bytes], None],
) -> Finished:
    """Run a plugin to its end, or end it. It has ended when its outputs have, as in Go.

    Args:
        argv: the executable, resolved, and its arguments.
        env: its whole environment.
        interactive: whether it reads our standard input, and shares our terminal.
        time_limit: seconds.
        relay: is given its stderr, piece by piece.

    Raises:
        OSError: it could not be started.
        TimeoutError: it took too long.
    """
    process = subprocess.Popen(  # noqa: ASYNC220  # forks and returns; a loop does the same
        argv,
        stdin=None if interactive else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        start_new_session=not interactive,
    )
    restore_limit(process.pid)
    heard = _Heard(relay)
    pipes = _Pipe(process.stdout, heard.on_stdout), _Pipe(process.stderr, heard.on_stderr)
    over = False
    try:
        async with asyncio.timeout(time_limit):
            await asyncio.wait([pipe.ended for pipe in pipes])
            await asyncio.to_thread(process.wait)
        over = True
    finally:
        for pipe in pipes:
            pipe.close()
        if not over:
            await _end(process, whole_session=not interactive)
    return Finished(
        code=process.returncode, stdout=bytes(heard.stdout), stderr_tail=bytes(heard.tail)
    )


async def _end(process: subprocess.Popen[bytes], *, whole_session: bool) -> None:
    """Ask, then force, and see the process gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Others of the session may outlive its leader, so the second signal is sent in any case.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if whole_session:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await asyncio.to_thread(process.wait)
