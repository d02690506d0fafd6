"""``tar``, as ``kubectl cp`` calls it: an archive to stdout, or from stdin into the files."""

import io
import posixpath
import tarfile

from .files import QUOTA
from .pipe import CHUNK
from .process import Process, command

_OVERHEAD = 16 * 1024 * 1024
"""Bytes of headers and padding allowed in an archive beside the quota for files."""


@command("tar")
async def tar(process: Process) -> int:
    """``tar cf - PATH``, or ``tar x[m]f - [-C DIR]``."""
    match process.arguments[1:]:
        case [letters, "-", *names] if letters.lstrip("-").startswith("c"):
            return await _create(process, names)
        case [letters, "-", *rest] if letters.lstrip("-").startswith("x"):
            return await _extract(process, rest[1] if rest[:1] == ["-C"] else ".")
        case _:
            return await process.complain("only cf - and xf - are known here")


async def _create(process: Process, names: list[str]) -> int:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name in names:
            top = process.path(name)
            for path in process.files.walk(top):
                data = process.files.find(path)
                member = tarfile.TarInfo((name + path[len(top) :]).lstrip("/"))
                member.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
                member.mode, member.size = 0o755, len(data or b"")
                archive.addfile(member, io.BytesIO(data or b""))
    content = buffer.getvalue()
    for start in range(0, len(content), CHUNK):
        await process.stdout.write(content[start : start + CHUNK])
    return 0


async def _extract(process: Process, directory: str) -> int:
    held = bytearray()
    while data := await process.stdin.read():
        held += data
        if len(held) > QUOTA + _OVERHEAD:
            return await process.complain("no space left on device")
    try:
        with tarfile.open(fileobj=io.BytesIO(held), mode="r:") as archive:
            for member in archive:
                path = process.path(posixpath.join(directory, member.name.lstrip("/")))
                content = archive.extractfile(member) if member.isfile() else None
                process.files.make_directory(path if member.isdir() else posixpath.dirname(path))
                if content is not None:
                    process.files.write(path, content.read())
    except tarfile.TarError as error:
        return await process.complain(f"this does not look like a tar archive: {error}")
    return 0
