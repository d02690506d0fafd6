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


async def dumped(url: str) -> tuple[str, str]:
    """The document that a browser makes of a page, and what it complains of."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            "--dump-dom",
            url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    return out.decode(), err.decode(errors="replace")


async def test_a_browser_shows_the_page_with_its_style() -> None:
    async with Proxy(demo=True) as proxy:
        shown, complaints = await dumped(f"{proxy.url}/")
    assert "<h1>demo</h1>" in shown
    assert '<a href="/api/v1/pods">' in shown
    assert "Content Security Policy" not in complaints


async def test_a_browser_shows_the_contexts_and_no_page_of_an_application_below_them() -> None:
    page = "/clusters/demo-token/api/v1/namespaces/shop/services/web/proxy/"
    async with Proxy(demo=True, contexts=("all",), write_contexts=("all",)) as proxy:
        shown, complaints = await dumped(f"{proxy.url}/clusters/")
        refused, _ = await dumped(f"{proxy.url}{page}")
    assert '<a href="/clusters/demo-viewer/">' in shown
    assert "Content Security Policy" not in complaints
    assert "a page of a proxied application is not shown below /clusters/" in refused
