"""Flags that shape requests: prefixes, server path, impersonation, compression, static files."""

import os
from pathlib import Path

import pytest

from .conftest import Pairs
from .wire import Ask, ask

PREFIX_TARGETS = (
    "/",
    "/custom",
    "/custom?a=b",
    "/custom/",
    "/custom/api",
    "/custom/api/v1?a=%2F",
    "/custom/custom/api",
    "/custom/%20",
    "/customer",
    "/custom%2Fapi",
    "/api",
    "/api/",
    "/api/v1",
    "/api?a=b",
    "/apis",
    "/api-proxy/api",
    "/api-proxy",
    "/a/b/c",
    "/a/b",
    "/a/",
    "/static/a",
)
PREFIXES = ("/custom/", "/custom", "/api", "/api/", "/api-proxy", "/a/b/", "/")
SERVER_PATHS = ("/", "/api", "/api/", "/api?a=b", "/a%20b", "/a%2Fb", "/k8s/clusters/c-1/api")
AS = {
    "user": ("--as=bob",),
    "user and groups": ("--as=bob", "--as-group=g1", "--as-group=g2"),
    "all": ("--as=bob", "--as-group=g", "--as-uid=7", "--as-user-extra=scopes=view"),
    "extra twice": ("--as=bob", "--as-user-extra=a=1", "--as-user-extra=a=2"),
    "service account": ("--as=system:serviceaccount:shop:web",),
}


def compare_all(
    pairs: Pairs, flags: tuple[str, ...], asks: dict[str, Ask], path: str = ""
) -> list[dict[str, object]]:
    """What became of each request: status, where to, and what the API server received."""
    pair = pairs(*flags, path=path)
    both: list[dict[str, object]] = []
    for through in (pair.through_kubelatch, pair.through_kubectl):
        ways = {name: through(request) for name, request in asks.items()}
        both.append({n: (w.verdict, w.moved, w.seen.received) for n, w in ways.items()})
    return both


@pytest.mark.parametrize("prefix", PREFIXES)
def test_api_prefix_is_mounted_as_there(pairs: Pairs, prefix: str) -> None:
    asks = {target: ask("GET", target) for target in PREFIX_TARGETS}
    ours, theirs = compare_all(pairs, (f"--api-prefix={prefix}",), asks)
    assert ours == theirs


def test_filter_sees_the_path_below_the_prefix(pairs: Pairs) -> None:
    flags = ("--api-prefix=/custom/", "--accept-paths=^/api/v1")
    asks = {target: ask("GET", target) for target in ("/custom/api/v1", "/custom/version", "/api")}
    ours, theirs = compare_all(pairs, flags, asks)
    assert ours == theirs


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        pytest.param(("--append-server-path",), "/k8s/clusters/c-1", id="appended"),
        pytest.param(("--append-server-path",), "/k8s/clusters/c-1/", id="with a final slash"),
        pytest.param(("--append-server-path",), "", id="nothing to append"),
        pytest.param((), "/k8s/clusters/c-1", id="dropped without the flag"),
    ],
)
def test_server_path_is_put_before_as_there(
    pairs: Pairs, flags: tuple[str, ...], path: str
) -> None:
    asks = {target: ask("GET", target) for target in SERVER_PATHS}
    ours, theirs = compare_all(pairs, flags, asks, path)
    assert ours == theirs


@pytest.mark.parametrize("flags", AS.values(), ids=AS)
def test_impersonation_reaches_the_api_server_as_there(
    pairs: Pairs, flags: tuple[str, ...]
) -> None:
    ours, theirs = compare_all(pairs, flags, {"get": ask("GET", "/api"), "put": ask("PUT", "/api")})
    assert ours == theirs


@pytest.mark.parametrize(
    "flags",
    [("--disable-compression",), ("--disable-compression=false",), ("--token=another",)],
    ids=str,
)
def test_header_flags_act_as_there(pairs: Pairs, flags: tuple[str, ...]) -> None:
    ours, theirs = compare_all(pairs, flags, {"get": ask("GET", "/api")})
    assert ours == theirs


@pytest.fixture(scope="session")
def www(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of static files."""
    root = tmp_path_factory.mktemp("www")
    files = {
        "a.txt": "hello",
        "a.json": "{}",
        "a.js": "1",
        "a.css": "a{}",
        "a.html": "<p>",
        "a.svg": "<svg/>",
        "a b.txt": "space",
        "ä.txt": "umlaut",
        "empty.txt": "",
        "sub/index.html": "<h1>index</h1>",
        "sub/b.txt": "b",
        "bare/c.txt": "c",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (946684800, 946684800))
    return root


STATIC = {
    target: ask("GET", target)
    for target in (
        "/static/a.txt",
        "/static/a.json",
        "/static/a.js",
        "/static/a.css",
        "/static/a.html",
        "/static/a.svg",
        "/static/a%20b.txt",
        "/static/%C3%A4.txt",
        "/static/empty.txt",
        "/static/sub/",
        "/static/sub",
        "/static/sub/index.html",
        "/static/sub/b.txt",
        "/static/a.txt?query",
        "/static/a.txt/",
        "/static/none",
        "/static/none/",
        "/static",
        "/api",
    )
}
STATIC |= {
    "HEAD": ask("HEAD", "/static/a.txt"),
    "first bytes": ask("GET", "/static/a.txt", "Range: bytes=0-1"),
    "last bytes": ask("GET", "/static/a.txt", "Range: bytes=-2"),
    "bytes from": ask("GET", "/static/a.txt", "Range: bytes=3-"),
    "bytes beyond": ask("GET", "/static/a.txt", "Range: bytes=99-"),
    "not modified": ask("GET", "/static/a.txt", "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT"),
    "modified": ask("GET", "/static/a.txt", "If-Modified-Since: Fri, 01 Jan 1999 00:00:00 GMT"),
    "unmodified since": ask(
        "GET", "/static/a.txt", "If-Unmodified-Since: Fri, 01 Jan 1999 00:00:00 GMT"
    ),
}


@pytest.mark.parametrize("request_", STATIC.values(), ids=STATIC)
def test_static_files_are_the_same(pairs: Pairs, www: Path, request_: Ask) -> None:
    pair = pairs(f"--www={www}")
    ours, theirs = pair.through_kubelatch(request_), pair.through_kubectl(request_)
    assert (ours.verdict, ours.targets) == (theirs.verdict, theirs.targets)
    assert ours.moved == theirs.moved
    if theirs.status in {200, 206, 416}:
        for name in ("content-type", "last-modified", "content-range", "accept-ranges"):
            assert (name, ours.values(name)) == (name, theirs.values(name))
    if theirs.status in {200, 206}:
        assert ours.body == theirs.body


@pytest.mark.parametrize("prefix", ["/files", "/files/", "/"])
def test_static_prefix_is_mounted_as_there(pairs: Pairs, www: Path, prefix: str) -> None:
    pair = pairs(f"--www={www}", f"--www-prefix={prefix}", "--api-prefix=/api/")
    for target in ("/files/a.txt", "/files", "/a.txt", "/api/v1", "/api", "/static/a.txt"):
        theirs, ours = pair.both(ask("GET", target))
        assert (target, ours.verdict, ours.moved, ours.targets) == (
            target,
            theirs.verdict,
            theirs.moved,
            theirs.targets,
        )
