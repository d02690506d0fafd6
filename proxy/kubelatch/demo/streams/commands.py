"""The commands of a container, each as much of the real one as a demo or a test needs."""

import asyncio
import datetime as dt
import operator
import posixpath
import stat
from collections.abc import AsyncIterator, Callable

from .pipe import CHUNK
from .process import COMMANDS, Process, command

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-lt": operator.lt,
    "-le": operator.le,
    "-gt": operator.gt,
    "-ge": operator.ge,
}
_ZEROS = bytes(CHUNK)


async def read_input(process: Process, name: str) -> AsyncIterator[bytes]:
    """The content of a named input: a file, a device, or ``-`` for stdin."""
    if name == "-":
        while data := await process.stdin.read():
            yield data
    elif name == "/dev/zero":
        while True:
            yield _ZEROS
            await asyncio.sleep(0)
    elif name != "/dev/null":
        yield process.files.read(process.path(name))


def _constant(name: str, text: Callable[[Process], str], code: int = 0) -> None:
    """A command that prints a line and nothing more."""

    async def run(process: Process) -> int:
        if line := text(process):
            await process.stdout.write(f"{line}\n".encode())
        return code

    command(name)(run)


_constant("true", lambda _: "")
_constant(":", lambda _: "")
_constant("false", lambda _: "", 1)
_constant("hostname", lambda process: process.container.hostname)
_constant("date", lambda _: f"{dt.datetime.now(dt.UTC):%a %b %e %H:%M:%S UTC %Y}")
_constant("pwd", lambda process: process.directory)
_constant("whoami", lambda _: "root")
_constant("id", lambda _: "uid=0(root) gid=0(root) groups=0(root)")
_constant("uname", lambda process: f"Linux {process.container.hostname} 6.12.0 demo x86_64")
_constant(
    "help",
    lambda _: f"This is a demo: no container runs here. Commands: {' '.join(sorted(COMMANDS))}",
)


@command("echo")
async def echo(process: Process) -> int:
    """``echo [-n] WORD...``."""
    arguments = process.arguments[1:]
    bare = arguments[:1] == ["-n"]
    await process.stdout.write((" ".join(arguments[bare:]) + "\n" * (not bare)).encode())
    return 0


@command("cat")
async def cat(process: Process) -> int:
    """``cat [FILE...]``."""
    for name in process.arguments[1:] or ["-"]:
        async for data in read_input(process, name):
            await process.stdout.write(data)
    return 0


@command("ls")
async def ls(process: Process) -> int:
    """``ls [-la] [PATH...]``."""
    options = "".join(word for word in process.arguments[1:] if word.startswith("-"))
    for name in [w for w in process.arguments[1:] if not w.startswith("-")] or ["."]:
        path = process.path(name)
        rows = [(name, path)]
        if process.files.is_directory(path):
            rows = [(child, posixpath.join(path, child)) for child in process.files.children(path)]
        for label, full in rows:
            entry = process.files.find(full)
            kind = stat.S_IFDIR if entry is None else stat.S_IFREG
            size = len(entry or b"")
            line = f"{stat.filemode(kind | 0o644)} 1 root root {size:>8} {label}"
            await process.stdout.write(f"{line if 'l' in options else label}\n".encode())
    return 0


@command("rm")
async def rm(process: Process) -> int:
    """``rm [-rf] PATH...``; directories too."""
    for name in process.arguments[1:]:
        if not name.startswith("-"):
            process.files.remove(process.path(name))
    return 0


@command("env", "printenv")
async def env(process: Process) -> int:
    """All variables, or one."""
    names = process.arguments[1:]
    shown = {key: value for key, value in process.environment.items() if key != "?"}
    lines = [f"{key}={value}" for key, value in shown.items()]
    if names:
        lines = [shown[name] for name in names[:1] if name in shown]
    await process.stdout.write("".join(f"{line}\n" for line in lines).encode())
    return int(not lines)


@command("sleep")
async def sleep(process: Process) -> int:
    """``sleep SECONDS``, or ``sleep infinity``."""
    text = process.arguments[1] if len(process.arguments) > 1 else ""
    if text == "infinity":
        await asyncio.Event().wait()
    if not text.replace(".", "", 1).isdigit():
        return await process.complain(f"invalid number '{text}'")
    await asyncio.sleep(float(text))
    return 0


@command("head")
async def head(process: Process) -> int:
    """``head [-c BYTES | -n LINES] [FILE]``."""
    match process.arguments[1:]:
        case ["-c" | "-n" as unit, count, *names] if count.isdigit():
            left = int(count)
        case ["-c" | "-n", *_]:
            return await process.complain("invalid number")
        case names:
            unit, left = "-n", 10
    async for data in read_input(process, names[0] if names else "-"):
        part = data[:left] if unit == "-c" else b"".join(data.splitlines(keepends=True)[:left])
        left -= len(part) if unit == "-c" else part.count(b"\n")
        await process.stdout.write(part)
        if left <= 0:
            break
    return 0


@command("test", "[")
async def test(process: Process) -> int:
    """``test`` of files, of text, and of numbers."""
    match [word for word in process.arguments[1:] if word != "]"]:
        case ["-d", name]:
            return int(not process.files.is_directory(process.path(name)))
        case ["-e" | "-f", name]:
            return int(not process.files.is_there(process.path(name)))
        case ["-n" | "-z" as kind, text]:
            return int(bool(text) is (kind == "-z"))
        case [left, "=" | "==" | "!=" as kind, right]:
            return int((left == right) is (kind == "!="))
        case [left, kind, right] if kind in _COMPARISONS and left.isdigit() and right.isdigit():
            return int(not _COMPARISONS[kind](int(left), int(right)))
        case _:
            await process.complain("unknown test")
            return 2
