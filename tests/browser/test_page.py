"""The page at the root, as a real browser shows it."""

import asyncio
import tempfile

import pytest

from kubelatch import Proxy

from .chromium import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.timeout(120),
]


async def test_a_browser_shows_the_page_with_its_style() -> None:
    async with Proxy(demo=True) as proxy:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            process = await asyncio.create_subprocess_exec(
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={profile}",
                "--enable-logging=stderr",
                "--dump-dom",
                f"{proxy.url}/",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
    shown = out.decode()
    assert "<h1>demo</h1>" in shown
    assert '<a href="/api/v1/pods">' in shown
    assert "Content Security Policy" not in err.decode(errors="replace")
