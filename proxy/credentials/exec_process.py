"""Running an exec plugin's process: one run, bounded in time and output, leaving nothing behind.

The plugin gets a session of its own, so that what it starts can be ended with it, except when
it may use the terminal, which belongs to ours. Its stderr goes to the user as it comes, and the
end of it is kept for the error. Works alike on asyncio's loop and on uvloop.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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


class _Collector(asyncio.SubprocessProtocol):
    """Gathers stdout, hands stderr on, and knows when it is all over."""

    def __init__(self, relay: Callable[[bytes], None]) -> None:
        self.stdout = bytearray()
        self.tail = bytearray()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._relay = relay

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            if len(self.stdout) <= STDOUT_LIMIT:
                self.stdout += data
        else:
            self._relay(data)
            self.tail += data
            del self.tail[:-TAIL_SIZE]

    def connection_lost(self, _exc: Exception | None) -> None:
        """Called once the process has ended and both pipes are closed."""
        if not self.over.done():
            self.over.set_result(None)


async def run(
    argv: list[str],
    *,
    env: Mapping[str, str],
    interactive: bool,
    time_limit: float,
    relay: Callable[[bytes], None],
) -> Finished:
    """Run a plugin to its end, or end it.

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
    transport, collector = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Collector(relay),
        *argv,
        stdin=None if interactive else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        start_new_session=not interactive,
    )
    try:
        async with asyncio.timeout(time_limit):
            await asyncio.shield(collector.over)
    finally:
        if not collector.over.done():
            await _end(transport, collector, whole_session=not interactive)
        transport.close()
    return Finished(
        code=transport.get_returncode() or 0,
        stdout=bytes(collector.stdout),
        stderr_tail=bytes(collector.tail),
    )


async def _end(
    transport: asyncio.SubprocessTransport, collector: _Collector, *, whole_session: bool
) -> None:
    """Ask, then force; and close our ends of pipes that some grandchild may keep open."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            if whole_session:
                os.killpg(transport.get_pid(), number)
            else:
                transport.send_signal(number)
        except (ProcessLookupError, PermissionError):
            break
        await asyncio.wait([collector.over], timeout=GRACE)
        if collector.over.done():
            return
    transport.close()
    await asyncio.wait([collector.over], timeout=GRACE)
