"""``tar``, for ``kubectl cp``: an archive to stdout, or from stdin into the container's files."""

import io
import posixpath
import tarfile
from dataclasses import dataclass, field

from .files import QUOTA, Entry
from .pipe import CHUNK
from .process import Process, command

_OVERHEAD = 16 * 1024 * 1024
"""Bytes of headers and padding allowed in an archive beside the quota for files."""
_FAILED = 2


@dataclass(slots=True, kw_only=True)
class _Options:
    create: bool = False
    extract: bool = False
    show: bool = False
    directory: str = "."
    names: list[str] = field(default_factory=list)


@command("tar")
async def tar(process: Process) -> int:
    """``tar cf - PATH...``, ``tar x[m]f - [-C DIR]``, ``tar tf -``."""
    options = _options(process.arguments[1:])
    if options is None or not (options.create or options.extract or options.show):
        await process.complain("only c, x and t with -f - are known here")
        return _FAILED
    if options.create:
        return await _create(process, options)
    return await _extract(process, options)


def _options(arguments: list[str]) -> _Options | None:
    options = _Options()
    words = iter(arguments)
    first = True
    for word in words:
        if word in {"--no-same-owner", "--no-same-permissions", "--"}:
            continue
        if word in {"-C", "--directory"}:
            options.directory = next(words, ".")
        elif first or (word.startswith("-") and len(word) > 1):
            letters = word.lstrip("-")
            if not set(letters) <= set("cxtfmvpo"):
                return None
            options.create |= "c" in letters
            options.extract |= "x" in letters
            options.show |= "t" in letters
            if "f" in letters and next(words, "") != "-":
                return None
        else:
            options.names.append(word)
        first = False
    return options


async def _create(process: Process, options: _Options) -> int:
    base = process.path(options.directory)
    for name in options.names:
        top = process.path(posixpath.join(base, name))
        if name.startswith("/"):
            await process.stderr.write(b"tar: removing leading '/' from member names\n")
        for path in process.files.walk(top):
            member = (name.rstrip("/") + path[len(top) :]).lstrip("/")
            await _write_member(process, member or ".", process.files.find(path))
    await process.stdout.write(bytes(2 * tarfile.BLOCKSIZE))
    return 0


async def _write_member(process: Process, name: str, entry: Entry) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = entry.mode, int(entry.modified)
    info.uname = info.gname = "root"
    data = entry.data
    if data is None:
        info.type = tarfile.DIRTYPE
        await process.stdout.write(info.tobuf(tarfile.GNU_FORMAT))
        return
    info.size = len(data)
    await process.stdout.write(info.tobuf(tarfile.GNU_FORMAT))
    for start in range(0, len(data), CHUNK):
        await process.stdout.write(data[start : start + CHUNK])
    await process.stdout.write(bytes(-len(data) % tarfile.BLOCKSIZE))


async def _extract(process: Process, options: _Options) -> int:
    held = bytearray()
    while data := await process.stdin.read():
        held += data
        if len(held) > QUOTA + _OVERHEAD:
            await process.complain("no space left on device")
            return _FAILED
    try:
        with tarfile.open(fileobj=io.BytesIO(held), mode="r:") as archive:
            for member in archive:
                if options.show:
                    await process.stdout.write(f"{member.name}\n".encode())
                else:
                    _unpack(process, archive, member, options.directory)
    except tarfile.TarError as error:
        await process.complain(f"this does not look like a tar archive: {error}")
        return _FAILED
    return 0


def _unpack(
    process: Process, archive: tarfile.TarFile, member: tarfile.TarInfo, directory: str
) -> None:
    path = process.path(posixpath.join(directory, member.name.lstrip("/")))
    if member.isdir():
        process.files.make_directory(path)
        return
    content = archive.extractfile(member) if member.isfile() else None
    if content is not None:
        process.files.make_directory(posixpath.dirname(path))
        process.files.write(path, content.read(), mode=member.mode)
