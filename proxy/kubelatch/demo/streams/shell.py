"""Runs commands in a container that does not exist.

Nothing here ever starts a process of the machine it runs on. There is a fixed set of commands, in
:mod:`.commands`, and a shell that combines them.
"""

import asyncio
import contextlib
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from .files import FileSystem
from .network import Network
from .pipe import CHUNK, Pipe, Sink
from .script import Command, Pipeline, ScriptError, Substitution, Variable, Word, parse

INTERRUPTED = 130
_BROKEN_PIPE = 141
SHELLS = ("sh", "bash", "ash")
_NOT_FOUND = 127
_MAX_OUTPUT = 128 * 1024
"""Bytes of a command's output that fit into a word, as Linux limits an argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """Where commands run."""

    hostname: str
    environment: Mapping[str, str]
    files: FileSystem
    network: Network | None = None


@dataclass(slots=True, kw_only=True)
class Process:
    """One running command: its words, its streams, and the state it shares with its shell."""

    container: Container
    arguments: list[str]
    stdin: Pipe
    stdout: Sink
    stderr: Sink
    terminal: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    foreground: asyncio.Task[int] | None = None

    @property
    def files(self) -> FileSystem:
        """The container's files."""
        return self.container.files

    def path(self, name: str) -> str:
        """An absolute, normal path; ``..`` stops at the root."""
        return posixpath.normpath("/" + posixpath.join(self.directory, name).lstrip("/"))

    async def complain(self, text: str) -> int:
        """Write to stderr; the exit code of failure."""
        await self.stderr.write(f"{self.arguments[0]}: {text}\n".encode())
        return 1


class Exit(Exception):  # noqa: N818 - not an error: the shell's way out
    """The shell ends."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


CommandFunction = Callable[[Process], Awaitable[int]]
COMMANDS: dict[str, CommandFunction] = {}
"""All there is to run, by name; filled by :mod:`.commands`."""


def command(*names: str) -> Callable[[CommandFunction], CommandFunction]:
    """Make a function a command."""

    def register(function: CommandFunction) -> CommandFunction:
        COMMANDS.update(dict.fromkeys(names, function))
        return function

    return register


def is_command(name: str) -> bool:
    """Whether there is such a command, named plainly or by a path in a ``bin``."""
    return _lookup(name) is not None


async def run(process: Process) -> int:
    """Run one command and give its exit code."""
    name = process.arguments[0]
    function = _lookup(name)
    if function is None:
        await process.stderr.write(f"sh: {name}: not found\n".encode())
        return _NOT_FOUND
    try:
        return await function(process)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        return await process.complain(f"{error.filename}: {error.strerror}")


@command(*SHELLS)
async def shell(process: Process) -> int:
    """``sh -c SCRIPT``, ``sh FILE``, or lines from stdin; with a prompt on a terminal."""
    arguments = process.arguments[1:]
    try:
        if arguments[:1] == ["-c"] and len(arguments) > 1:
            return await _script(process, arguments[1])
        scripts = [word for word in arguments if not word.startswith("-")]
        if scripts:
            text = process.files.read(process.path(scripts[0])).decode("utf-8", "replace")
            return await _script(process, text)
        return await _interactive(process)
    except Exit as end:
        return end.code


async def _interactive(process: Process) -> int:
    code = 0
    while True:
        if process.terminal:
            await process.stdout.write(f"{process.directory} # ".encode())
        line = await process.stdin.read_line()
        if not line:
            return code
        process.foreground = asyncio.create_task(_script(process, line.decode("utf-8", "replace")))
        try:
            code = await process.foreground
        except asyncio.CancelledError:
            if not process.foreground.cancelled() or _is_cancelling():
                process.foreground.cancel()
                raise
            code = INTERRUPTED
        finally:
            process.foreground = None
        process.environment["?"] = str(code)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _script(process: Process, text: str) -> int:
    """Run a script, pipeline by pipeline."""
    code = int(process.environment.get("?", "0"))
    try:
        pipelines = parse(text)
    except ScriptError as error:
        await process.stderr.write(f"sh: {error}\n".encode())
        return 2
    for pipeline in pipelines:
        skipped = {"&&": code != 0, "||": code == 0}.get(pipeline.operator, False)
        if not skipped:
            code = await _pipeline(process, pipeline)
            process.environment["?"] = str(code)
    return code


async def _pipeline(process: Process, pipeline: Pipeline) -> int:
    *before, last = pipeline.commands
    if not before:
        return await _one(process, last, process.stdin, process.stdout)
    source = process.stdin
    async with asyncio.TaskGroup() as group:
        for row in before:
            pipe = Pipe()
            group.create_task(_piped(process, row, source, pipe))
            source = pipe
        try:
            child = _child(process, [], source, process.stdout)
            return await _one(child, last, source, process.stdout)
        except Exit as end:
            return end.code
        except ConnectionError:
            return _BROKEN_PIPE
        finally:
            source.abandon()


async def _piped(process: Process, row: Command, source: Pipe, pipe: Pipe) -> None:
    """A command whose output is another's input; each runs in a shell of its own."""
    child = _child(process, [], source, pipe)
    try:
        with contextlib.suppress(Exit, ConnectionError):
            await _one(child, row, source, pipe)
    finally:
        pipe.end()
        if source is not process.stdin:
            source.abandon()


async def _one(process: Process, row: Command, stdin: Pipe, stdout: Sink) -> int:
    try:
        if row.input:
            data = process.files.read(process.path(await _fill(process, row.input)))
            stdin = Pipe()
            feeder = asyncio.create_task(_feed(stdin, data))
        else:
            feeder = None
        target = None
        if row.output:
            path = process.path(await _fill(process, row.output))
            target = _FileSink(process, path, append=row.append)
            stdout = target
    except OSError as error:
        await process.stderr.write(f"sh: {error.filename}: {error.strerror}\n".encode())
        return 1
    try:
        return await _builtin_or_run(process, row, stdin, stdout)
    finally:
        if feeder is not None:
            feeder.cancel()
        if target is not None:
            target.close()


async def _fill(process: Process, word: Word) -> str:
    """A word with its variables and commands filled in; an unset variable is empty."""
    texts = []
    for part in word:
        if isinstance(part, Variable):
            texts.append(process.environment.get(part.name, ""))
        elif isinstance(part, Substitution):
            texts.append(await _output(process, part.script))
        else:
            texts.append(part)
    return "".join(texts)


async def _output(process: Process, script: str) -> str:
    """What a script writes, run in a shell of its own, without the newlines at its end."""
    pipe, output = Pipe(), bytearray()
    child = _child(process, [], process.stdin, pipe)

    async def run_to_end() -> None:
        try:
            with contextlib.suppress(Exit):
                await _script(child, script)
        finally:
            pipe.end()

    async with asyncio.TaskGroup() as group:
        group.create_task(run_to_end())
        while data := await pipe.read():
            output += data
            if len(output) > _MAX_OUTPUT:
                pipe.abandon()
    return output.decode("utf-8", "replace").rstrip("\n")


async def _builtin_or_run(process: Process, row: Command, stdin: Pipe, stdout: Sink) -> int:
    words = [await _fill(process, word) for word in row.words]
    name, *arguments = words
    match name:
        case "exit":
            text = arguments[0] if arguments else process.environment.get("?", "0")
            raise Exit(int(text) & 255 if text.isdigit() else 2)
        case "cd":
            path = process.path(arguments[0] if arguments else "/root")
            if not process.files.is_directory(path):
                await process.stderr.write(f"sh: cd: can't cd to {path}\n".encode())
                return 2
            process.directory = process.environment["PWD"] = path
            return 0
        case "export":
            for word in arguments:
                key, _, value = word.partition("=")
                process.environment[key] = value
            return 0
        case _:
            child = _child(process, words, stdin, stdout)
            if row.merge_errors:
                child.stderr = stdout
            if row.to_errors:
                child.stdout = process.stderr
            return await _assign_or_run(process, child)


async def _assign_or_run(process: Process, child: Process) -> int:
    """``NAME=VALUE`` alone sets a variable of the shell; all else is run."""
    name, *arguments = child.arguments
    if "=" in name and name.partition("=")[0].isidentifier() and not arguments:
        key, _, value = name.partition("=")
        process.environment[key] = value
        return 0
    return await run(child)


def _child(process: Process, words: list[str], stdin: Pipe, stdout: Sink) -> Process:
    return Process(
        container=process.container,
        arguments=words,
        stdin=stdin,
        stdout=stdout,
        stderr=process.stderr,
        terminal=process.terminal and stdout is process.stdout,
        environment=dict(process.environment),
        directory=process.directory,
    )


def _lookup(name: str) -> CommandFunction | None:
    directory, base = posixpath.split(name)
    return COMMANDS.get(base) if directory in {"", "/bin", "/usr/bin", "/usr/local/bin"} else None


async def _feed(pipe: Pipe, data: bytes) -> None:
    for start in range(0, len(data), CHUNK):
        await pipe.write(data[start : start + CHUNK])
    pipe.end()


class _FileSink:
    """Output redirected to a file; the file is there from the start and full at the end."""

    def __init__(self, process: Process, path: str, *, append: bool) -> None:
        self._files = process.files
        self._path = path
        self._null = path == "/dev/null"
        self._data = bytearray()
        if append and path in self._files.walk("/"):
            self._data += self._files.read(path)
        self.close()

    async def write(self, data: bytes) -> None:
        if not self._null:
            self._files.check_room(len(self._data) + len(data), self._path)
            self._data += data

    def close(self) -> None:
        if not self._null:
            self._files.write(self._path, bytes(self._data))
