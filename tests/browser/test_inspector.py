"""The inspector's page in a real Chromium."""

import asyncio
import importlib.util
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.observe.inspector.support import SECRET, Inspected, inspected, inspected_demo
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.proxies import client_of
from tests.support.upstream import Connection, Script, answering, ok

from .chromium import CHROMIUM, browser_at, site
from .devtools import Page, page_at

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.timeout(180),
]

JSON = "Content-Type: application/json"
ROWS = "[...document.querySelectorAll('#rows .row:not([hidden])')]"
# Where pictures for the documentation go; they are made, and kept only if this is set.
PICTURES = os.environ.get("KUBELATCH_PICTURES", "")


@asynccontextmanager
async def showing(proxy: Inspected) -> AsyncIterator[Page]:
    """The page, live."""
    async with page_at(f"http://{proxy.app.admin_name}/inspect/#{SECRET}") as page:
        await page.size(1300, 800)
        await page.until("document.querySelector('#state')?.textContent === 'live'")
        yield page
        assert page.problems == []
        own = f"http://{proxy.app.admin_name}/"
        assert [url for url in page.fetched if not url.startswith(own)] == []


async def rows(page: Page, count: int) -> list[str]:
    """The texts of the rows, once there are so many."""
    await page.until(f"{ROWS}.length === {count}")
    shown: list[str] = await page.js(f"{ROWS}.map((row) => row.innerText.replace(/\\n/g, ' '))")
    return shown


async def test_requests_are_found_by_filters_and_keys(tmp_path: Path, authority: Authority) -> None:
    body = json.dumps({"kind": "Pod", "metadata": {"name": "web", "labels": {"a": "b"}}}).encode()
    async with (
        inspected(tmp_path, authority, answering(ok(body, JSON))) as (proxy, upstream),
        showing(proxy) as page,
    ):
        assert await page.js("location.href") == f"http://{proxy.app.admin_name}/inspect/"
        assert SECRET not in await page.js("document.documentElement.outerHTML")
        await proxy.send("/api/v1/namespaces/shop/pods/web", "User-Agent: alice/1")
        await rows(page, 1)
        await proxy.send("/apis/apps/v1/namespaces/shop/deployments", "User-Agent: bob/2")
        await proxy.send("/api/v1/namespaces/dev/pods/x/exec?command=sh", "User-Agent: bob/2")
        shown = await rows(page, 3)
        assert "403" in shown[0]
        assert "deployments.apps" in shown[1]
        assert "shop/web" in shown[2]

        await page.press("/")
        for key in "deploy":
            await page.press(key)
        await rows(page, 1)
        await page.js("document.querySelector('#text').value = ''")
        await page.js("document.querySelector('#text').dispatchEvent(new Event('input'))")
        for name, value, count in (
            ("verb", "list", 1), ("resource", "pods", 1), ("namespace", "shop", 2),
            ("status", "4xx", 1),
        ):  # fmt: skip
            select = f"document.querySelector('#{name}')"
            await page.js(f"{select}.value = '{value}'")
            await page.js(f"{select}.dispatchEvent(new Event('change'))")
            await rows(page, count)
            await page.js(f"{select}.value = ''")
            await page.js(f"{select}.dispatchEvent(new Event('change'))")
        await rows(page, 3)

        await page.press("Escape")
        await page.js("document.querySelector('#list').focus()")
        for key in ("j", "j", "j", "k", "j", "Enter"):
            await page.press(key)
        detail = await page.until("document.querySelector('#detail:not([hidden])')?.innerText")
        assert "alice/1" in detail
        assert "Wait for the response" in detail
        assert '"web"' in detail
        await page.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        )
        await page.press("c")
        await page.until("document.querySelector('#toast').textContent === 'Copied as curl'")
        copied = await page.js("navigator.clipboard.readText()")
        process = await asyncio.create_subprocess_exec("sh", "-c", copied, stdout=-1)
        assert (await process.communicate())[0] == body
        await rows(page, 4)
        await page.press("r")
        await page.until("document.querySelector('#toast').textContent === 'Replayed: 200'")
        assert len(upstream.requests) == 4
        await page.until("document.querySelector('#detail').innerText.includes('Replay of')")
        await page.press("Escape")
        assert await page.js("document.querySelector('#detail').hidden")

        await page.press("p")
        await proxy.send("/api/v1/nodes")
        await page.until("document.querySelector('#state').textContent.includes('1 changes')")
        await rows(page, 5)
        await page.press("p")
        await rows(page, 6)
        await page.press("?")
        assert await page.js("document.querySelector('#help').open")
        await page.press("Escape")
        await page.press("x")
        await rows(page, 0)


async def test_a_watch_is_shown_live(tmp_path: Path, authority: Authority) -> None:
    more, go_on = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        head = f"HTTP/1.1 200 OK\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head.encode())
        event = b'{"type":"ADDED","object":{}}\n'
        for _ in range(3):
            await connection.send(b"%x\r\n%b\r\n" % (len(event), event))
        await more.wait()
        await connection.send(b"%x\r\n%b\r\n" % (len(event), event))
        await go_on.wait()
        await connection.send(b"0\r\n\r\n")

    async with (
        inspected(tmp_path, authority, script) as (proxy, _),
        showing(proxy) as page,
        client_of(proxy.app) as client,
    ):
        watch = asyncio.create_task(client.get("/api/v1/pods?watch=true"))
        await page.until(f"{ROWS}[0]?.innerText.includes('+3')")
        assert await page.js(f"{ROWS}[0].className") == "row running"
        await page.js(f"{ROWS}[0].click()")
        await page.until("document.querySelector('#detail').innerText.includes('3 ADDED')")
        # What is unfolded stays so while events come.
        curl = "document.querySelector('#detail details.command')"
        await page.js(f"{curl}.open = true")
        more.set()
        await page.until("document.querySelector('#detail').innerText.includes('4 ADDED')")
        assert await page.js(f"{curl}.open")
        lasted = await page.js(f"{ROWS}[0].querySelector('.duration').innerText")
        await page.until(f"{ROWS}[0].querySelector('.duration').innerText !== '{lasted}'")
        go_on.set()
        await watch
        await page.until(f"{ROWS}[0].className.trim() === 'row'")
        await page.until("document.querySelector('#detail').innerText.includes('Response')")
        await page.until("!document.querySelector('#detail').innerText.includes('under way')")
        assert await page.js(f"{curl}.open")


async def test_a_hot_loop_is_found_among_three_clients(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        inspected(tmp_path, authority, answering(ok())) as (proxy, _),
        showing(proxy) as page,
    ):
        await proxy.send("/api/v1/nodes", "User-Agent: quiet/1")
        await proxy.send("/api/v1/pods", "User-Agent: calm/1")
        async with client_of(proxy.app) as client:
            for _ in range(100):
                await client.get("/api/v1/namespaces/shop/configmaps", "User-Agent: looper/1")
        await page.js("document.querySelector('#tab-clients').click()")
        first = "document.querySelector('#clients tbody tr')"
        await page.until(f"{first}?.innerText.startsWith('looper/1')")
        await page.js(f"{first}.querySelector('button').click()")
        shown = await page.until(f"{ROWS}.length > 5 && {ROWS}.map((row) => row.innerText)")
        assert all("configmaps" in row for row in shown)


async def test_hostile_names_and_bodies_stay_text(tmp_path: Path, authority: Authority) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202eevil\u2066\x1b[31m"
    bodies: list[bytes] = [
        json.dumps({"kind": evil, evil: {"metadata": {"name": evil}}}).encode(),
        b'{"a": "\xff\xfe"}',
        b'"' + b"x" * 10_000_000 + b'"',
        b'{"__proto__": {"polluted": 1}, "constructor": 1}',
    ]
    script: Script = answering(
        *(ok(body, JSON, "Audit-Id: <script>alert(3)</script>") for body in bodies)
    )
    async with (
        inspected(tmp_path, authority, script) as (proxy, _),
        showing(proxy) as page,
    ):
        async with await Client.connect(proxy.app.name) as client:
            for body in bodies:
                await client.send(
                    "GET /api/v1/namespaces/%3Cscript%3E/pods/\u202e<b>x HTTP/1.1\r\n"
                    f"Host: localhost\r\nUser-Agent: {evil[:-5]}\r\n\r\n".encode()
                )
                answer = await client.answer()
                assert answer.body == body
        await rows(page, 4)
        await page.js("document.querySelector('#list').focus()")
        for _ in bodies:
            await page.press("j")
            await page.press("Enter")
            await page.until("!document.querySelector('#detail').hidden")
        await page.until("document.querySelector('#detail').innerText.includes('<script>')")
        assert (
            await page.js("document.querySelectorAll('main img, main script, main b').length") == 0
        )
        assert await page.js("/[\\u202e\\u2066\\x1b]/.test(document.body.innerText)") is False
        assert await page.js("({}).polluted") is None


_THIEF = """<body><script>
const seen = {};
async function attempt(name, what) {
  try { seen[name] = await what(); } catch (error) { seen[name] = 'failed'; }
}
(async () => {
  const base = '%s/inspect/', secret = {headers: {Authorization: 'Bearer %s'}};
  await attempt('list', async () => (await fetch(base + 'requests', secret)).status);
  await attempt('plain', async () => (await fetch(base + 'requests')).status);
  await attempt('page', async () => (await fetch(base)).status);
  await attempt('blind', async () => (await fetch(base, {mode: 'no-cors'})).type);
  await attempt('module', () => import(base + 'main.js').then(() => 'loaded'));
  await attempt('frame', () => new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.src = base;
    frame.onload = () => {
      try { resolve(frame.contentDocument ? 'read' : 'opaque'); } catch { resolve('opaque'); }
    };
    document.body.append(frame);
  }));
  await attempt('popup', async () => {
    const popup = open(base + '#' + 'x'.repeat(20));
    await new Promise((resolve) => setTimeout(resolve, 500));
    try { return popup.document.body.innerText ? 'read' : 'empty'; } catch { return 'opaque'; }
  });
  await fetch('/report', {method: 'POST', body: JSON.stringify(seen)});
})();
</script></body>"""


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.test"])
async def test_pages_of_other_origins_read_nothing(
    tmp_path: Path, authority: Authority, host: str
) -> None:
    pages: dict[str, str] = {}
    async with (
        inspected(tmp_path, authority, answering(ok())) as (proxy, _),
        site(pages) as evil,
    ):
        pages["/"] = _THIEF % (f"http://{proxy.app.admin_name}", SECRET)
        url = f"http://{host}:{evil.address[1]}/"
        async with browser_at(url, evil_test="127.0.0.1"):
            seen = await asyncio.wait_for(evil.reports.get(), 60)
    assert seen.pop("popup") in {"failed", "empty", "opaque"}
    assert seen.pop("frame") == "opaque"
    assert seen.pop("blind") in {"opaque", "failed"}
    assert seen == dict.fromkeys(("list", "plain", "page", "module"), "failed")


async def test_many_rows_come_fast_and_only_those_in_sight_exist(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        inspected(tmp_path, authority, answering(ok(b"{}", JSON))) as (proxy, _),
        showing(proxy) as page,
    ):
        await page.js(
            "window.frames_ = 0; (function count() { window.frames_ += 1;"
            " requestAnimationFrame(count); })()"
        )
        async with client_of(proxy.app) as client:
            for at in range(1000):
                await client.get(f"/api/v1/namespaces/shop/pods/p{at}")
                await asyncio.sleep(0.004)
        shown = "Number(document.querySelector('#list').getAttribute('aria-rowcount')) - 1"
        kept = len(await proxy.requests(200))
        await page.until(f"{shown} >= {min(kept, 1000)}")
        frames = await page.js("window.frames_")
        count = await page.js("document.querySelectorAll('#rows .row').length")
        print(f"{kept} rows, {frames} frames, {count} elements")  # noqa: T201
        assert frames > 0
        assert count < 80


async def test_axe_finds_nothing(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no axe-core: pip install --no-deps axe-playwright-python")
    axe = Path(spec.submodule_search_locations[0], "axe.min.js").read_text()
    async with inspected_demo(tmp_path) as proxy, showing(proxy) as page:
        await traffic(proxy)
        await page.until(f"{ROWS}.length > 3")
        for dark in (False, True):
            await page.size(1300, 800, dark=dark)
            await check(page, axe)
            await page.js("document.querySelector('#list').focus()")
            await page.press("j")
            await page.press("Enter")
            await page.until("document.body.classList.contains('opened')")
            await check(page, axe)
            await page.press("Escape")
            await page.press("?")
            await check(page, axe)
            await page.press("Escape")
            await page.js("document.querySelector('#tab-resources').click()")
            await page.until("!!document.querySelector('#resources tbody tr')")
            await check(page, axe)
            await page.js("document.querySelector('#tab-requests').click()")


async def check(page: Page, axe: str) -> None:
    await page.js(f"window.axe ? 0 : (() => {{ {axe}; return 0; }})()")
    found: list[dict[str, Any]] = (await page.js("axe.run()"))["violations"]
    told = [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]
    assert told == []


async def traffic(proxy: Inspected) -> None:
    """What a cluster's user does."""
    for target, agent in (
        ("/api/v1/namespaces/shop/pods", "kubectl/v1.37.1 (linux/amd64)"),
        ("/apis/apps/v1/namespaces/shop/deployments", "kubectl/v1.37.1 (linux/amd64)"),
        ("/api/v1/namespaces/shop/secrets/db", "dashboard/2.1"),
        ("/api/v1/namespaces/shop/configmaps/none", "controller/0.4"),
        ("/api/v1/namespaces/shop/pods/web/exec?command=sh", "agent/1"),
        ("/version", "curl/8.5.0"),
    ):
        await proxy.send(target, f"User-Agent: {agent}")


async def test_pictures_for_the_documentation(tmp_path: Path) -> None:
    async with (
        inspected_demo(tmp_path) as proxy,
        showing(proxy) as page,
        client_of(proxy.app) as client,
    ):
        agent = "User-Agent: controller/0.4"
        watch = asyncio.create_task(client.get("/api/v1/pods?watch=true", agent))
        await traffic(proxy)
        await page.until(f"{ROWS}.length === 7")
        for width, dark in ((1300, False), (900, True)):
            await page.size(width, 560, dark=dark)
            wide = "document.querySelector('#list').scrollWidth"
            assert await page.js(f"{wide} <= document.querySelector('#list').clientWidth")
            pick = f"{ROWS}.find((row) => row.innerText.includes('deployments'))"
            await page.js(f"{pick}.click()")
            await page.until(
                "document.querySelector('#detail').innerText.includes('audit')"
                " || document.querySelector('#detail').innerText.includes('Audit')"
            )
            picture = await page.picture()
            assert picture.startswith(b"\x89PNG")
            if PICTURES:
                name = "inspector-dark.png" if dark else "inspector.png"
                Path(PICTURES, name).write_bytes(picture)
            await page.press("Escape")
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def test_the_browser_gets_a_code_and_no_secret(tmp_path: Path) -> None:
    async with inspected_demo(tmp_path) as proxy:
        url = proxy.app.inspector_url_for_browser()
        assert SECRET not in url
        async with page_at(url) as page:
            await page.until("document.querySelector('#state').textContent === 'live'")
            assert await page.js("location.hash") == ""
        # The code was for one.
        async with page_at(url) as page:
            await page.until("document.querySelector('#login').open")
            await page.js(f"document.querySelector('#secret').value = '{SECRET}'")
            await page.js("document.querySelector('#login-form button').click()")
            await page.until("document.querySelector('#state').textContent === 'live'")
