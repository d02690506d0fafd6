"""An application behind the proxy leaves nothing in the browser that outlives its page.

A service worker would: it would stand between the user and whatever is served on this port next,
another cluster's API, for one.
"""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import Connection, Request, ScriptedUpstream, ok

from .chromium import CHROMIUM, browser_at

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.timeout(120),
]

APP = "/api/v1/namespaces/shop/services/evil:http/proxy/"
_FIELDS = (
    "Service-Worker-Allowed: /",
    "Cache-Control: max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy: cross-origin",
)
_WORKER = b"self.addEventListener('fetch', (event) => event.respondWith(new Response('mine')));"
_IMPORTED = b"importScripts('worker.js'); export {};"
_SHARED = b"let count = 0; onconnect = (event) => event.ports[0].postMessage(++count);"

_CONNECT = """
function shared(type) {
  return new Promise((resolve) => {
    const worker = new SharedWorker('shared.js', {name: type, type});
    worker.port.onmessage = (event) => resolve(event.data);
    worker.onerror = () => resolve('error');
  });
}
"""

# All ways to install a worker: with the script in the browser's cache, as a module, for other
# scopes, by a script that imports another. In the end, what is installed, and who answers.
_HOSTILE = """<!doctype html><body><script>%s
const seen = {};
async function install(name, script, options) {
  try {
    const registration = await navigator.serviceWorker.register(script, options);
    seen[name] = 'installed for ' + registration.scope;
  } catch (error) { seen[name] = error.name; }
}
(async () => {
  for (const script of ['worker.js', 'imports.js']) await (await fetch(script)).text();
  await install('plain', 'worker.js', {});
  await install('cached', 'worker.js', {updateViaCache: 'all'});
  await install('module', 'worker.js', {type: 'module', updateViaCache: 'all'});
  await install('imports', 'imports.js', {updateViaCache: 'imports'});
  await install('root', 'worker.js', {scope: '/'});
  await install('api', 'worker.js', {scope: '/api/'});
  await install('encoded', './%%77orker.js', {scope: '/'});
  await install('blob', URL.createObjectURL(new Blob([''], {type: 'text/javascript'})), {});
  seen.installed = (await navigator.serviceWorker.getRegistrations()).length;
  seen.shared = [await shared('classic'), await shared('module'), await shared('module')];
  sessionStorage.seen = JSON.stringify(seen);
  location = location.href.replace('localhost', '127.0.0.1') + 'away';
})();
</script>"""
# Another origin's page, while which nothing of the first is open.
_AWAY = """<!doctype html><script>
location = location.href.replace('127.0.0.1', 'localhost').replace('away', 'next');
</script>"""
# The next page of the first origin.
_NEXT = """<!doctype html><body><script>%s
const seen = JSON.parse(sessionStorage.seen);
(async () => {
  seen.controlled = navigator.serviceWorker.controller !== null;
  seen.sharedLater = [await shared('classic'), await shared('module')];
  seen.answered = await (await fetch('/api/v1/pods')).text();
  await fetch('report', {method: 'POST', body: JSON.stringify(seen)});
})();
</script>"""


class Application:
    """A hostile one."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reports: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def __call__(self, connection: Connection) -> None:
        html, script = "Content-Type: text/html", "Content-Type: text/javascript"
        answers = {
            APP: ok((_HOSTILE % _CONNECT).encode(), html),
            f"{APP}away": ok(_AWAY.encode(), html),
            f"{APP}next": ok((_NEXT % _CONNECT).encode(), html),
            f"{APP}worker.js": ok(_WORKER, script, *_FIELDS),
            f"{APP}%77orker.js": ok(_WORKER, script, *_FIELDS),
            f"{APP}imports.js": ok(_IMPORTED, script, *_FIELDS),
            f"{APP}shared.js": ok(_SHARED, script),
        }
        while True:
            request = await connection.request()
            self.requests.append(request)
            target = request.line.split(" ")[1]
            if target.endswith("/report"):
                self.reports.put_nowait(json.loads(request.body))
            await connection.send(answers.get(target, ok(b"the API", "Content-Type: text/plain")))


@pytest.mark.parametrize("flags", [(), ("--disable-filter",)], ids=["defaults", "no filter"])
async def test_no_worker_can_be_installed_that_outlives_its_page(
    tmp_path: Path, authority: Authority, flags: tuple[str, ...]
) -> None:
    application = Application()
    # The way to the other origin, and back.
    flags = (*flags, f"--accept-navigation=^{APP}(away|next)$")
    async with ScriptedUpstream(application, authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with (
            proxy_in_loop(tmp_path, config, *flags) as app,
            browser_at(
                f"http://localhost:{app.name.rpartition(':')[2]}{APP}",
                # It would keep the page and its workers, frozen, for the tab's back button.
                "--disable-features=BackForwardCache",
            ),
        ):
            seen = await asyncio.wait_for(application.reports.get(), 90)
    assert not any(request.values("service-worker") for request in application.requests)
    refused = {
        name: seen[name]
        for name in ("plain", "cached", "module", "imports", "root", "api", "encoded", "blob")
    }
    assert set(refused.values()) <= {"TypeError", "SecurityError"}, refused
    assert (seen["installed"], seen["controlled"], seen["answered"]) == (0, False, "the API")
    # A shared worker lives as long as a page that uses it, or five minutes longer if it asks
    # (docs/decisions/0044-service-workers-refused.md).
    assert (seen["shared"], seen["sharedLater"]) == ([1, 1, 2], [1, 1])
