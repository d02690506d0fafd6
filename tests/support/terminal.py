"""The command at a terminal of its own."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pyte

from .leaks import checkout

ROOT = Path(__file__).parents[2]
ROWS = 40

# Runs in the new session: takes the terminal, then becomes the command, or leaves it in the
# background as a shell would, or gives it other streams than the terminal.
_LOGIN = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "background":
    job = os.fork()
    if job:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(job, signal.SIGTERM))
        os.waitpid(job, 0)
        os._exit(0)
    os.setpgid(0, 0)
if sys.argv[1] == "redirected":
    nowhere = os.open("/dev/null", os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 2)
os.execv(sys.executable, [sys.executable, "-m", "kubelatch", *sys.argv[2:]])
"""


class Terminal:
    """A terminal, with the command's standard input and error, and what was shown on it.

    Standard output is a pipe, unless the terminal has it as well (``whole``).
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        master: int,
        reader: asyncio.StreamReader,
        transport: asyncio.BaseTransport,
    ) -> None:
        self.process = process
        self.shown = ""
        self._master = master
        self._reader = reader
        self._transport = transport
        self._slave = -1
        self._screen = pyte.Screen(80, ROWS)
        self._stream = pyte.Stream(self._screen)

    @classmethod
    async def start(
        cls,
        *arguments: str,
        background: bool = False,
        redirected: bool = False,
        whole: bool = False,
        environ: Mapping[str, str] | None = None,
        columns: int = 80,
    ) -> "Terminal":
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        place = "background" if background else "redirected" if redirected else "foreground"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _LOGIN, place, *arguments),
            stdin=slave,
            stdout=slave if whole else asyncio.subprocess.PIPE,
            stderr=slave,
            start_new_session=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "TERM": "xterm",
                **checkout(),
                **(environ or {}),
            },
            cwd=ROOT,
        )
        if not redirected:
            os.close(slave)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb", 0)
        )
        terminal = cls(process, master, reader, transport)
        terminal._screen = pyte.Screen(columns, ROWS)
        terminal._stream = pyte.Stream(terminal._screen)
        # A window's shell has it open as well; without anybody it would be closed.
        terminal._slave = slave if redirected else -1
        return terminal

    def close(self) -> None:
        """Close the window: the kernel hangs up."""
        self._transport.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    async def _read(self) -> bool:
        try:
            data = await self._reader.read(65536)
        except OSError:  # how Linux says that nobody has the terminal any more
            return False
        text = data.decode()
        self._stream.feed(text)
        self.shown += text.replace("\r\n", "\n")
        return bool(data)

    @property
    def screen(self) -> list[str]:
        """The rows of the screen as a person sees them, without the empty ones at its end."""
        return "\n".join(row.rstrip() for row in self._screen.display).rstrip().split("\n")

    async def until(self, pattern: str) -> str:
        """Read what is shown until it matches."""
        async with asyncio.timeout(20):
            while not re.search(pattern, self.shown):
                assert await self._read(), self.shown
        return self.shown

    async def line(self) -> str:
        """A line of standard output."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()

    async def end(self) -> int:
        """Read what is shown until the command has ended; its exit code."""
        self._let_go()
        async with asyncio.timeout(20):
            while await self._read():
                pass
            if self.process.stdout is not None:
                await self.process.stdout.read()
            return await self.process.wait()
