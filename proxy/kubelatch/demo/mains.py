"""The main processes of containers, where their command is one that the demo has.

Such a container runs its command in the demo's shell: its output is its log, ``attach`` reaches its
input, and when it ends the container does. Containers with other commands count as running, and
have made-up logs.
"""

import asyncio
import bisect
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable

from .logs import Log
from .status import Object
from .streams.pipe import Pipe, Sink
from .streams.process import Container, Process, is_command
from .streams.sessions import cancel, run_process

_KEPT = 1000
"""Lines that a log reaches back."""
_LONGEST = 16 * 1024
"""Bytes of a line; a longer one is written as several."""


def command_of(container: Object) -> list[str]:
    """What a container runs, if the demo can run it: its command, or a shell if it has a stdin."""
    arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not arguments and container.get("stdin"):
        arguments = ["sh"]
    return arguments if arguments and is_command(arguments[0]) else []


class Main(Log):
    """One run of a container's command, and its log."""

    def __init__(self, container: str) -> None:
        super().__init__(container=container, started=dt.datetime.now(dt.UTC), interval=1.0)
        self.stdin = Pipe()
        self.code: int | None = None
        self._moments: list[dt.datetime] = []
        self._lines: list[bytes] = []
        self._dropped = 0
        self._rest = b""
        self._read = 0
        self._sinks: set[Sink] = set()
        self._changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Take output: for the log, and for those attached."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._keep(*lines)
        if len(self._rest) > _LONGEST:
            self._keep(self._rest)
            self._rest = b""
        for sink in list(self._sinks):
            try:
                await sink.write(data)
            except ConnectionError:
                self._sinks.discard(sink)

    def end(self, code: int) -> None:
        """The command has ended."""
        if self._rest:
            self._keep(self._rest)
        self.code = code
        self._changed.set()

    async def attach(self, stdin: Pipe, stdout: Sink, *, once: bool) -> None:
        """Lead a client's streams to the command, until it ends.

        With ``once``, the end of the client's input is the end of the command's, and what nobody
        has read in the log is shown first: ``kubectl run -i`` reads the log, then attaches.
        """
        unread = self._lines[max(0, self._read - self._dropped) :] if once else []
        self._sinks.add(stdout)
        for line in unread:
            await stdout.write(line + b"\n")
        typing = asyncio.create_task(self._type(stdin, once=once))
        try:
            while self.code is None:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._sinks.discard(stdout)
            await cancel(typing)

    def line(self, number: int, *, timestamps: bool) -> bytes:
        """Line ``number``, counted from the start of the container."""
        index = max(0, number - self._dropped)
        self._read = max(self._read, number + 1)
        moment = self._moments[index]
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() if timestamps else b""
        return stamp + self._lines[index] + b"\n"

    def count(self, at: dt.datetime) -> int:
        """How many lines there were at a moment."""
        return self._dropped + bisect.bisect_right(self._moments, at)

    async def written(self, number: int) -> bool:
        """Wait for line ``number``; whether it comes."""
        while number >= self._dropped + len(self._lines) and self.code is None:
            self._changed.clear()
            await self._changed.wait()
        return number < self._dropped + len(self._lines)

    async def _type(self, stdin: Pipe, *, once: bool) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data := await stdin.read():
                await self.stdin.write(data)
        if once:
            self.stdin.end()

    def _keep(self, *lines: bytes) -> None:
        now = dt.datetime.now(dt.UTC)
        self._lines += lines
        self._moments += [now] * len(lines)
        if (excess := len(self._lines) - _KEPT) > 0:
            self._dropped += excess
            del self._lines[:excess], self._moments[:excess]
        self._changed.set()


class Mains:
    """All of them.

    ``build`` gives the inside of a container and ``on_end`` is called when a command has ended;
    both are set by their owners.
    """

    build: Callable[[Object, str], Awaitable[Container]]
    on_end: Callable[[], None]

    def __init__(self) -> None:
        self._mains: dict[tuple[str, str], Main] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def find(self, pod: Object, container: str) -> Main | None:
        """The last run of a container's command, if it has one that can be run."""
        return self._mains.get((pod["metadata"]["uid"], container))

    def start(self, pod: Object, container: Object) -> None:
        """Run a container's command, if it has one that can be run."""
        if arguments := command_of(container):
            key = (pod["metadata"]["uid"], container["name"])
            main = self._mains[key] = Main(container["name"])
            self._tasks[key] = asyncio.create_task(self._run(pod, container, main, arguments))

    def stop(self, pod: Object) -> None:
        """End what a pod runs, and forget it."""
        for key in [key for key in self._mains if key[0] == pod["metadata"]["uid"]]:
            self._tasks.pop(key).cancel()
            self._mains.pop(key).end(137)

    async def close(self) -> None:
        """End everything."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, pod: Object, container: Object, main: Main, arguments: list[str]) -> None:
        inside = await self.build(pod, container["name"])
        if not container.get("stdin"):
            main.stdin.end()
        terminal = bool(container.get("tty"))
        process = Process(
            container=inside,
            arguments=arguments,
            stdin=main.stdin,
            stdout=main,
            stderr=main,
            terminal=terminal,
            environment=dict(inside.environment),
        )
        main.end(await run_process(process))
        self.on_end()
