"""What the API server receives is what it receives through kubectl proxy."""

import gzip

import pytest

from .pairs import Pair
from .wire import Ask, ask

BODIES: dict[str, tuple[bytes | None, tuple[bytes, ...] | None]] = {
    "without body": (None, None),
    "with length": (b'{"a":1}', None),
    "with length 0": (b"", None),
    "chunked": (None, (b'{"a"', b":1}")),
    "chunked and empty": (None, ()),
}
METHODS = {
    f"{method} {name}": ask(
        method, "/api/v1/things", "Content-Type: application/json", body=body, chunks=chunks
    )
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    for name, (body, chunks) in BODIES.items()
}
METHODS |= {
    "HEAD": ask("HEAD", "/api"),
    "PROPFIND": ask("PROPFIND", "/api"),
    "QUERY with a body": ask("QUERY", "/api", body=b"q"),
    "POST of 1 MB with length": ask("POST", "/api", body=b"x" * 1_000_000),
    "POST of 1 MB chunked": ask("POST", "/api", chunks=[b"y" * 10_000] * 100),
    "POST of binary": ask("POST", "/api", body=bytes(range(256))),
    "POST gzipped": ask("POST", "/api", "Content-Encoding: gzip", body=gzip.compress(b"z" * 99)),
    "POST chunked with a chunk extension": Ask(
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;name=value\r\nabc\r\n0\r\n\r\n"
    ),
    "chunked in capitals": Ask(
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n"
    ),
}

PATHS = (
    "/",
    "/api",
    "/api/",
    "/api/v1/namespaces/shop/pods",
    "/apis/apps/v1/deployments",
    "/a%2Fb/c",
    "/a%2fb%20c",
    "/%65xec",
    "/%7euser",
    "/~user",
    "/a+b",
    "/a%2Bb",
    "/api;v=1",
    "/api;v=1/b;w=2",
    "/a'b(c)*!$&,=:@",
    "/a%27b%28c%29",
    "/a%3Fb",
    "/a%23b",
    "/a%3Bb",
    "/%C3%A9",
    "/%c3%a9",
    "/%ff",
    "/a..b",
    "/..a",
    "/.a/b",
    "/a./b",
    "/...",
    "/api/v1/namespaces/shop/services/https:web:443/proxy/a/b?c=d",
    "/api/v1/namespaces/shop/services/web/proxy",
    "/api/v1/namespaces/shop/services/web/proxy/",
    "/api/v1/nodes/n1/proxy/logs/",
    "/logs/kube-apiserver.log",
    "/openapi/v3?hash=ABC%3D%3D",
    "/healthz?verbose",
    "/" + "a" * 2000,
    "/" + "a/" * 300,
)
QUERIES = (
    "?",
    "?a",
    "?a=",
    "?=b",
    "?a=1&a=2",
    "?a=1;b=2&c=%zz",
    "?watch=true&x=%2F",
    "?x=/y//z/../w",
    "?a=b?c=d",
    "?%",
    "?a=%00",
    "?fieldSelector=metadata.name%3Dweb,status.phase!=Running",
    "?labelSelector=app+in+(a,b)",
    "?a='b'",
    "?a[]=1",
    "?a={b}",
    "?limit=500&continue=" + "e" * 4000,
    "?&&&",
    "?a=%C3%A9",
)
TARGETS = {path if len(path) < 80 else f"{path[:20]} long": ask("GET", path) for path in PATHS}
TARGETS |= {
    query if len(query) < 80 else f"{query[:20]} long": ask("GET", f"/api{query}")
    for query in QUERIES
}
TARGETS |= {
    "query on the root": ask("GET", "/?a=b"),
    "absolute form": ask("GET", "http://localhost:8001/api?x=1"),
    "absolute form, scheme in capitals": ask("GET", "HTTP://localhost/api"),
    "absolute form overrides Host": ask("GET", "http://localhost/api", host="127.0.0.1"),
}

MOVED = {
    path: ask("GET", path)
    for path in (
        "//api//v1",
        "/api/../version",
        "/./api",
        "/api/.",
        "/api/..",
        "/..",
        "/../..",
        "/api//",
        "/api//v1?a=b//c",
        "/api/./v1/../v2/",
        "///",
    )
}

FIELDS = {
    "none": (),
    "one of its own": ("X-Mine: 1",),
    "lower case": ("x-lower-case: v",),
    "repeated": ("X-Two: a", "X-Two: b"),
    "repeated in different case": ("X-Two: a", "x-two: b"),
    "empty value": ("X-Empty:",),
    "spaces around": ("X-Spaces:    v   ",),
    "tab inside": ("X-Tab: a\tb",),
    "long": (f"X-Long: {'v' * 8000}",),
    "64 of them": tuple(f"X-N{i}: {i}" for i in range(64)),
    "utf-8": ("X-Utf8: é",),
    "underscore in name": ("X_Under_Score: 1",),
    "digits in name": ("X1: 1",),
    "odd token": ("X!#$%&'*+.^_`|~-: 1",),
    "user agent": ("User-Agent: curl/8",),
    "user agent empty": ("User-Agent:",),
    "cookie": ("Cookie: a=b; c=d",),
    "cookies": ("Cookie: a=b", "Cookie: c=d"),
    "referer": ("Referer: http://elsewhere.example/",),
    "accept": ("Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json",),
    "content type without body": ("Content-Type: application/json",),
    "if-none-match": ('If-None-Match: "abc"',),
    "range": ("Range: bytes=0-1",),
    "via": ("Via: 1.1 other",),
    "forwarded": ("Forwarded: for=1.2.3.4",),
    "x-real-ip": ("X-Real-Ip: 1.2.3.4",),
    "x-forwarded-host": ("X-Forwarded-Host: h", "X-Forwarded-Proto: https"),
    "x-forwarded-for": ("X-Forwarded-For: 1.2.3.4",),
    "x-forwarded-for twice": ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8"),
    "x-forwarded-for list": ("X-Forwarded-For: 1.2.3.4, 5.6.7.8",),
    "accept-encoding gzip": ("Accept-Encoding: gzip",),
    "accept-encoding identity": ("Accept-Encoding: identity",),
    "accept-encoding br": ("Accept-Encoding: br, gzip;q=0.5",),
    "connection close": ("Connection: close",),
    "connection keep-alive": ("Connection: keep-alive", "Keep-Alive: timeout=5"),
    "connection names one": ("Connection: X-Hop", "X-Hop: 1", "X-Stay: 2"),
    "connection names several": ("Connection: X-Hop, x-hop2 ,", "X-Hop: 1", "X-Hop2: 2"),
    "connection twice": ("Connection: X-Hop", "Connection: X-Hop2", "X-Hop: 1", "X-Hop2: 2"),
    "connection names what is absent": ("Connection: X-Absent",),
    "proxy-connection": ("Proxy-Connection: keep-alive",),
    "proxy-authorization": ("Proxy-Authorization: Basic eDp5",),
    "proxy-authenticate": ("Proxy-Authenticate: Basic",),
    "te trailers": ("TE: trailers", "Connection: TE"),
    "te gzip": ("TE: gzip",),
    "te gzip and trailers": ("TE: gzip, trailers",),
    "trailer": ("Trailer: X-T",),
    "upgrade alone": ("Upgrade: websocket",),
    "authorization": ("Authorization: Bearer theirs",),
    "authorization empty": ("Authorization:",),
    "authorization basic": ("Authorization: Basic eDp5",),
    "impersonate user": ("Impersonate-User: jane",),
    "impersonate all": (
        "Impersonate-User: jane",
        "Impersonate-Group: a",
        "Impersonate-Group: b",
        "Impersonate-Uid: 7",
        "Impersonate-Extra-Scopes: view",
    ),
    "impersonate group alone": ("Impersonate-Group: a",),
    "sec-fetch-site none": ("Sec-Fetch-Site: none",),
    "sec-fetch-site same-origin": ("Sec-Fetch-Site: same-origin",),
    "origin of the proxy": ("Origin: http://localhost",),
    "max-forwards": ("Max-Forwards: 0",),
    "pragma": ("Pragma: no-cache", "Cache-Control: no-store"),
    "priority": ("Priority: u=1",),
    "date": ("Date: Sat, 01 Jan 2000 00:00:00 GMT",),
    "traceparent": ("Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    "audit-id": ("Audit-Id: 1",),
}
HEADERS = {name: ask("GET", "/api", *fields) for name, fields in FIELDS.items()}
HEADERS |= {
    "trailer unannounced": ask("POST", "/api", chunks=(b"abc",), trailers="X-T: 1\r\n"),
    "content-type with a body": ask("POST", "/api", "Content-Type: text/plain", body=b"a"),
    "kind of patch": ask(
        "PATCH", "/api", "Content-Type: application/strategic-merge-patch+json", body=b"{}"
    ),
    "post without content type": ask("POST", "/api", body=b"a=b"),
    "delete with accept-encoding": ask("DELETE", "/api", "Accept-Encoding: gzip"),
    "HEAD with fields": ask("HEAD", "/api", "X-Mine: 1"),
    "HEAD with range": ask("HEAD", "/api", "Range: bytes=0-1"),
}

VERSIONS = {
    "1.0 with Host": ask("GET", "/api", version="1.0"),
    "1.0 keep-alive": ask("GET", "/api", "Connection: keep-alive", version="1.0"),
    "1.0 POST": ask("POST", "/api", body=b"abc", version="1.0"),
    "1.0 HEAD": ask("HEAD", "/api", version="1.0"),
    "1.0 chunked answer": ask(
        "GET",
        "/api",
        version="1.0",
        answer=b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n",
    ),
    "Host on another line first": Ask(b"GET /api HTTP/1.1\r\nA: b\r\nHost: localhost\r\n\r\n"),
}


@pytest.mark.parametrize("request_", METHODS.values(), ids=METHODS)
def test_methods_and_bodies_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_write_without_a_body_says_so(plain: Pair, method: str) -> None:
    # Google's front ends answer 411 to a POST without Content-Length.
    ours = plain.through_kubelatch(ask(method, "/api")).sent("content-length")
    theirs = plain.through_kubectl(ask(method, "/api")).sent("content-length")
    assert ours == theirs == ["0"]


@pytest.mark.parametrize("request_", TARGETS.values(), ids=TARGETS)
def test_targets_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs


@pytest.mark.parametrize("request_", HEADERS.values(), ids=HEADERS)
def test_header_fields_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs


@pytest.mark.parametrize("request_", VERSIONS.values(), ids=VERSIONS)
def test_versions_of_http_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs


@pytest.mark.parametrize("request_", MOVED.values(), ids=MOVED)
def test_unclean_paths_move_to_the_same_place(plain: Pair, request_: Ask) -> None:
    theirs, ours = plain.both(request_)
    assert (ours.moved, ours.received) == (theirs.moved, theirs.received)
    assert ours.moved


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_redirects_have_the_same_status(plain: Pair, method: str) -> None:
    theirs, ours = plain.both(ask(method, "//api"))
    assert ours.status == theirs.status == 307
