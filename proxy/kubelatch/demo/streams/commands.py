"""The commands of a container, each as much of the real one as a demo or a test needs."""

import asyncio
import datetime as dt
import hashlib
import math
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
        data = process.files.read(process.path(name))
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options and operands."""
    options = [word for word in arguments if word.startswith("-") and word != "-"]
    return options, [word for word in arguments if word not in options]


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
    words = process.arguments[1:]
    end = "\n"
    if words[:1] == ["-n"]:
        words, end = words[1:], ""
    await process.stdout.write((" ".join(words) + end).encode())
    return 0


@command("cat")
async def cat(process: Process) -> int:
    """``cat [FILE...]``."""
    _, names = _split(process.arguments[1:])
    for name in names or ["-"]:
        async for data in read_input(process, name):
            await process.stdout.write(data)
    return 0


@command("tee")
async def tee(process: Process) -> int:
    """``tee FILE...``."""
    _, names = _split(process.arguments[1:])
    held = bytearray()
    while data := await process.stdin.read():
        process.files.check_room(len(held) + len(data), names[0] if names else "")
        held += data
        await process.stdout.write(data)
    for name in names:
        process.files.write(process.path(name), bytes(held))
    return 0


@command("ls")
async def ls(process: Process) -> int:
    """``ls [-la] [PATH...]``."""
    options, names = _split(process.arguments[1:])
    for name in names or ["."]:
        path = process.path(name)
        if process.files.is_directory(path):
            rows = [(child, posixpath.join(path, child)) for child in process.files.children(path)]
        else:
            process.files.find(path)
            rows = [(name, path)]
        for label, full in rows:
            line = _long(process, full, label) if "l" in "".join(options) else label
            await process.stdout.write(f"{line}\n".encode())
    return 0


def _long(process: Process, path: str, label: str) -> str:
    entry = process.files.find(path)
    kind = stat.S_IFDIR if entry.data is None else stat.S_IFREG
    moment = dt.datetime.fromtimestamp(entry.modified, dt.UTC).strftime("%b %e %H:%M")
    size = len(entry.data or b"")
    return f"{stat.filemode(kind | entry.mode)} 1 root root {size:>8} {moment} {label}"


@command("env", "printenv")
async def env(process: Process) -> int:
    """All variables, or one."""
    names = process.arguments[1:]
    shown = {key: value for key, value in process.environment.items() if key != "?"}
    if names:
        if names[0] not in shown:
            return 1
        await process.stdout.write(f"{shown[names[0]]}\n".encode())
        return 0
    lines = "".join(f"{key}={value}\n" for key, value in shown.items())
    await process.stdout.write(lines.encode())
    return 0


@command("sleep")
async def sleep(process: Process) -> int:
    """``sleep SECONDS``."""
    text = process.arguments[1] if len(process.arguments) > 1 else ""
    if text == "infinity":
        await asyncio.Event().wait()
    if not text.replace(".", "", 1).isdigit():
        return await process.complain(f"invalid number '{text}'")
    await asyncio.sleep(float(text))
    return 0


@command("seq")
async def seq(process: Process) -> int:
    """``seq LAST``."""
    last = _number(process.arguments[-1])
    for number in range(1, int(last or 0) + 1):
        await process.stdout.write(f"{number}\n".encode())
    return 0


@command("yes")
async def yes(process: Process) -> int:
    """``yes [WORD]``, for ever."""
    word = " ".join(process.arguments[1:]) or "y"
    line = f"{word}\n".encode()
    block = line * max(1, CHUNK // len(line))
    while True:
        await process.stdout.write(block)
        await asyncio.sleep(0)


@command("head")
async def head(process: Process) -> int:
    """``head [-c BYTES | -n LINES] [FILE]``."""
    unit, count, name = _extent(process.arguments[1:])
    if count is None:
        return await process.complain("invalid number")
    left = count
    async for data in read_input(process, name):
        if unit == "c":
            part = data[:left]
            left -= len(part)
        else:
            lines = data.splitlines(keepends=True)[:left]
            part = b"".join(lines)
            left -= sum(line.endswith(b"\n") for line in lines)
        await process.stdout.write(part)
        if left <= 0:
            break
    return 0


@command("tail")
async def tail(process: Process) -> int:
    """``tail [-c [+]BYTES | -n LINES] [FILE]``; ``+N`` counts from the start."""
    arguments = process.arguments[1:]
    from_start = any("+" in word for word in arguments)
    unit, count, name = _extent([word.replace("+", "") for word in arguments])
    if count is None:
        return await process.complain("invalid number")
    if from_start and unit == "c":
        skip = max(0, count - 1)
        async for data in read_input(process, name):
            await process.stdout.write(data[skip:])
            skip = max(0, skip - len(data))
        return 0
    held = b""
    async for data in read_input(process, name):
        held += data
        if unit == "c":
            held = held[-count:] if count else b""
        else:
            held = b"".join(held.splitlines(keepends=True)[-count:]) if count else b""
    await process.stdout.write(held)
    return 0


@command("wc")
async def wc(process: Process) -> int:
    """``wc [-c] [-l] [FILE]``."""
    options, names = _split(process.arguments[1:])
    size = lines = words = 0
    inside = False
    counts_words = not options
    async for data in read_input(process, names[0] if names else "-"):
        size += len(data)
        lines += data.count(b"\n")
        if counts_words:
            words += len(data.split()) - int(inside and not data[:1].isspace())
            inside = not data[-1:].isspace()
    shown = {"-c": [size], "-l": [lines]}.get("".join(options), [lines, words, size])
    label = f" {names[0]}" if names else ""
    await process.stdout.write((" ".join(str(n) for n in shown) + label + "\n").encode())
    return 0


@command("sha256sum")
async def sha256sum(process: Process) -> int:
    """``sha256sum [FILE]``."""
    name = process.arguments[1] if len(process.arguments) > 1 else "-"
    digest = hashlib.sha256()
    async for data in read_input(process, name):
        digest.update(data)
    await process.stdout.write(f"{digest.hexdigest()}  {name}\n".encode())
    return 0


@command("mkdir")
async def mkdir(process: Process) -> int:
    """``mkdir [-p] PATH...``; parents are made in any case."""
    _, names = _split(process.arguments[1:])
    for name in names:
        process.files.make_directory(process.path(name))
    return 0


@command("rm")
async def rm(process: Process) -> int:
    """``rm [-rf] PATH...``."""
    options, names = _split(process.arguments[1:])
    flags = "".join(options)
    for name in names:
        path = process.path(name)
        if process.files.is_directory(path) and "r" not in flags:
            return await process.complain(f"'{name}' is a directory")
        try:
            process.files.remove(path)
        except FileNotFoundError:
            if "f" not in flags:
                raise
    return 0


@command("touch")
async def touch(process: Process) -> int:
    """``touch FILE...``."""
    for name in process.arguments[1:]:
        path = process.path(name)
        known = path in process.files.walk("/")
        process.files.write(path, process.files.read(path) if known else b"")
    return 0


@command("test", "[")
async def test(process: Process) -> int:
    """``test`` of files, of text, and of numbers."""
    match [word for word in process.arguments[1:] if word != "]"]:
        case ["-d", name]:
            return int(not process.files.is_directory(process.path(name)))
        case ["-e" | "-f" as kind, name]:
            path = process.path(name)
            known = path in process.files.walk("/")
            return int(not known or (kind == "-f" and process.files.is_directory(path)))
        case ["-n" | "-z" as kind, text]:
            return int(bool(text) is (kind == "-z"))
        case [left, "=" | "==" | "!=" as operator, right]:
            return int((left == right) is (operator == "!="))
        case [left, operator, right] if operator in _COMPARISONS and left.isdigit():
            return int(not _COMPARISONS[operator](int(left), int(right) if right.isdigit() else 0))
        case _:
            await process.complain("unknown test")
            return 2


def _extent(arguments: list[str]) -> tuple[str, int | None, str]:
    """Unit, count and input of ``head`` and ``tail``."""
    unit, count, name = "n", "10", "-"
    words = iter(arguments)
    for word in words:
        if word[:2] in {"-c", "-n"}:
            unit, count = word[1], word[2:] or next(words, "")
        elif word[:1] == "-" and word[1:].isdigit():
            count = word[1:]
        else:
            name = word
    return unit, _number(count), name


def _number(text: str) -> int | None:
    """A count, with the suffixes k, M and G."""
    factors = {"k": 1024, "K": 1024, "M": 1024**2, "G": 1024**3}
    digits, factor = (text[:-1], factors[text[-1]]) if text[-1:] in factors else (text, 1)
    if not (digits.isascii() and digits.isdigit()):
        return None
    return math.prod((int(digits), factor))
