"""Fields of answers that a browser would apply to the whole origin, or a proxy in front obey; and
the one field that tells nginx in front to pass a stream on as it comes."""

import pytest

from kubelatch.http1 import headers
from tests.support.certificates import Authority
from tests.support.relay import relaying
from tests.support.upstream import Connection, Script, answering, ok

DROPPED = [
    "Service-Worker-Allowed: /",
    "NEL: {}",
    "Report-To: {}",
    'Reporting-Endpoints: e="https://evil.example/r"',
    'Alt-Svc: h2="evil.example:443"; persist=1',
    'Clear-Site-Data: "*"',
    "Strict-Transport-Security: max-age=31536000; includeSubDomains",
    'Public-Key-Pins: pin-sha256="x"; max-age=9',
    'Public-Key-Pins-Report-Only: pin-sha256="x"',
    "Expect-CT: max-age=9, enforce",
    'Use-As-Dictionary: match="/*"',
    'Secure-Session-Registration: (ES256);path="/r"',
    'Sec-Session-Registration: (ES256);path="/r"',
    "X-Accel-Redirect: /internal",
    "X-Accel-Expires: 3600",
    "X-Accel-Limit-Rate: 1",
    "X-Accel-Charset: utf-7",
    "X-Sendfile: /etc/passwd",
    "X-Sendfile-Temporary: /etc/passwd",
    "X-LIGHTTPD-send-file: /etc/passwd",
]
# What a page says of itself, or what its scripts could do as well.
KEPT = [
    "Content-Security-Policy: default-src 'self'; report-uri /r",
    "Set-Cookie: a=b; Domain=example; Path=/",
    "Link: </a.css>; rel=preload",
    "Accept-CH: Sec-CH-UA-Model",
    "Origin-Agent-Cluster: ?1",
    "Cross-Origin-Opener-Policy: same-origin",
    "Cache-Control: max-age=60, immutable",
    "X-Accel-Buffering: yes",
]
BOTH = "".join(f"{field}\r\n" for field in (*DROPPED, *KEPT)).encode()
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def passed(head: bytes) -> list[str]:
    """The lines of a head that are among ours, in order."""
    return [line for line in head.decode().split("\r\n") if line in (*DROPPED, *KEPT)]


def test_all_that_is_dropped_is_tested() -> None:
    names = {field.partition(":")[0].lower().encode() for field in DROPPED}
    assert names == headers.NOT_FOR_CLIENTS - headers.HOP_BY_HOP


@pytest.mark.parametrize("target", ["/api", "/api/v1/namespaces/a/services/b/proxy/"])
@pytest.mark.parametrize("body", [b"", b"x"])
async def test_what_holds_for_a_whole_origin_is_dropped(target: str, body: bytes) -> None:
    async with relaying(answering(ok(body, *DROPPED, *KEPT))) as relay, relay.client() as client:
        assert passed((await client.get(target)).head) == KEPT
        assert passed((await client.get(target, method="HEAD")).head) == KEPT


async def test_nor_does_it_pass_in_an_interim_answer() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\n%b\r\n%b" % (BOTH, ok()))

    async with relaying(script) as relay, relay.client() as client:
        interim = await client.get("/api")
        assert (interim.status, passed(interim.head)) == (103, KEPT)
        assert (await client.answer()).status == 200


async def test_nor_does_it_pass_as_a_trailer() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head + b"1\r\nx\r\n0\r\n" + BOTH + b"\r\n")

    async with relaying(script) as relay, relay.client() as client:
        await client.send(b"GET /api HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n")
        data = await client.reader.readuntil(b"\r\n0\r\n")
        trailers = await client.reader.readuntil(b"\r\n\r\n")
        assert (passed(data), passed(trailers)) == ([], [k for k in KEPT if "Cookie" not in k])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE, id="101"),
        pytest.param(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n", id="refused"),
    ],
)
async def test_nor_does_it_pass_with_an_upgrade(answer: bytes) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer + BOTH + b"\r\n")
        await connection.reader.read()

    async with relaying(script) as relay, relay.client() as client:
        await client.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n")
        assert passed((await client.answer()).head) == KEPT


def unsized(*fields: str) -> Script:
    """An answer in chunks."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields]).encode()

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(head + b"\r\n\r\n1\r\nx\r\n0\r\n\r\n")

    return script


POD = "/api/v1/namespaces/shop/pods/web"
STREAMS = [
    "/api/v1/pods?watch=true",
    "/api/v1/watch/pods",
    f"{POD}/log?follow=true",
    f"{POD}/log",
    f"{POD}/proxy/events",
]


@pytest.mark.parametrize("target", STREAMS)
async def test_nginx_in_front_is_told_not_to_buffer_a_stream(target: str) -> None:
    async with relaying(unsized()) as relay, relay.client() as client:
        assert (await client.get(target)).values("x-accel-buffering") == ["no"]
    async with relaying(unsized()) as relay, relay.client() as client:
        await client.send(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert b"\r\nX-Accel-Buffering: no\r\n" in (await client.to_end())[0]


@pytest.mark.parametrize("target", STREAMS)
async def test_an_application_may_say_otherwise(target: str) -> None:
    async with relaying(unsized("X-Accel-Buffering: yes")) as relay, relay.client() as client:
        assert (await client.get(target)).values("x-accel-buffering") == ["yes"]


@pytest.mark.parametrize("target", ["/api/v1/pods", "/version", f"{POD}/status"])
async def test_plain_answers_are_not_marked_as_streams(target: str) -> None:
    async with relaying(unsized()) as relay, relay.client() as client:
        assert (await client.get(target)).values("x-accel-buffering") == []


@pytest.mark.parametrize("target", STREAMS)
async def test_answers_of_known_length_are_not_marked_as_streams(
    target: str, authority: Authority
) -> None:
    script = answering(ok(b"whole"))
    async with relaying(script, authority) as relay, relay.client() as client:
        assert (await client.get(target)).values("x-accel-buffering") == []
