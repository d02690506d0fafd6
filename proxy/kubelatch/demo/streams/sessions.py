"""What runs at the far end of exec and attach, whatever the wire.

A session gets three streams and gives a Status; the wires below turn that into channels or SPDY
streams.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from .. import status
from ..status import Object
from . import commands, curl, tar
from .pipe import Sink, StreamPipe
from .process import Container, Process, is_command
from .shell import INTERRUPTED, SHELLS, run
from .terminal import Terminal

PROGRAMS = (commands, curl, tar)
"""The modules that fill the table of commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The three streams of a session; those not asked for lead nowhere."""

    stdin: StreamPipe
    stdout: Sink
    stderr: Sink


class Attachable(Protocol):
    """What a client can attach to."""

    async def attach(self, stdin: StreamPipe, stdout: Sink, *, once: bool) -> None:
        """Lead a client's streams to it, until it ends."""


Session = Callable[[Streams], Coroutine[Any, Any, Object]]
"""Runs to its end and gives the Status to report."""


def exec_session(container: Container, arguments: list[str], *, terminal: bool) -> Session:
    """Run one command."""

    async def session(streams: Streams) -> Object:
        if not is_command(arguments[0]):
            return status.internal(
                "error executing command in container: failed to exec in container: "
                f'exec: "{arguments[0]}": executable file not found in $PATH'
            ).body()
        process = Process(
            container=container,
            arguments=arguments,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            terminal=terminal,
            environment=dict(container.environment),
        )
        code = await run_process(process)
        return exit_status(code)

    return session


def attach_session(main: Attachable, *, once: bool) -> Session:
    """Attach to a container's main process; ``once`` as :class:`Attachable` has it."""

    async def session(streams: Streams) -> Object:
        await main.attach(streams.stdin, streams.stdout, once=once)
        return status.success()

    return session


def exit_status(code: int) -> Object:
    """The Status that carries an exit code (KEP-4006, v4 and v5 of the protocol)."""
    if code == 0:
        return status.success()
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def race(
    main: Coroutine[Any, Any, Object], reader: Coroutine[Any, Any, None]
) -> Object | None:
    """The result of ``main``, or None when ``reader`` sees the client leave before that."""
    running, reading = asyncio.create_task(main), asyncio.create_task(reader)
    try:
        await asyncio.wait({running, reading}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            with contextlib.suppress(ConnectionError):
                return running.result()
        return None
    finally:
        await cancel(running)
        await cancel(reading)


async def cancel(task: asyncio.Task[Any]) -> None:
    """End a task and wait for its end. That its connection was lost is no news by then."""
    task.cancel()
    await asyncio.wait({task})
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ConnectionError):
        raise error


async def run_process(process: Process) -> int:
    """Run a command to its end, on a terminal if it has one, and give its exit code."""
    return await (_on_terminal(process) if process.terminal else run(process))


async def _on_terminal(process: Process) -> int:
    raw, screen = process.stdin, process.stdout
    running: asyncio.Task[int]

    def interrupt() -> None:
        """^C: the shell's foreground command, or the command itself if it is no shell."""
        if process.foreground is not None:
            process.foreground.cancel()
        elif process.arguments[0] not in SHELLS:
            running.cancel()

    terminal = Terminal(raw, screen, interrupt)
    process.stdin, process.stdout, process.stderr = terminal.stdin, terminal, terminal
    typing = asyncio.create_task(terminal.run())
    running = asyncio.create_task(run(process))
    try:
        return await running
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return INTERRUPTED
    finally:
        await cancel(running)
        await cancel(typing)
