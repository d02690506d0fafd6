"""nginx and haproxy in front of the proxy, as docs/front-proxies.md has them."""

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import Connection, Request, ScriptedUpstream, ok

from .chromium import CHROMIUM, browser_at, site
from .fronts import FRONTS, NAME, TOKEN, in_front, installed

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize(
        "front",
        [
            pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"no {name}"))
            for name in FRONTS
        ],
    ),
]

APP = "/api/v1/namespaces/shop/services/web:http/proxy/"
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

# What an application does with its own origin. Its form has no referrer, and so no origin.
_PAGE = """<!doctype html><meta name=referrer content=no-referrer><body><script>
const seen = {};
function socket(path) {
  return new Promise((resolve) => {
    const ws = new WebSocket('wss://' + location.host + path);
    ws.onopen = () => resolve('opened');
    ws.onerror = () => resolve('refused');
  });
}
(async () => {
  seen.get = (await fetch('get')).status;
  seen.post = (await fetch('post', {method: 'POST', body: '{}'})).status;
  seen.socket = await socket(location.pathname + 'ws');
  const frame = document.createElement('iframe'), form = document.createElement('form');
  frame.name = form.target = 'inner';
  form.action = 'form';
  form.method = 'POST';
  document.body.append(frame, form);
  await new Promise((resolve) => { frame.onload = resolve; form.submit(); });
  seen.form = frame.contentDocument.body.textContent;
  await fetch('report', {method: 'POST', body: JSON.stringify(seen)});
})();
</script>"""


class Application:
    """Behind the API server: a page, and what it asks for."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reports: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def __call__(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            self.requests.append(request)
            target = request.line.split(" ")[1]
            if request.values("upgrade"):
                await self._switch(connection, request)
                return
            if "watch=true" in target:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                event = b'{"type":"ADDED"}\n'
                chunk = b"%x\r\n%b\r\n" % (len(event), event)
                await connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
                await connection.reader.read()
                return
            if target.endswith("/report"):
                self.reports.put_nowait(json.loads(request.body))
            if target == APP:
                await connection.send(ok(_PAGE.encode(), "Content-Type: text/html"))
            else:
                await connection.send(ok(b"done", "Content-Type: text/plain"))

    async def _switch(self, connection: Connection, request: Request) -> None:
        # RFC 6455 section 4.2.2.
        key = request.values("sec-websocket-key")[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while data := await connection.reader.read(1024):
            await connection.send(data)


@asynccontextmanager
async def serving(
    front: str, directory: Path, authority: Authority
) -> AsyncIterator[tuple[Application, int]]:
    """The application, and the port of the proxy in front."""
    application = Application()
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o600)
    (directory / "front").mkdir()
    flags = (r"--accept-hosts=^dash\.corp\.example$", f"--client-token-file={directory / 'token'}")
    async with ScriptedUpstream(application, authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with (
            proxy_in_loop(directory, config, *flags) as app,
            in_front(front, directory / "front", app.name, authority) as port,
        ):
            yield application, port


@asynccontextmanager
async def client_of(port: int, authority: Authority) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cadata=authority.pem)
    context.set_alpn_protocols(["http/1.1"])
    streams = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    async with Client(*streams) as client:
        yield client


def head(target: str, *fields: str, host: str = NAME) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode()


async def test_the_target_arrives_byte_for_byte(
    front: str, tmp_path: Path, authority: Authority
) -> None:
    target = f"{APP}/a%2Fb//%20x/?q=%2e%2e/&r=+"
    async with serving(front, tmp_path, authority) as (application, port):
        async with client_of(port, authority) as client:
            await client.send(head(target))
            assert (await client.answer()).status == 200
        [request] = application.requests
    assert request.line == f"GET {target} HTTP/1.1"
    assert request.values("x-forwarded-proto") == ["https"]
    assert request.values("x-forwarded-for") == ["127.0.0.1, 127.0.0.1"]
    assert not any(TOKEN in value for _, value in request.fields)


async def test_an_event_arrives_before_the_watch_ends(
    front: str, tmp_path: Path, authority: Authority
) -> None:
    async with (
        serving(front, tmp_path, authority) as (_, port),
        client_of(port, authority) as client,
    ):
        await client.send(head("/api/v1/pods?watch=true"))
        assert b'{"type":"ADDED"}' in await client.reader.readuntil(b"}\n")


@pytest.mark.parametrize("origin", [(), (f"Origin: https://{NAME}",)], ids=["no page", "a page"])
async def test_a_websocket_opens(
    front: str, origin: tuple[str, ...], tmp_path: Path, authority: Authority
) -> None:
    async with (
        serving(front, tmp_path, authority) as (_, port),
        client_of(port, authority) as client,
    ):
        await client.send(head(f"{APP}ws", *WEBSOCKET, *origin))
        assert (await client.answer()).status == 101
        await client.send(b"ping")
        assert await client.reader.readexactly(4) == b"ping"


@pytest.mark.parametrize(
    "fields",
    [
        ("Origin: https://evil.example",),
        ("Origin: https://evil.example", *WEBSOCKET),
        ("Origin: https://evil.example", "X-Forwarded-Proto: https", *WEBSOCKET),
        (f"Origin: http://{NAME}", "X-Forwarded-Proto: http", *WEBSOCKET),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        ("Sec-Fetch-Site: same-site",),
        ("Service-Worker: script", "Sec-Fetch-Site: same-origin"),
    ],
    ids=["page", "socket", "claims https", "over http", "link", "another port", "service worker"],
)
async def test_what_a_foreign_page_asks_for_is_refused(
    front: str, fields: tuple[str, ...], tmp_path: Path, authority: Authority
) -> None:
    async with serving(front, tmp_path, authority) as (application, port):
        async with client_of(port, authority) as client:
            await client.send(head("/api", *fields))
            assert (await client.answer()).status == 403
        assert application.requests == []


async def test_another_name_is_not_answered(
    front: str, tmp_path: Path, authority: Authority
) -> None:
    async with serving(front, tmp_path, authority) as (application, port):
        async with client_of(port, authority) as client:
            await client.send(head("/api", host="evil.example"))
            data, _ = (
                await client.to_end() if front == "nginx" else ((await client.answer()).head, 0)
            )
        assert b" 200 " not in data
        assert application.requests == []


@pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
async def test_an_application_works_as_on_its_own(
    front: str, tmp_path: Path, authority: Authority
) -> None:
    async with (
        serving(front, tmp_path, authority) as (application, port),
        browser_at(
            f"https://{NAME}:{port}{APP}",
            "--ignore-certificate-errors",
            dash_corp_example="127.0.0.1",
        ),
    ):
        seen = await asyncio.wait_for(application.reports.get(), 60)
    assert seen == {"get": 200, "post": 200, "socket": "opened", "form": "done"}


_FOREIGN = """<body><script>
const seen = {};
(async () => {
  await fetch('%(proxy)s/blind', {mode: 'no-cors'}).catch(() => 0);
  await fetch('%(proxy)s/post', {method: 'POST', mode: 'no-cors', body: 'x'}).catch(() => 0);
  const ws = new WebSocket('%(proxy)s/ws'.replace('http', 'ws'));
  seen.socket = await new Promise((resolve) => {
    ws.onopen = () => resolve('opened');
    ws.onerror = () => resolve('refused');
  });
  const image = new Image();
  await new Promise((resolve) => { image.onload = image.onerror = resolve;
                                   image.src = '%(proxy)s/image'; });
  await fetch('/report', {method: 'POST', body: JSON.stringify(seen)});
})();
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
async def test_a_foreign_page_reaches_nothing_through_it(
    front: str, tmp_path: Path, authority: Authority
) -> None:
    pages: dict[str, str] = {}
    async with serving(front, tmp_path, authority) as (application, port), site(pages) as evil:
        pages["/"] = _FOREIGN % {"proxy": f"https://{NAME}:{port}"}
        async with browser_at(
            f"http://127.0.0.1:{evil.address[1]}/",
            "--ignore-certificate-errors",
            dash_corp_example="127.0.0.1",
        ):
            seen = await asyncio.wait_for(evil.reports.get(), 60)
        assert application.requests == []
    assert seen == {"socket": "refused"}
