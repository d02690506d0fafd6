"""Applications by host name in a real browser: one that uses all that an origin has, and one that
attacks it, the API and the admin address."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.certificates import Authority
from tests.support.cluster import Cluster, application, cluster
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop

from .chromium import CHROMIUM
from .devtools import Page, page_at

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.timeout(120),
]

_ATTEMPT = """
const seen = {};
async function attempt(name, what) {
  try { seen[name] = await what(); } catch (error) { seen[name] = 'failed: ' + error.name; }
}
function socket(url) {
  return new Promise((resolve) => {
    const ws = new WebSocket(url);
    ws.onopen = () => ws.send('hello');
    ws.onmessage = (event) => resolve(event.data);
    ws.onerror = () => resolve('refused');
  });
}
"""

_HOME = (
    "<!doctype html><title>home</title><script>"
    + _ATTEMPT
    + """
(async () => {
  await attempt('relative', async () => (await fetch('/api/v1/pods')).text());
  await attempt('encoded', async () => (await fetch('/echo//a%2Fb?x=%2F')).text());
  await attempt('authorization', async () => (
    await fetch('/authorization', {headers: {Authorization: 'Bearer mine'}})).text());
  await attempt('socket', () => socket('ws://' + location.host + '/chat?room=1'));
  await attempt('events', () => new Promise((resolve, reject) => {
    const events = new EventSource('/events'), got = [];
    events.onmessage = (event) => {
      got.push(event.data);
      if (got.length === 2) { events.close(); resolve(got); }
    };
    events.onerror = reject;
  }));
  await attempt('upload', async () => (
    await fetch('/upload', {method: 'POST', body: new Uint8Array(3000000)})).text());
  await attempt('denied', async () => (await fetch('/denied')).status);
  await attempt('worker', async () => {
    await navigator.serviceWorker.register('/static/sw.js', {scope: '/'});
    await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller)
      await new Promise((done) => { navigator.serviceWorker.oncontrollerchange = done; });
    return (await fetch('/by-the-worker')).text();
  });
  localStorage.kept = 'yes';
  document.title = JSON.stringify(seen);
})();
</script>"""
)
_WORKER = """
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(clients.claim()));
self.addEventListener('fetch', (event) => {
  if (event.request.url.endsWith('/by-the-worker'))
    event.respondWith(new Response('the worker'));
});
"""


class Shop:
    """An application that uses what an origin has."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/favicon.ico":
            self.seen.append(f"{request.method} {request.raw_path}")
        match request.raw_path.partition("?")[0]:
            case "/":
                # Absolute, as frameworks make it from Host.
                location = f"http://{request.headers['Host']}/login"
                response = web.Response(status=302, headers={"Location": location})
                response.set_cookie("session", "s1", samesite="Strict", httponly=True)
                return response
            case "/login":
                assert request.cookies["session"] == "s1"
                return web.Response(status=303, headers={"Location": "/home"})
            case "/home":
                return web.Response(text=_HOME, content_type="text/html")
            case "/static/sw.js":
                fields = {"Service-Worker-Allowed": "/", "Content-Type": "text/javascript"}
                return web.Response(text=_WORKER, headers=fields)
            case "/chat":
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                async for message in socket:
                    await socket.send_str(f"{request.query_string} {message.data}")
                return socket
            case "/events":
                stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
                await stream.prepare(request)
                for number in range(2):
                    await stream.write(b"data: %d\n\n" % number)
                return stream
            case "/upload":
                size = 0
                while data := await request.content.readany():
                    size += len(data)
                return web.Response(text=str(size))
            case "/authorization":
                return web.Response(text=request.headers["Authorization"])
            case "/denied":
                return web.Response(status=401)
            case _:
                pass
        return web.Response(text=f"{request.raw_path} {request.cookies.get('session')}")


_EVIL = (
    "<!doctype html><title>evil</title><body><script>"
    + _ATTEMPT
    + """
function element(tag, attribute, url) {
  return new Promise((resolve) => {
    const node = document.createElement(tag);
    node.onload = () => resolve('loaded');
    node.onerror = () => resolve('error');
    node[attribute] = url;
    document.body.append(node);
  });
}
function form(url, method) {
  const frame = document.createElement('iframe');
  frame.name = 'frame' + url + method;
  const node = document.createElement('form');
  Object.assign(node, {action: url, method, target: frame.name, enctype: 'text/plain'});
  document.body.append(frame, node);
  return new Promise((resolve) => { frame.onload = () => resolve('sent'); node.submit(); });
}
(async () => {
  document.cookie = 'planted=1; domain=localhost; path=/';
  seen.cookies = document.cookie;
  for (const at of TARGETS) {
    await attempt(at + ' fetch', async () => (await fetch(at + '/x')).status);
    await attempt(at + ' blind', async () => (await fetch(at + '/x', {mode: 'no-cors',
      credentials: 'include'})).type);
    await attempt(at + ' post', () => fetch(at + '/x', {method: 'POST', mode: 'no-cors',
      credentials: 'include', body: 'x'}));
    await attempt(at + ' delete', () => fetch(at + '/x', {method: 'DELETE'}));
    await attempt(at + ' socket', () => socket(at.replace('http', 'ws') + '/chat?x'));
    await attempt(at + ' image', () => element('img', 'src', at + '/x'));
    await attempt(at + ' script', () => element('script', 'src', at + '/x'));
    await attempt(at + ' frame', () => element('iframe', 'src', at + '/'));
    await attempt(at + ' get', () => form(at + '/x', 'GET'));
    await attempt(at + ' form', () => form(at + '/quitquitquit', 'POST'));
  }
  document.title = JSON.stringify(seen);
})();
</script>"""
)


async def serve(
    tmp_path: Path,
    authority: Authority,
    handlers: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]],
    use: Callable[[Any, Cluster, Page], Awaitable[None]],
    *flags: str,
) -> None:
    """Serve applications by name, and *use* a browser at the start page."""
    async with cluster(authority) as there:
        config = kubeconfig(there.url, authority)
        async with proxy_in_loop(tmp_path, config, "--service-hosts", *flags) as app:
            ends = []
            for name, handler in handlers.items():
                running = application(handler)
                there.serve(name, await running.__aenter__())
                ends.append(running)
            port = app.name.rpartition(":")[2]
            try:
                async with page_at(f"http://apps.localhost:{port}/") as page:
                    await use(app, there, page)
            finally:
                for running in ends:
                    await running.__aexit__(None, None, None)


async def follow(page: Page, service: str) -> None:
    """Open a service from the start page."""
    await page.until(f"document.querySelector('a[href*=\"{service}--\"]') !== null")
    await page.js(f"document.querySelector('a[href*=\"{service}--\"]').click()")


async def test_an_application_has_all_that_an_origin_has(
    tmp_path: Path, authority: Authority
) -> None:
    shop = Shop()

    async def use(app: Any, there: Cluster, page: Page) -> None:
        await follow(page, "web")
        title = await page.until("document.title.startsWith('{') && document.title")
        host = f"web--shop--test.localhost:{app.name.rpartition(':')[2]}"
        assert await page.js("location.href") == f"http://{host}/home"
        assert json.loads(title) == {
            "relative": "/api/v1/pods s1",
            "encoded": "/echo//a%2Fb?x=%2F s1",
            "authorization": "Bearer mine",
            "socket": "room=1 hello",
            "events": ["0", "1"],
            "upload": "3000000",
            "denied": 401,
            "worker": "the worker",
        }
        # A page that is typed, or loaded again, is let in as well.
        await page.call("Page.navigate", url=f"http://{host}/home")
        await page.until("localStorage.kept === 'yes' && document.title.startsWith('{')")

    await serve(tmp_path, authority, {"web": shop}, use)
    # Only the second request for the root is the application's: the start page's link is none.
    assert shop.seen[:3] == ["GET /", "GET /login", "GET /home"]


async def test_an_application_reaches_no_other_and_neither_api_nor_admin_address(
    tmp_path: Path, authority: Authority
) -> None:
    shop = Shop()
    targets: list[str] = []

    async def evil(request: web.BaseRequest) -> web.StreamResponse:
        fields = {
            "Set-Cookie": "planted2=1; Domain=localhost; Path=/",
            "Content-Type": "text/html",
            "Access-Control-Allow-Origin": "*",
        }
        text = _EVIL.replace("TARGETS", json.dumps(targets))
        return web.Response(text=text, headers=fields)

    async def use(app: Any, there: Cluster, page: Page) -> None:
        port = app.name.rpartition(":")[2]
        targets[:] = [
            f"http://web--shop--test.localhost:{port}",
            f"http://apps.localhost:{port}",
            f"http://localhost:{port}",
            f"http://127.0.0.1:{port}",
            f"http://{app.admin_name}",
        ]
        # The victim has a session.
        await follow(page, "web")
        await page.until("document.title.startsWith('{')")
        await page.call("Page.navigate", url=f"http://apps.localhost:{port}/")
        shop.seen.clear()
        await page.until("location.host.startsWith('apps')")
        await follow(page, "evil")
        await page.until("location.host.startsWith('evil')")
        there.seen.clear()
        title = await page.until("document.title.startsWith('{') && document.title")
        seen = json.loads(title)
        assert seen.pop("cookies") == ""
        assert {value for name, value in seen.items() if name.endswith("socket")} == {"refused"}
        assert not any(value == 200 for value in seen.values()), seen
        # A window that it opens, and links, lead to refusals as well.
        await page.js(f"location.href = {targets[0]!r} + '/logout'")
        await page.until("document.body.innerText.includes('another site')")
        assert not app.quitting.is_set()
        assert [line for line in there.seen if "portforward" not in line and "web" in line] == []

    await serve(
        tmp_path, authority, {"web": shop, "evil": evil}, use, "--admin-address=127.0.0.1:0"
    )
    assert shop.seen == []


async def test_an_application_whose_name_is_typed_gets_no_page_with_the_origin_of_the_api(
    tmp_path: Path, authority: Authority
) -> None:
    lead_to = ""

    async def evil(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": lead_to})

    async def use(app: Any, there: Cluster, page: Page) -> None:
        nonlocal lead_to
        port = app.name.rpartition(":")[2]
        lead_to = f"http://localhost:{port}/api/v1/namespaces/shop/services/evil/proxy/"
        await page.call("Page.navigate", url=f"http://evil--shop--test.localhost:{port}/")
        await page.until("document.body && document.body.innerText.includes('its own name')")
        assert await page.js("location.href") == lead_to
        assert not any("services/evil/proxy" in line for line in there.seen)

    await serve(tmp_path, authority, {"evil": evil}, use)
