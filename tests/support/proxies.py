"""Proxies to test: inside the test's own loop, or as a process of their own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubelatch.app import App
from kubelatch.config import settings

from .client import Client
from .kubeconfig import write
from .leaks import complaints, strict


@asynccontextmanager
async def proxy_in_loop(directory: Path, config: dict[str, Any], *flags: str) -> AsyncIterator[App]:
    """A proxy in this event loop, on a free port; real sockets on both sides."""
    path = write(directory / "kubeconfig", config)
    async with serving(f"--kubeconfig={path}", "--port=0", *flags) as app:
        yield app


@asynccontextmanager
async def serving(*flags: str) -> AsyncIterator[App]:
    """A proxy of these flags in this event loop.

    Raises:
        KubelatchError: what the command would print, which then exits by its ``exit_code``.
    """
    app = App(settings.from_values(settings.parse(flags, {})), {})
    try:
        await app.start()
        yield app
    finally:
        await app.stop()


@asynccontextmanager
async def client_of(app: App) -> AsyncIterator[Client]:
    """A raw connection to a proxy in this loop."""
    client = await Client.connect(app.name)
    async with client:
        yield client


class ProxyProcess:
    """A started command: its address, and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address
        self.stdout = b""
        self.stderr = b""

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def finish(self) -> int:
        """Wait for its end, keep what it printed, and return its exit code."""
        out, err = await self.process.communicate()
        self.stdout += out or b""
        self.stderr += err or b""
        return self.process.returncode or 0


@asynccontextmanager
async def proxy_process(
    *flags: str, environ: Mapping[str, str] | None = None, command: tuple[str, ...] = ()
) -> AsyncIterator[ProxyProcess]:
    """``python -m kubelatch FLAGS`` as a process, once it has printed its start line.

    The environment holds PATH and an empty HOME only, besides *environ*. At its end it may have
    said nothing that tells of a leak or an uncaught fault.
    """
    argv = command or (sys.executable, "-m", "kubelatch")
    process = await asyncio.create_subprocess_exec(
        *argv,
        *flags,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            **strict(),
            **(environ or {}),
        },
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    if not line.startswith("Starting to serve on "):
        _, stderr = await process.communicate()
        msg = f"did not start: {line!r} {stderr.decode()!r}"
        raise AssertionError(msg)
    running = ProxyProcess(process, line.removeprefix("Starting to serve on ").strip())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
            await running.finish()
    found = complaints(running.stderr.decode(errors="replace"))
    assert found == [], running.stderr.decode(errors="replace")
