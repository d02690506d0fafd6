"""The shell: carries out what :mod:`.script` has read."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from .pipe import StreamPipe
from .process import Process, command, lookup
from .script import Node, ScriptError, Steps, Word, parse

INTERRUPTED = 130
_BROKEN_PIPE = 141
SHELLS = ("sh", "bash", "ash")
_NOT_FOUND = 127
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
_SUM = re.compile(r"\s*\$?(\w+)\s*(?:([-+*/%])\s*\$?(\w+))?\s*")
_MAX_OUTPUT = 128 * 1024
"""Bytes of a command's output that fit into a word, as Linux limits an argument."""


class _Leave(Exception):  # noqa: N818 - not an error: the way out of a shell or a loop
    """``exit``, ``break`` or ``continue``."""

    def __init__(self, how: str, code: int = 0) -> None:
        super().__init__(how)
        self.how = how
        self.code = code


async def run(process: Process) -> int:
    """Run one command and give its exit code."""
    name = process.arguments[0]
    function = lookup(name)
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
    except _Leave as end:
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
    try:
        steps = parse(text)
    except ScriptError as error:
        await process.stderr.write(f"sh: {error}\n".encode())
        return 2
    return await _steps(process, steps)


async def _steps(process: Process, steps: Steps) -> int:
    code = int(process.environment.get("?", "0"))
    for before, node in steps:
        if {"&&": code != 0, "||": code == 0}.get(before, False):
            continue
        code = await _node(process, node)
        process.environment["?"] = str(code)
    return code


async def _node(process: Process, node: Node) -> int:
    """Run a command with its redirections."""
    files: list[_FileSink] = []
    try:
        process = await _redirected(process, node, files)
        match node.kind:
            case "simple":
                return await _simple(process, node)
            case "|":
                return await _pipeline(process, node.nodes)
            case _:
                return await _loop(process, node)
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        await process.stderr.write(f"sh: {error.filename}: {error.strerror}\n".encode())
        return 1
    finally:
        for sink in files:
            sink.close()


async def _redirected(process: Process, node: Node, files: "list[_FileSink]") -> Process:
    for kind, word in node.redirections:
        if kind == "2>&1":
            process = replace(process, stderr=process.stdout)
        elif kind.endswith(">&2"):
            process = replace(process, stdout=process.stderr)
        elif kind == "<":
            data = process.files.read(process.path(" ".join(await _fields(process, word))))
            process = replace(process, stdin=StreamPipe.filled(data))
        else:
            path = process.path(" ".join(await _fields(process, word)))
            sink = _FileSink(process, path, append=kind.endswith(">>"))
            files.append(sink)
            errors = kind.startswith("2")
            process = replace(process, stderr=sink) if errors else replace(process, stdout=sink)
    return process


async def _pipeline(process: Process, nodes: list[Node]) -> int:
    source = process.stdin
    async with asyncio.TaskGroup() as group:
        for node in nodes[:-1]:
            pipe = StreamPipe()
            group.create_task(_piped(replace(process, stdin=source, stdout=pipe), node, pipe))
            source = pipe
        try:
            last = replace(process, stdin=source)
            return await _subshell(last, lambda child: _node(child, nodes[-1]))
        except ConnectionError:
            return _BROKEN_PIPE
        finally:
            source.abandon()


async def _piped(process: Process, node: Node, pipe: StreamPipe) -> None:
    """A command whose output is another's input."""
    try:
        with contextlib.suppress(ConnectionError):
            await _subshell(process, lambda child: _node(child, node))
    finally:
        pipe.end()
        process.stdin.abandon()


async def _subshell(process: Process, body: Callable[[Process], Awaitable[int]]) -> int:
    """Run something whose variables and directory are its own."""
    try:
        return await body(replace(process, environment=dict(process.environment)))
    except _Leave as end:
        return end.code


async def _loop(process: Process, node: Node) -> int:
    code, values = 0, []
    for word in node.words[1:]:
        values += await _fields(process, word)
    while True:
        if node.kind == "for":
            if not values:
                return code
            process.environment[str(node.words[0][0])] = values.pop(0)
        elif await _steps(process, node.bodies[0]):
            return code
        try:
            code = await _steps(process, node.bodies[-1])
        except _Leave as end:
            if end.how == "exit":
                raise
            if end.how == "break":
                return 0
        await asyncio.sleep(0)


async def _simple(process: Process, node: Node) -> int:
    words: list[str] = []
    assigned: dict[str, str] = {}
    for word in node.words:
        first = word[0]
        match = None if words or not isinstance(first, str) else _ASSIGNMENT.match(first)
        if match is not None and isinstance(first, str):
            texts = await _fields(process, (first[match.end() :], *word[1:]), split=False)
            assigned[match.group(1)] = "".join(texts)
        else:
            words += await _fields(process, word)
    if not words:
        process.environment |= assigned
        return 0
    name, *arguments = words
    match name:
        case "exit" | "break" | "continue":
            last = arguments[0] if arguments else process.environment.get("?", "0")
            raise _Leave(name, int(last) & 255 if last.isdigit() else 2)
        case "cd":
            path = process.path(arguments[0] if arguments else "/root")
            if not process.files.is_directory(path):
                await process.stderr.write(f"sh: cd: can't cd to {path}\n".encode())
                return 2
            process.environment["PWD"] = path
            return 0
        case "export":
            for text in arguments:
                key, _, value = text.partition("=")
                process.environment[key] = value or process.environment.get(key, "")
            return 0
        case _:
            environment = dict(process.environment) | assigned
            return await run(replace(process, arguments=words, environment=environment))


async def _fields(process: Process, word: Word, *, split: bool = True) -> list[str]:
    """A word with its variables and commands filled in, in as many words as that makes."""
    fields, found = [""], False
    for part in word:
        if isinstance(part, str):
            fields[-1] += part
            found = True
            continue
        if part.kind == "(":
            text = await _output(process, part.text)
        elif part.kind == "+":
            text = str(_arithmetic(part.text, process.environment))
        else:
            text = {"$": "1", "#": "0"}.get(part.text) or process.environment.get(part.text, "")
        if part.quoted or not split:
            fields[-1] += text
            found = True
        elif pieces := text.split():
            fields[-1] += pieces[0]
            fields += pieces[1:]
            found = True
    return fields if found else []


def _arithmetic(text: str, environment: Mapping[str, str]) -> int:
    """``$((A + B))`` of numbers and variables; anything else is 0."""
    match = _SUM.fullmatch(text)
    left, operator, right = match.groups() if match else ("0", None, None)
    numbers = [environment.get(name, name) for name in (left, right or "0")]
    one, other = (int(number) if number.isdigit() else 0 for number in numbers)
    if operator in {"/", "%"}:
        return (one // other if operator == "/" else one % other) if other else 0
    return {"+": one + other, "-": one - other, "*": one * other}.get(operator or "+", one)


async def _output(process: Process, script: str) -> str:
    """What a script writes, run in a shell of its own, without the newlines at its end."""
    pipe, output = StreamPipe(), bytearray()

    async def run_to_end() -> None:
        try:
            await _subshell(replace(process, stdout=pipe), lambda child: _script(child, script))
        finally:
            pipe.end()

    async with asyncio.TaskGroup() as group:
        group.create_task(run_to_end())
        while data := await pipe.read():
            output += data
            if len(output) > _MAX_OUTPUT:
                pipe.abandon()
    return output.decode("utf-8", "replace").rstrip("\n")


class _FileSink:
    """Output redirected to a file; the file is there from the start and full at the end."""

    def __init__(self, process: Process, path: str, *, append: bool) -> None:
        self._files = process.files
        self._path = path
        self._null = path == "/dev/null"
        self._data = bytearray()
        if append and self._files.is_there(path):
            self._data += self._files.read(path)
        self.close()

    async def write(self, data: bytes) -> None:
        if not self._null:
            self._files.check_room(len(self._data) + len(data), self._path)
            self._data += data

    def close(self) -> None:
        if not self._null:
            self._files.write(self._path, bytes(self._data))
