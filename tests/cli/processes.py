"""Runs the command as a process, against a scripted upstream."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

from tests.support.leaks import checkout
from tests.support.upstream import ScriptedUpstream

ROOT = Path(__file__).parents[2]
Config = Callable[[ScriptedUpstream], str]
"""Writes a kubeconfig for an upstream, and returns the flag for it."""


async def start(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubelatch", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **checkout(), **environ},
        cwd=ROOT,
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def kubelatch(*arguments: str, **environ: str) -> tuple[int, str, str]:
    return await finish(await start(*arguments, **environ))
