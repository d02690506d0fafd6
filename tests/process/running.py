"""The command as a process: started, watched to its end, or stopped."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubelatch.errors import KubelatchError
from tests.support.leaks import checkout
from tests.support.proxies import serving

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "kubelatch")
KUBECTL = (str(Path(sys.executable).parent / "kubectl"), "proxy")
# What would keep a test that expects an end waiting is a hang, and fails by this.
LIMIT = 30.0


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that it had to say, without its end."""
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err[:-1]


async def run(
    *flags: str,
    command: tuple[str, ...] = COMMAND,
    stdin_open: bool = False,
    home: Path | str = "/nonexistent",
    **environ: str,
) -> Ended:
    """Run until it ends by itself; *stdin_open* gives it a pipe that never says anything."""
    process = await asyncio.create_subprocess_exec(
        *command,
        *flags,
        stdin=PIPE if stdin_open else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **checkout(), **environ},
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(LIMIT):
            # communicate() would close the pipe to stdin.
            out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if process.stdin is not None:
            process.stdin.close()
    return Ended(code, out.decode(), err.decode())


async def refused(*flags: str) -> Ended:
    """How the command ends that cannot start. In this process: that its errors are printed, in one
    line, and become its exit code holds for all of them, and test_start.py sees it of some."""
    with pytest.raises(KubelatchError) as caught:
        async with serving(*flags):
            pass
    return Ended(caught.value.exit_code, "", f"error: {caught.value}\n")


async def refused_by_both(*flags: str) -> tuple[Ended, Ended]:
    """How kubelatch ends, and how ``kubectl proxy`` does."""
    return await refused(*flags), await run(*flags, command=KUBECTL)
