"""The page at the root: for people in a browser, and never for an API client."""

import re
from html import escape
from pathlib import Path

import pytest

from kubelatch.relay.page import render
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
TYPED = (BROWSER, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
API_CLIENTS = (
    (),
    ("Accept: */*",),
    ("Accept: application/json, */*",),
    ("Accept: application/vnd.kubernetes.protobuf,application/json",),
    ("Accept: text/plain",),
)


def links(body: bytes) -> list[str]:
    return re.findall(r'href="([^"]+)"', body.decode())


async def test_a_browser_is_shown_which_cluster_this_is_and_as_whom(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok(b"{}")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config, "--read-only") as app, client_of(app) as client:
            page = await client.get("/", *TYPED)
            for target in links(page.body):
                followed = await client.get(
                    target, BROWSER, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"
                )
                assert (followed.status, followed.body) == (200, b"{}"), target
            head = await client.get("/", *TYPED, method="HEAD")
    assert page.status == head.status == 200
    assert page.values("content-type") == ["text/html; charset=utf-8"]
    assert page.values("content-length") == head.values("content-length")
    assert page.values("vary") == ["Accept"]
    (policy,) = page.values("content-security-policy")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    for text in (upstream.url, "by client certificate", "reading only, anything but secrets"):
        assert text in page.body.decode()
    assert not re.search(rb"<(script|img|link|form)|https?://(?!127)", page.body)
    assert len(upstream.requests) == len(links(page.body)) > 5


@pytest.mark.parametrize("fields", API_CLIENTS)
async def test_an_api_client_is_never_sent_the_page(
    tmp_path: Path, authority: Authority, fields: tuple[str, ...]
) -> None:
    async with ScriptedUpstream(answering(ok(b"{}")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            assert (await client.get("/", *fields)).body == b"{}"
            assert (await client.get("/?pretty=true", BROWSER)).body == b"{}"
            assert (await client.get("/api", BROWSER)).body == b"{}"
            assert (await client.get("/", BROWSER, method="DELETE")).body == b"{}"
            upgrade = ("Connection: Upgrade", "Upgrade: websocket")
            assert (await client.get("/", BROWSER, *upgrade)).status == 502
    assert "upgrade" in upstream.requests[-1].head.decode().lower()


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ((), ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")),
        ((), ("Origin: http://evil.example",)),
        (("--accept-paths=^/api/",), ()),
        (("--reject-methods=GET",), ()),
    ],
)
async def test_the_page_is_behind_the_gate(
    tmp_path: Path, authority: Authority, flags: tuple[str, ...], fields: tuple[str, ...]
) -> None:
    async with ScriptedUpstream(answering(ok(b"{}")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            refused = await client.get("/", BROWSER, *fields)
    assert refused.status == 403
    assert b"127.0.0.1" not in refused.body


async def test_a_refused_link_is_text_and_a_prefix_is_part_of_links(
    tmp_path: Path, authority: Authority
) -> None:
    flags = ("--api-prefix=/k8s", "--reject-paths=/api/v1/nodes")
    async with ScriptedUpstream(answering(ok(b"{}")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            page = await client.get("/k8s/", *TYPED)
    assert "/k8s/api/v1/pods" in links(page.body)
    assert "/k8s/api/v1/nodes" not in links(page.body)
    assert b"<del><code>/k8s/api/v1/nodes</code></del>" in page.body


@pytest.mark.parametrize("hostile", ["<script>x</script>", '" onclick="x', "\x00\ud800&amp;"])
def test_what_files_and_servers_say_is_escaped(hostile: str) -> None:
    rows = [(hostile, hostile)]
    page = render(hostile, rows, [(hostile, hostile, True), (hostile, hostile, False)]).decode()
    assert "<script" not in page
    assert 'onclick="' not in page
    assert page.count(escape(hostile).encode("utf-8", "replace").decode()) == 9
