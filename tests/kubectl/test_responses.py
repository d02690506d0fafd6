"""What the client receives is what it receives through kubectl proxy."""

import gzip
from http import HTTPStatus

import pytest

from .pairs import Pair
from .wire import Ask, ask

TYPE = "Content-Type: application/json"


def answer(
    status: int, *fields: str, body: bytes | None = b"{}", reason: str | None = None
) -> bytes:
    """An answer with a length, or without a body."""
    phrase = HTTPStatus(status).phrase if reason is None else reason
    lines = [f"HTTP/1.1 {status} {phrase}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def chunked(*chunks: bytes, fields: tuple[str, ...] = (TYPE,), trailers: bytes = b"") -> bytes:
    """A chunked answer."""
    head = "\r\n".join(("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields)).encode()
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + b"\r\n\r\n" + body + b"0\r\n" + trailers + b"\r\n"


STATUSES = {
    str(int(status)): ask("GET", "/api", answer=answer(status, TYPE))
    for status in HTTPStatus
    if status >= 200 and status not in {204, 304}
}
STATUSES |= {
    f"{status} without a phrase": ask("GET", "/api", answer=answer(status, TYPE, reason=""))
    for status in (200, 299, 499, 599)
}
STATUSES |= {
    "201 to a POST": ask(
        "POST", "/api", body=b"{}", answer=answer(201, TYPE, "Location: /api/v1/things/a")
    ),
    "204 to a DELETE": ask("DELETE", "/api", answer=answer(204, body=None)),
    "200 with an odd phrase": ask("GET", "/api", answer=answer(200, TYPE, reason="Fine")),
    "304 with fields": ask("GET", "/api", answer=answer(304, 'ETag: "a"', body=None)),
    "404 to HEAD": ask("HEAD", "/api", answer=answer(404, TYPE)),
    "204 to HEAD": ask("HEAD", "/api", answer=answer(204, body=None)),
    "redirect to another place": ask(
        "GET", "/api", answer=answer(302, TYPE, "Location: /elsewhere?a=b")
    ),
    "redirect to another server": ask(
        "GET", "/api", answer=answer(307, TYPE, "Location: https://api.example.test:6443/a")
    ),
    "redirect of a POST": ask(
        "POST", "/api", body=b"a", answer=answer(303, TYPE, "Location: ../b")
    ),
    "103 before": ask(
        "GET", "/api", answer=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(200, TYPE)
    ),
    "two 103 before": ask(
        "GET",
        "/api",
        answer=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" + answer(200, TYPE),
    ),
}

GZIPPED = gzip.compress(b'{"items":[]}' * 100)
BODIES = {
    "empty with length": ask("GET", "/api", answer=answer(200, TYPE, body=b"")),
    "1 MB with length": ask("GET", "/api", answer=answer(200, TYPE, body=b"x" * 1_000_000)),
    "binary": ask("GET", "/api", answer=answer(200, TYPE, body=bytes(range(256)))),
    "chunked": ask("GET", "/api", answer=chunked(b"ab", b"cd")),
    "chunked and empty": ask("GET", "/api", answer=chunked()),
    "1 MB chunked": ask("GET", "/api", answer=chunked(*[b"x" * 10_000] * 100)),
    "to the connection's end": ask(
        "GET", "/api", answer=f"HTTP/1.1 200 OK\r\n{TYPE}\r\n\r\nabc".encode()
    ),
    "of an HTTP/1.0 server": ask(
        "GET", "/api", answer=f"HTTP/1.0 200 OK\r\n{TYPE}\r\n\r\nabc".encode()
    ),
    "HTTP/1.0 server with length": ask(
        "GET", "/api", answer=f"HTTP/1.0 200 OK\r\n{TYPE}\r\nContent-Length: 3\r\n\r\nabc".encode()
    ),
    "connection close": ask("GET", "/api", answer=answer(200, TYPE, "Connection: close")),
    "to HEAD with length": ask("HEAD", "/api", answer=answer(200, TYPE, body=b"abc")),
    "to HEAD without length": ask("HEAD", "/api", answer=answer(200, TYPE, body=None)),
    "to HEAD chunked": ask("HEAD", "/api", answer=chunked()),
    "gzip unasked": ask(
        "GET", "/api", answer=answer(200, TYPE, "Content-Encoding: gzip", body=GZIPPED)
    ),
    "gzip unasked, chunked": ask(
        "GET", "/api", answer=chunked(GZIPPED, fields=(TYPE, "Content-Encoding: gzip"))
    ),
    "gzip in small chunks": ask(
        "GET",
        "/api",
        answer=chunked(
            *(GZIPPED[i : i + 1] for i in range(len(GZIPPED))),
            fields=(TYPE, "Content-Encoding: gzip"),
        ),
    ),
    "gzip asked for": ask(
        "GET",
        "/api",
        "Accept-Encoding: gzip",
        answer=answer(200, TYPE, "Content-Encoding: gzip", body=GZIPPED),
    ),
    "gzip to a range": ask(
        "GET",
        "/api",
        "Range: bytes=0-9",
        answer=answer(206, TYPE, "Content-Encoding: gzip", body=GZIPPED),
    ),
    "gzip in capitals": ask(
        "GET", "/api", answer=answer(200, TYPE, "Content-Encoding: GZIP", body=GZIPPED)
    ),
    "gzip to HEAD": ask(
        "HEAD", "/api", answer=answer(200, TYPE, "Content-Encoding: gzip", body=GZIPPED)
    ),
    "gzip of several members": ask(
        "GET", "/api", answer=answer(200, TYPE, "Content-Encoding: gzip", body=GZIPPED + GZIPPED)
    ),
    "gzip to a POST": ask(
        "POST", "/api", body=b"{}", answer=answer(201, TYPE, "Content-Encoding: gzip", body=GZIPPED)
    ),
    "gzip with an error": ask(
        "GET", "/api", answer=answer(403, TYPE, "Content-Encoding: gzip", body=GZIPPED)
    ),
    "another coding": ask("GET", "/api", answer=answer(200, TYPE, "Content-Encoding: br")),
    "two codings": ask("GET", "/api", answer=answer(200, TYPE, "Content-Encoding: br, gzip")),
    "identity": ask("GET", "/api", answer=answer(200, TYPE, "Content-Encoding: identity")),
    "trailers announced": ask(
        "GET",
        "/api",
        answer=chunked(b"ab", fields=(TYPE, "Trailer: X-T"), trailers=b"X-T: 1\r\n"),
    ),
    "trailers unannounced": ask(
        "GET", "/api", answer=chunked(b"ab", trailers=b"X-T: 1\r\nX-U: 2\r\n")
    ),
    "trailers to a client that takes them": ask(
        "GET",
        "/api",
        "TE: trailers",
        answer=chunked(b"ab", fields=(TYPE, "Trailer: X-T"), trailers=b"X-T: 1\r\n"),
    ),
}

FIELDS = {
    "cors": ("Access-Control-Allow-Origin: *", "Access-Control-Expose-Headers: Date"),
    "cookies": ("Set-Cookie: a=b; Path=/; HttpOnly", "Set-Cookie: c=d"),
    "warnings": ('Warning: 299 - "old"', 'Warning: 299 - "older"'),
    "server": ("Server: nginx",),
    "www-authenticate": ('WWW-Authenticate: Bearer realm="a"',),
    "proxy-authenticate": ("Proxy-Authenticate: Basic",),
    "etag": ('ETag: W/"a"', "Vary: Accept", "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT"),
    "audit id": ("Audit-Id: a-b", "X-Kubernetes-Pf-Flowschema-Uid: c"),
    "cache": ("Cache-Control: no-cache, private", "Expires: 0", "Age: 1"),
    "date": ("Date: Sat, 01 Jan 2000 00:00:00 GMT",),
    "hop by hop": ("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"),
    "connection names one": ("Connection: X-Hop", "X-Hop: 1", "X-Stay: 1"),
    "connection names several": ("Connection: X-Hop, X-Too", "X-Hop: 1", "X-Too: 1"),
    "upgrade offered": ("Upgrade: h2c", "Connection: Upgrade"),
    "content security policy": ("Content-Security-Policy: sandbox", "X-Frame-Options: DENY"),
    "disposition": ('Content-Disposition: attachment; filename="a"',),
    "link": ("Link: </a>; rel=next",),
    "retry-after": ("Retry-After: 1",),
    "empty": ("X-Empty:",),
    "long": (f"X-Long: {'v' * 8000}",),
    "100 of them": tuple(f"X-N{i}: {i}" for i in range(100)),
    "latin-1": ("X-Latin: \u00e9",),
    "via": ("Via: 1.1 gateway",),
    "content-language": ("Content-Language: en", "Content-Location: /a", "Accept-Ranges: bytes"),
    "te": ("TE: trailers",),
}
HEADERS = {
    name: ask("GET", "/api", answer=answer(200, TYPE, *fields)) for name, fields in FIELDS.items()
}


@pytest.mark.parametrize("request_", STATUSES.values(), ids=STATUSES)
def test_statuses_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs


@pytest.mark.parametrize("request_", BODIES.values(), ids=BODIES)
def test_bodies_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs


@pytest.mark.parametrize("request_", HEADERS.values(), ids=HEADERS)
def test_header_fields_are_the_same(plain: Pair, request_: Ask) -> None:
    ours, theirs = plain.compare(request_)
    assert ours == theirs
