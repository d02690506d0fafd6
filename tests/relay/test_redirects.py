"""Redirects that name the API server lead back to the proxy; all others pass as they are."""

from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.http1.links import LinkRewriter
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.relay import relaying
from tests.support.upstream import Connection, ScriptedUpstream

PROXY = "/api/v1/namespaces/x/services/y:80/proxy"


def links(server: str, path: str = "", mount: str = "") -> LinkRewriter:
    scheme, _, authority = server.partition("://")
    return LinkRewriter(scheme.encode(), authority.encode(), path.encode(), mount.encode())


@pytest.mark.parametrize(
    ("server", "url", "seen"),
    [
        ("https://api.example:6443", "https://api.example:6443/a/b?c=/d#e", "/a/b?c=/d#e"),
        ("https://api.example:6443", "http://api.example:6443/a/", "/a/"),
        ("https://api.example:6443", "//api.example:6443/a/", "/a/"),
        ("https://api.example:6443", "HTTPS://API.Example:6443/A", "/A"),
        ("https://API.example:6443", "https://api.example:6443/A", "/A"),
        ("https://api.example:6443", "https://api.example:6443", "/"),
        ("https://api.example:6443", "https://api.example:6443?x", "/?x"),
        ("https://api.example:6443", "https://api.example:6443#x", "/#x"),
        ("https://api.example", "https://api.example/a", "/a"),
        ("https://api.example", "https://api.example:443/a", "/a"),
        ("https://api.example", "http://api.example/a", "/a"),
        ("https://api.example", "http://api.example:80/a", "/a"),
        ("https://api.example", "http://api.example:443/a", "/a"),
        ("https://api.example:443", "https://api.example/a", "/a"),
        ("https://api.example:443", "https://api.example:443/a", "/a"),
        ("http://127.0.0.1", "http://127.0.0.1:80/a", "/a"),
        ("https://[::1]:6443", "https://[::1]:6443/a", "/a"),
        ("https://[::1]", "https://[::1]:443/a", "/a"),
        ("https://[::1]", "http://[::1]/a", "/a"),
        ("https://api.example", f"https://api.example{PROXY}/x%2Fy//z", f"{PROXY}/x%2Fy//z"),
        # To a browser these paths alone would be other hosts.
        ("https://api.example", "https://api.example//evil.example/x", "/.//evil.example/x"),
        ("https://api.example", "https://api.example/\\evil.example", "/./\\evil.example"),
        ("https://api.example", "https://api.example/\t/evil.example", "/./\t/evil.example"),
    ],
)
def test_a_url_of_the_api_server_becomes_a_path_here(server: str, url: str, seen: str) -> None:
    assert links(server).url(url.encode()) == seen.encode()


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example/a",
        "https://api.example:6444/a",
        "https://api.example/a",
        "http://api.example/a",
        "https://api.example.evil.example:6443/a",
        "https://user@api.example:6443/a",
        "https://api.example:6443@evil.example/a",
        "https://api.example:6443\\evil.example/a",
        "https:api.example:6443/a",
        "ftp://api.example:6443/a",
        "/a/b",
        "a/b",
        "../a",
        "?x",
        "#x",
        "",
        "//evil.example/a",
        "/\\evil.example/a",
        "/redirect?to=https://api.example:6443/a",
        "mailto:a@api.example:6443",
    ],
)
def test_every_other_url_stays(url: str) -> None:
    assert links("https://api.example:6443").url(url.encode()) == url.encode()


@pytest.mark.parametrize(
    ("path", "mount", "url", "seen"),
    [
        ("", "/custom", f"{PROXY}/x/", f"/custom{PROXY}/x/"),
        ("", "/custom", f"https://api.example{PROXY}/x/", f"/custom{PROXY}/x/"),
        ("", "/custom", "https://api.example", "/custom/"),
        ("", "/custom", "https://api.example//evil.example", "/custom//evil.example"),
        ("", "/custom", "https://evil.example/", "https://evil.example/"),
        ("", "/custom", "x/", "x/"),
        ("/k8s/c", "", f"/k8s/c{PROXY}/x/", f"{PROXY}/x/"),
        ("/k8s/c", "", f"https://api.example/k8s/c{PROXY}/x/?y", f"{PROXY}/x/?y"),
        ("/k8s/c", "", "https://api.example/k8s/c", "/"),
        ("/k8s/c", "", "https://api.example/k8s/c?x", "/?x"),
        ("/k8s/c", "", "/k8s/c//evil.example", "/.//evil.example"),
        ("/k8s/c", "/custom", "/k8s/c/api", "/custom/api"),
        # What lies beside the API cannot be had through the proxy.
        ("/k8s/c", "", "https://api.example/login", "https://api.example/login"),
        ("/k8s/c", "", "/k8s/cluster", "/k8s/cluster"),
        ("/k8s/c", "/custom", "/login", "/login"),
    ],
)
def test_prefixes_on_either_side_are_taken_into_account(
    path: str, mount: str, url: str, seen: str
) -> None:
    assert links("https://api.example", path, mount).url(url.encode()) == seen.encode()


@given(st.text(st.sampled_from("/\\\t\r\n.:@?#axehttps"), max_size=12))
def test_no_redirect_back_leads_to_another_host(rest: str) -> None:
    for url in (f"https://h{rest}", f"//h{rest}", f"https://h/p{rest}", rest):
        for path in ("", "/p"):
            seen = links("https://h", path).url(url.encode()).decode()
            if seen == url:
                continue
            # As a browser reads it.
            plain = seen.translate({9: None, 10: None, 13: None}).replace("\\", "/")
            assert urlsplit(urljoin("http://localhost:8001/x", plain)).netloc == "localhost:8001"


REFRESH = [
    ("5; url={}/a", "5; url=/a"),
    ("0;URL='{}/a'", "0;URL='/a'"),
    ('1.5, url="{}/a"', '1.5, url="/a"'),
    ("0; {}/a", "0; /a"),
    ("5", "5"),
    ("5; url=https://evil.example/a", "5; url=https://evil.example/a"),
    ("5; url=a", "5; url=a"),
]


@pytest.mark.parametrize(("value", "seen"), REFRESH)
@pytest.mark.parametrize("status", [200, 302])
async def test_refresh_is_a_redirect_too(value: str, seen: str, status: int) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        sent = value.format(f"http://{request.values('host')[0]}")
        await connection.send(
            f"HTTP/1.1 {status} X\r\nRefresh: {sent}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async with relaying(script) as relay, relay.client() as client:
        assert (await client.get("/x")).values("refresh") == [seen]


@pytest.mark.parametrize("status", [200, 201, 301, 302, 303, 307, 308, 404])
@pytest.mark.parametrize("target", ["/version", f"{PROXY}/slash"])
async def test_the_redirect_of_an_application_and_the_api_servers_own(
    status: int, target: str
) -> None:
    """As Starlette and Django make it: of the Host that they see."""

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            url = f"http://{request.values('host')[0]}{request.line.split(' ')[1]}/"
            fields = f"X-A: 1\r\nLOCATION: {url}\r\nContent-Location: {url}\r\nX-B: {url}\r\n"
            await connection.send(
                f"HTTP/1.1 {status} X\r\n{fields}Content-Length: 2\r\n\r\nok".encode()
            )

    async with relaying(script) as relay, relay.client() as client:
        for _ in range(2):
            answer = await client.get(target)
            assert (answer.status, answer.body) == (status, b"ok")
            assert answer.values("location") == answer.values("content-location") == [f"{target}/"]
            lines = [line.split(b":")[0] for line in answer.head.split(b"\r\n")[1:]]
            assert lines[:4] == [b"X-A", b"LOCATION", b"Content-Location", b"X-B"]
            assert answer.values("x-b") == [f"http://127.0.0.1:{relay.upstream.port}{target}/"]


@pytest.mark.parametrize(
    ("flags", "path", "asked", "seen"),
    [
        (["--api-prefix=/custom"], "", f"/custom{PROXY}/x", f"/custom{PROXY}/x/"),
        (["--api-prefix=/api"], "", f"{PROXY}/x", f"{PROXY}/x/"),
        (["--append-server-path"], "/k8s/c", f"{PROXY}/x", f"{PROXY}/x/"),
        (["--append-server-path", "--api-prefix=/u/"], "/k8s/c", f"/u{PROXY}/x", f"/u{PROXY}/x/"),
        ([], "/k8s/c", f"/k8s/c{PROXY}/x", f"/k8s/c{PROXY}/x/"),
    ],
)
@pytest.mark.parametrize("absolute", [True, False])
async def test_following_the_redirect_asks_for_the_same_thing(
    tmp_path: Path, flags: list[str], path: str, asked: str, seen: str, absolute: bool
) -> None:
    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            target = request.line.split(" ")[1]
            server = f"http://{request.values('host')[0]}" if absolute else ""
            fields = f"Location: {server}{target}/\r\nContent-Length: 0\r\n\r\n"
            await connection.send(f"HTTP/1.1 307 X\r\n{fields}".encode())

    async with ScriptedUpstream(script) as upstream:
        config = kubeconfig(upstream.url + path)
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            [location] = (await client.get(asked)).values("location")
            assert location == seen
            await client.get(location)
        first, second = [request.line.split(" ")[1] for request in upstream.requests]
        assert second == f"{first}/"
