"""The main processes of containers.

A container whose command is one that the demo has runs it in the demo's shell: its output is its
log, ``attach`` reaches its input, and when it ends the container does. Containers with other
commands run for ever, and log requests that nobody made.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable

from .logs import Log
from .status import Object
from .streams.pipe import Sink, StreamPipe
from .streams.process import Container, Process, is_command
from .streams.sessions import cancel, run_process

_LONGEST = 16 * 1024
"""Bytes of a line; a longer one is written as several."""
_REQUESTS = ('"GET /" 200', '"GET /cart" 200', '"POST /cart" 201', '"GET /favicon.ico" 404')


def command_of(container: Object) -> list[str]:
    """What a container runs, if the demo can run it: its command, or a shell if it has a stdin."""
    arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not arguments and container.get("stdin"):
        arguments = ["sh"]
    return arguments if arguments and is_command(arguments[0]) else []


class Main(Log):
    """One run of a container's command, and its log."""

    def __init__(self) -> None:
        super().__init__()
        self.stdin = StreamPipe()
        self.code: int | None = None
        self._rest = b""
        self._sinks: set[Sink] = set()

    async def write(self, data: bytes) -> None:
        """Take output: for the log, and for those attached."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        self.append(*lines)
        for sink in list(self._sinks):
            try:
                await sink.write(data)
            except ConnectionError:
                self._sinks.discard(sink)

    def finish(self, code: int) -> None:
        """The command has ended."""
        if self._rest:
            self.append(self._rest)
        self.code = code
        self.end()

    async def attach(self, stdin: StreamPipe, stdout: Sink, *, once: bool) -> None:
        """Lead a client's streams to the command, until it ends.

        With ``once``, the end of the client's input is the end of the command's, and what nobody
        has read in the log is shown first: ``kubectl run -i`` reads the log, then attaches.
        """
        unread = [self.line(number) for number in range(self.read, self.count())] if once else []
        self._sinks.add(stdout)
        typing = asyncio.create_task(self._type(stdin, once=once))
        try:
            await stdout.write(b"".join(unread))
            while self.code is None:
                await self.changed()
        finally:
            self._sinks.discard(stdout)
            await cancel(typing)

    async def _type(self, stdin: StreamPipe, *, once: bool) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data := await stdin.read():
                await self.stdin.write(data)
        if once:
            self.stdin.end()


class Mains:
    """All of them.

    ``build`` gives the inside of a container and ``on_end`` is called when a command has ended;
    both are set by their owners.

    Args:
        interval: seconds between two made-up lines.
    """

    build: Callable[[Object, Object], Awaitable[Container]]
    on_end: Callable[[], None]

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._mains: dict[tuple[str, str], Main] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def find(self, pod: Object, container: str) -> Main | None:
        """The last run of a container, if it has been started."""
        return self._mains.get((pod["metadata"]["uid"], container))

    def start(self, pod: Object, container: Object) -> None:
        """Run a container."""
        key = (pod["metadata"]["uid"], container["name"])
        main = self._mains[key] = Main()
        arguments = command_of(container)
        running = self._run(pod, container, main, arguments) if arguments else self._serve(*key)
        self._tasks[key] = asyncio.create_task(running)

    def stop(self, pod: Object) -> None:
        """End what a pod runs, and forget it."""
        for key in [key for key in self._mains if key[0] == pod["metadata"]["uid"]]:
            self._tasks.pop(key).cancel()
            self._mains.pop(key).finish(137)

    async def close(self) -> None:
        """End everything."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, uid: str, name: str) -> None:
        """An application that is only known by its log."""
        main = self._mains[uid, name]
        await main.write(f"{name}: started\n".encode())
        for number, request in enumerate(itertools.cycle(_REQUESTS), start=1):
            await asyncio.sleep(self._interval)
            await main.write(f"{name}: request {number} {request}\n".encode())

    async def _run(self, pod: Object, container: Object, main: Main, arguments: list[str]) -> None:
        inside = await self.build(pod, container)
        if not container.get("stdin"):
            main.stdin.end()
        process = Process(
            container=inside,
            arguments=arguments,
            stdin=main.stdin,
            stdout=main,
            stderr=main,
            terminal=bool(container.get("tty")),
            environment=dict(inside.environment),
        )
        main.finish(await run_process(process))
        self.on_end()
