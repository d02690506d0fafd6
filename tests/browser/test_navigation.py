"""What becomes of links and redirects of other sites, as a real browser makes them."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, ok

from .chromium import CHROMIUM, browser_at, site

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.timeout(120),
]

APP = "/api/v1/namespaces/shop/services/web:http/proxy/"
# The identity provider's page: a frame first, which must not get in, then the way back.
_PROVIDER = """<!doctype html><body><script>
const frame = document.createElement('iframe');
frame.onload = () => { location = '%(app)sauth/callback?code=x'; };
frame.src = '%(app)sauth/callback?framed';
document.body.append(frame);
</script>"""
_HOME = """<!doctype html><script>
(async () => {
  const saved = await fetch('save', {method: 'POST', body: '{}'});
  await fetch('report', {method: 'POST', body: JSON.stringify({saved: saved.status})});
})();
</script>"""


class Application:
    """Its callback redirects to its start page."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.reports: asyncio.Queue[dict[str, int]] = asyncio.Queue()

    async def __call__(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            target = request.line.split(" ")[1]
            self.targets.append(target)
            if target.endswith("/report"):
                self.reports.put_nowait(json.loads(request.body))
            if "auth/callback" in target:
                await connection.send(
                    b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
                    % APP.encode()
                )
            else:
                await connection.send(ok(_HOME.encode(), "Content-Type: text/html"))


@pytest.mark.parametrize("by_origin", [False, True], ids=["by path", "by the page's origin"])
async def test_an_identity_provider_sends_the_browser_back(
    tmp_path: Path, authority: Authority, by_origin: bool
) -> None:
    application = Application()
    pages: dict[str, str] = {}
    async with ScriptedUpstream(application, authority) as upstream, site(pages) as provider:
        origin = f"http://idp.test:{provider.address[1]}"
        flag = (
            f"--accept-origins={origin}"
            if by_origin
            else f"--accept-navigation=^{APP}(auth/callback)?$"
        )
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config, flag) as app:
            port = app.name.rpartition(":")[2]
            pages["/"] = _PROVIDER % {"app": f"http://localhost:{port}{APP}"}
            async with browser_at(f"{origin}/", idp_test="127.0.0.1"):
                seen = await asyncio.wait_for(application.reports.get(), 60)
    assert seen == {"saved": 200}
    pages_opened = [target for target in application.targets if "favicon" not in target]
    assert pages_opened == [f"{APP}auth/callback?code=x", APP, f"{APP}save", f"{APP}report"]
