"""Requests that wait for an answer, on the inspector's page in a real Chromium."""

import asyncio
import importlib.util
import json
from pathlib import Path

import pytest

from kubelatch.redact import printable
from tests.observe.inspector.support import Inspected, inspected, inspected_demo
from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.upstream import answering, ok

from .chromium import CHROMIUM
from .devtools import Page
from .test_inspector import JSON, check, showing

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.timeout(180),
]

PODS = "/api/v1/namespaces/shop/pods"
MAPS = "/api/v1/namespaces/shop/configmaps"
CARDS = "[...document.querySelectorAll('#pending > ul > li')]"
TITLES = f"{CARDS}.map((card) => card.querySelector('.summary').textContent)"
ASK = ("--read-only", "--ask")


def sending(
    proxy: Inspected, method: str, target: str, body: bytes = b"{}"
) -> "asyncio.Task[Answer]":
    return asyncio.create_task(proxy.send(target, JSON, method=method, body=body))


async def cards(page: Page, count: int) -> list[str]:
    """The titles of what waits, once that much does."""
    await page.until(f"{CARDS}.length === {count}")
    titles: list[str] = await page.js(TITLES)
    return titles


async def done(page: Page, sent: "asyncio.Task[Answer]") -> Answer:
    """The response to a request that has been answered."""
    finished, _ = await asyncio.wait([sent], timeout=30)
    assert finished, await page.js("document.querySelector('main').innerText")
    return sent.result()


async def settled(page: Page) -> None:
    """An answer counts only some time after something above it has gone."""
    await page.js("new Promise((resolve) => setTimeout(resolve, 800))")


async def test_what_waits_is_answered_by_keys_and_clicks(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        inspected(tmp_path, authority, answering(ok()), *ASK) as (proxy, upstream),
        showing(proxy) as page,
    ):
        assert await page.js("document.querySelector('#pending').hidden")
        first = sending(proxy, "DELETE", f"{PODS}/a")
        assert await cards(page, 1) == ['delete pods "a" in namespace "shop"']
        second = sending(proxy, "DELETE", f"{PODS}/b")
        await cards(page, 2)
        third = sending(proxy, "DELETE", f"{PODS}/c")
        fourth = sending(proxy, "DELETE", f"{PODS}/d")
        assert [title.split('"')[1] for title in await cards(page, 4)] == ["a", "b", "c", "d"]
        assert await page.js("document.title") == "(4) Requests - kubelatch"
        await page.press("a")
        await page.press("n")
        await page.until(f"!{CARDS}[0].querySelector('.waiting').hidden")
        assert upstream.requests == []
        await page.press("a")
        assert (await done(page, first)).status == 200
        await cards(page, 3)
        # The next one has come under the pointer, and is not what was meant.
        await page.js(f"{CARDS}[0].querySelector('.summary').click()")
        await page.js(f"{CARDS}[0].querySelector('.approve').click()")
        await page.until("document.querySelector('#toast').textContent.includes('look again')")
        assert len(upstream.requests) == 1
        await settled(page)
        await page.press("d")
        for key in ("n", "o", "Enter"):
            await page.press(key)
        denied = await done(page, second)
        assert (denied.status, b"denied: no" in denied.body) == (403, True)
        await cards(page, 2)
        await settled(page)
        for at in range(2):
            await page.js(f"{CARDS}[{at}].querySelector('[type=checkbox]').click()")
        await page.js("document.querySelector('#pending > .bar > button:not([hidden])').click()")
        assert [(await done(page, each)).status for each in (third, fourth)] == [200, 200]
        await page.until("document.querySelector('#pending').hidden")
        assert await page.js("document.title") == "Requests - kubelatch"
        assert len(upstream.requests) == 3
        listed = await proxy.requests(4)
        assert [each.get("answered_by") for each in listed] == ["page"] * 4


async def test_what_would_change_is_asked_for_on_the_page(tmp_path: Path) -> None:
    async with inspected_demo(tmp_path, *ASK) as proxy, showing(proxy) as page:
        new = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "m"},
            "data": {"a": "1"},
        }
        sent = sending(proxy, "POST", MAPS, json.dumps(new).encode())
        await cards(page, 1)
        await page.press("n")
        await page.until("document.querySelector('.waiting .body')?.innerText.includes('\"m\"')")
        assert await page.js("document.querySelector('.diff')") is None
        await page.press("f")
        text = await page.until("document.querySelector('.diff')?.innerText")
        assert "+  name: m" in text
        assert (await proxy.send(f"{MAPS}/m")).status == 404
        await page.press("a")
        assert (await done(page, sent)).status == 201


async def test_a_request_that_is_withdrawn_leaves_nothing_to_approve(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        inspected(tmp_path, authority, answering(ok()), *ASK) as (proxy, upstream),
        showing(proxy) as page,
    ):
        async with await Client.connect(proxy.app.name) as client:
            await client.send(f"DELETE {PODS}/a HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await cards(page, 1)
            await page.press("n")
        await page.until("document.querySelector('#pending').hidden")
        await page.press("a")
        assert upstream.requests == []


async def test_hostile_requests_mislead_nobody(tmp_path: Path, authority: Authority) -> None:
    evil = "<img src=x onerror=alert(1)>\u202etxt\u2066\x1b[31m" + "y" * 5000
    body = {"spec": {"containers": [{"image": evil}]}, evil: {"privileged": True}}
    async with (
        inspected(tmp_path, authority, answering(ok()), *ASK) as (proxy, upstream),
        showing(proxy) as page,
    ):
        path = f"{PODS}/%3Cscript%3Ealert(2)%3C%2Fscript%3E%E2%80%AEx"
        sent = sending(proxy, "PUT", path, json.dumps(body).encode())
        (title,) = await cards(page, 1)
        assert "<script>" in title
        assert printable("\u202e") in title
        await page.press("n")
        await page.until(
            "document.querySelector('.waiting .body')?.innerText.includes('containers')"
        )
        assert await page.js("document.querySelectorAll('main img, main script').length") == 0
        assert await page.js("/[\\u202e\\u2066\\x1b]/.test(document.body.innerText)") is False
        risks = await page.js("document.querySelector('.risks').innerText")
        assert f"...({len(evil)})" in risks
        assert "spec.containers[0].image" in risks
        await page.press("d")
        await page.press("Enter")
        assert (await done(page, sent)).status == 403
        assert upstream.requests == []


async def test_axe_finds_nothing_in_what_waits(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no axe-core: pip install --no-deps axe-playwright-python")
    axe = Path(spec.submodule_search_locations[0], "axe.min.js").read_text()
    async with inspected_demo(tmp_path, *ASK) as proxy, showing(proxy) as page:
        body = b'{"spec":{"hostNetwork":true}}'
        sent = [sending(proxy, "DELETE", f"{PODS}/{name}", body) for name in "ab"]
        await cards(page, 2)
        await page.press("n")
        await page.press("f")
        await page.until("document.querySelector('.change').childNodes.length > 0")
        for dark in (False, True):
            await page.size(1300, 800, dark=dark)
            await check(page, axe)
        for task in sent:
            task.cancel()
