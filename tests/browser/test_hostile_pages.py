"""No page that a user opens can use the proxy, and the one that was let in can.

Each test drives a real Chromium; what counts is what reached the upstream.
"""

import asyncio
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok

from .chromium import CHROMIUM, browser_at, site

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")

_REPORT = """
async function attempt(name, what) {
  try { seen[name] = await what(); } catch (error) { seen[name] = 'failed: ' + error; }
}
function socket(url) {
  return new Promise((resolve) => {
    const ws = new WebSocket(url);
    ws.onopen = () => resolve('opened');
    ws.onerror = () => resolve('refused');
  });
}
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
  frame.name = 'frame' + method;
  const node = document.createElement('form');
  Object.assign(node, {action: url, method, target: frame.name, enctype: 'text/plain'});
  document.body.append(frame, node);
  return new Promise((resolve) => { frame.onload = () => resolve('sent'); node.submit(); });
}
const seen = {};
async function report() {
  await fetch(HOME + '/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify(seen)});
}
"""

_ATTACK = """<body><script>%s
const HOME = location.origin, PROXY = '%s';
(async () => {
  await attempt('fetch', async () => (await fetch(PROXY + '/api')).status);
  await attempt('blind', async () => (await fetch(PROXY + '/blind', {mode: 'no-cors'})).type);
  await attempt('post', () => fetch(PROXY + '/post', {method: 'POST', mode: 'no-cors', body: 'x'}));
  await attempt('json', () => fetch(PROXY + '/json', {method: 'POST',
    headers: {'Content-Type': 'application/json'}, body: '{}'}));
  await attempt('delete', () => fetch(PROXY + '/delete', {method: 'DELETE'}));
  await attempt('socket', () => socket(PROXY.replace('http', 'ws') + '/watch?watch=1'));
  await attempt('image', () => element('img', 'src', PROXY + '/image'));
  await attempt('script', () => element('script', 'src', PROXY + '/script'));
  await attempt('frame', () => element('iframe', 'src', PROXY + '/frame'));
  await attempt('form get', () => form(PROXY + '/form-get', 'GET'));
  await attempt('form post', () => form(PROXY + '/form-post', 'POST'));
  await report();
})();
</script></body>"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("page_host", "flags"),
    [
        pytest.param(host, flags, id=f"{host}-{name}")
        for host in ("127.0.0.1", "evil.test")
        for name, flags in (("defaults", ()), ("no filter", ("--disable-filter",)))
    ]
    + [pytest.param("127.0.0.1", ("--tls=auto",), id="https")],
)
async def test_a_foreign_page_reaches_nothing(
    tmp_path: Path, authority: Authority, page_host: str, flags: tuple[str, ...]
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        pages: dict[str, str] = {}
        async with proxy_in_loop(tmp_path, config, *flags) as app, site(pages) as evil:
            assert app.access is not None
            pages["/"] = _ATTACK % (_REPORT, app.access.url)
            url = f"http://{page_host}:{evil.address[1]}/"
            async with browser_at(url, "--ignore-certificate-errors", evil_test="127.0.0.1"):
                seen = await asyncio.wait_for(evil.reports.get(), 90)
        assert upstream.requests == [], seen
    assert seen["socket"] == "refused"
    assert seen["fetch"].startswith("failed")


@pytest.mark.timeout(120)
async def test_our_own_page_over_https_reaches_the_api(
    tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "www").mkdir()
    async with (
        ScriptedUpstream(answering(ok()), authority) as upstream,
        proxy_in_loop(
            tmp_path, kubeconfig(upstream.url, authority), "--tls=auto", f"--www={tmp_path}/www"
        ) as app,
        site({}) as home,
    ):
        (tmp_path / "www/page.html").write_text(
            f"""<body><script>{_REPORT}
            const HOME = 'http://127.0.0.1:{home.address[1]}';
            (async () => {{
              await attempt('get', async () => (await fetch('/api')).status);
              await attempt('post', async () => (await fetch('/api', {{method: 'POST'}})).status);
              await report();
            }})();
            </script></body>"""
        )
        url = f"https://{app.name}/static/page.html"
        async with browser_at(url, "--ignore-certificate-errors"):
            seen = await asyncio.wait_for(home.reports.get(), 90)
    assert seen == {"get": 200, "post": 200}


_REBOUND = """<body><script>%s
const HOME = '%s';
(async () => {
  await fetch(HOME + '/report', {method: 'POST', mode: 'no-cors', body: '{"ready": true}'});
  for (;;) {
    const answer = await fetch('/api', {cache: 'no-store'}).catch(() => null);
    if (answer && answer.status !== 404) {
      seen.status = answer.status;
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await attempt('socket', () => socket('ws://' + location.host + '/watch?watch=1'));
  await report();
})();
</script></body>"""


@pytest.mark.timeout(120)
async def test_a_rebound_name_reaches_nothing(tmp_path: Path, authority: Authority) -> None:
    """The page's own name comes to mean the proxy: to the browser it is the same origin."""
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        pages: dict[str, str] = {}
        async with (
            proxy_in_loop(tmp_path, config) as app,
            site({}) as home,
            site(pages, "127.0.0.2") as evil,
        ):
            pages["/"] = _REBOUND % (_REPORT, f"http://127.0.0.1:{home.address[1]}")
            host, port = evil.address
            async with browser_at(f"http://rebind.test:{port}/", rebind_test=host):
                assert await asyncio.wait_for(home.reports.get(), 60) == {"ready": True}
                await evil.stop()
                async with Forwarder(host, port, app.name):
                    seen = await asyncio.wait_for(home.reports.get(), 60)
        assert upstream.requests == []
    assert seen == {"status": 403, "socket": "refused"}


_GUEST = """<body><script>%s
const HOME = location.origin, PROXY = '%s';
(async () => {
  await attempt('get', async () => (await (await fetch(PROXY + '/api')).text()));
  await attempt('patch', async () => (await fetch(PROXY + '/api/v1/x', {method: 'PATCH',
    headers: {'Content-Type': 'application/merge-patch+json'}, body: '{}'})).status);
  await report();
})();
</script></body>"""


@pytest.mark.timeout(120)
async def test_a_page_that_was_let_in_can_read_and_write(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok(b"hello")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        pages: dict[str, str] = {}
        async with site(pages) as guest:
            origin = f"http://127.0.0.1:{guest.address[1]}"
            flag = f"--accept-origins={origin}"
            async with proxy_in_loop(tmp_path, config, flag) as app:
                pages["/"] = _GUEST % (_REPORT, f"http://{app.name}")
                async with browser_at(origin):
                    seen = await asyncio.wait_for(guest.reports.get(), 60)
    assert seen == {"get": "hello", "patch": 200}


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


class Forwarder:
    """What a rebound name does: the same address and port now lead to the proxy."""

    def __init__(self, host: str, port: int, target: str) -> None:
        self._where = (host, port)
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self._where)

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        host, port = self._target.rsplit(":", 1)
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_forward(reader, up_writer), _forward(up_reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            # Python 3.11 takes a cancelled handler for a fault.
            return
        finally:
            up_writer.close()
            writer.close()
