"""A real browser on a hostile page, and what it could do."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""

# Without these, a fresh Chromium spends its first seconds on calling home.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class Site:
    """A web site whose pages report what their scripts saw.

    Args:
        pages: HTML by path.
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = pages
        self._runner: web.ServerRunner | None = None
        self.address = ("", 0)
        self.reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True)
        await site.start()
        self.address = self._runner.addresses[0]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/report":
            self.reports.put_nowait(json.loads(await request.text()))
            return web.Response(headers={"Access-Control-Allow-Origin": "*"})
        page = self._pages.get(request.path)
        if page is None:
            return web.Response(status=404)
        return web.Response(text=page, content_type="text/html")


@asynccontextmanager
async def site(pages: Mapping[str, str], host: str = "127.0.0.1") -> AsyncIterator[Site]:
    """A running :class:`Site`."""
    running = Site(pages)
    await running.start(host)
    try:
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def browser_at(url: str, *flags: str, **names: str) -> AsyncIterator[None]:
    """Chromium showing *url*; *names* (dots as underscores) resolve to the given addresses."""
    rules = ",".join(f"MAP {name.replace('_', '.')} {address}" for name, address in names.items())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            f"--host-resolver-rules={rules}",
            url,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
