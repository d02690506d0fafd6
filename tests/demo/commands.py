"""More commands for the demo's containers, which only tests need: much output, and its measure."""

import asyncio
import hashlib

from kubelatch.demo.streams.commands import read_input
from kubelatch.demo.streams.pipe import CHUNK
from kubelatch.demo.streams.process import Process, command


@command("yes")
async def yes(process: Process) -> int:
    """``yes``, for ever."""
    while True:
        await process.stdout.write(b"y\n" * (CHUNK // 2))
        await asyncio.sleep(0)


@command("wc")
async def wc(process: Process) -> int:
    """``wc -c``: the bytes of stdin."""
    count = 0
    async for data in read_input(process, "-"):
        count += len(data)
    await process.stdout.write(f"{count}\n".encode())
    return 0


@command("sha256sum")
async def sha256sum(process: Process) -> int:
    """The digest of stdin."""
    digest = hashlib.sha256()
    async for data in read_input(process, "-"):
        digest.update(data)
    await process.stdout.write(f"{digest.hexdigest()}  -\n".encode())
    return 0
