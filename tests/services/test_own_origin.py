"""What an application says of its own origin is kept, what reaches beyond it is not; and bytes."""

import asyncio
import hashlib
import shutil
import subprocess
from typing import Any

import pytest
from aiohttp import web

from tests.support.client import Answer
from tests.support.cluster import application
from tests.support.relay import eventually

from .conftest import HOST, Start

KEPT = [
    ("Location", "http://localhost/elsewhere"),
    ("Content-Location", "/x"),
    ("Refresh", "5;url=/y"),
    ("Service-Worker-Allowed", "/"),
    ("Clear-Site-Data", '"*"'),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("NEL", "{}"),
    ("Reporting-Endpoints", 'e="/r"'),
    ("Set-Cookie", "a=1; Path=/; HttpOnly"),
    ("Set-Cookie", f"b=2; Domain={HOST}"),
    ("Set-Cookie", "c=domain=localhost"),
    ("WWW-Authenticate", 'Basic realm="app"'),
    ("Content-Security-Policy", "default-src 'self'"),
]
DROPPED = [
    ("Strict-Transport-Security", "max-age=9; includeSubDomains"),
    ("Alt-Svc", 'h2=":443"'),
    ("Public-Key-Pins", "x"),
    ("X-Accel-Redirect", "/internal"),
    ("X-Sendfile", "/etc/passwd"),
    ("Set-Cookie", "d=4; Domain=localhost"),
    ("Set-Cookie", "e=5; path=/; DOMAIN = .LocalHost ; secure"),
    ("Set-Cookie", 'f=6;domain="localhost."'),
]


@pytest.mark.parametrize("status", [200, 302, 401, 404])
async def test_fields_for_its_own_origin_pass_and_others_do_not(start: Start, status: int) -> None:
    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(status=status, body=b"<a href='/api/v1'>untouched</a>")
        for name, value in (*KEPT, *DROPPED):
            response.headers.add(name, value)
        return response

    setting = await start()
    async with application(respond) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get("/api/v1/pods?watch=true")
        socket = await setting.get(
            "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"
        )
    assert answer.status == status
    assert answer.body == b"<a href='/api/v1'>untouched</a>"
    assert kept(answer) == KEPT
    # An application that does not switch responds as it likes, as well.
    assert (socket.status, socket.body) == (status, answer.body)
    assert kept(socket) == KEPT


def kept(answer: Answer) -> list[tuple[str, str]]:
    names = {name for name, _ in (*KEPT, *DROPPED)}
    lines = [line.decode("latin-1").partition(": ") for line in answer.head.split(b"\r\n")[1:]]
    return [(name, value) for name, _, value in lines if name in names]


async def test_an_upload_and_a_download_are_whole(start: Start) -> None:
    async def digest(request: web.BaseRequest) -> web.StreamResponse:
        total = hashlib.sha256()
        stream = web.StreamResponse()
        await stream.prepare(request)
        while data := await request.content.readany():
            total.update(data)
            await stream.write(data)
        return stream

    setting = await start()
    body = bytes(range(256)) * 16_000
    async with application(digest) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get("/", method="POST", body=body)
    assert answer.whole
    assert answer.body == body


async def test_a_client_that_reads_slowly_holds_the_application_up(start: Start) -> None:
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        stream = web.StreamResponse()
        await stream.prepare(request)
        while sent < 2**28:
            await stream.write(b"x" * 65536)
            sent += 65536
        return stream

    setting = await start()
    async with application(endless) as port:
        setting.cluster.serve("web", port)
        async with setting.client() as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            seen, still = -1, 0
            async with asyncio.timeout(30):
                while still < 10:
                    still = still + 1 if sent == seen else 0
                    seen = sent
                    await asyncio.sleep(0.02)
            # Sockets' buffers on the way, and nothing of that size here.
            assert seen < 2**26
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await eventually(lambda: sent > seen, 20)
        await eventually(lambda: not any(setting.cluster.open.values()), 20)


async def test_an_interim_response_and_an_expectation_pass(start: Start) -> None:
    async def take(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Expect"] == "100-continue"
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return web.Response(body=await request.read())

    setting = await start()
    async with application(take) as port:
        setting.cluster.serve("web", port)
        async with setting.client() as client:
            await client.send(
                f"POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\n"
                "Content-Length: 2\r\n\r\n".encode()
            )
            assert (await client.answer()).status == 100
            await client.send(b"ok")
            assert (await client.answer()).body == b"ok"


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl: apt-get install curl")
async def test_curl_reaches_a_service_by_its_name(start: Start) -> None:
    async def hello(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"hello {request.raw_path}")

    setting = await start()
    async with application(hello) as port:
        setting.cluster.serve("web", port)
        url = f"http://{HOST}:{setting.port}/a/../b"
        found: subprocess.CompletedProcess[str] = await asyncio.to_thread(
            subprocess.run,
            ["curl", "-sS", "--path-as-is", url],
            capture_output=True,
            text=True,
            check=True,
        )
    assert found.stdout == "hello /a/../b"


async def test_an_application_that_ends_early_is_cut_and_named(start: Start) -> None:
    async def short(request: web.BaseRequest) -> Any:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        request.transport.close()
        raise asyncio.CancelledError

    async def silent(request: web.BaseRequest) -> Any:
        assert request.transport is not None
        request.transport.close()
        raise asyncio.CancelledError

    setting = await start()
    async with application(short) as port:
        setting.cluster.serve("web", port)
        answer = await setting.get()
        assert (answer.status, answer.body, answer.whole) == (200, b"", False)
    setting.cluster.services.clear()
    async with application(silent) as port:
        setting.cluster.serve("other", port)
        refused = await setting.get(host="other--shop--test.localhost")
    assert refused.status == 502
    assert b"the service shop/other closed the connection before responding" in refused.body


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\n\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\nContent-Type: text/plain\nContent-Length: 5\n\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
            b"hello",
        ),
        (b"hello", b"Is its port one of HTTP?"),
        (b"\x15\x03\x01\x00\x02\x02\x46", b"Of TLS, it is reached as https--"),
    ],
)
async def test_a_small_server_that_browsers_can_read_is_no_bad_gateway(
    start: Start, response: bytes, body: bytes
) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        writer.close()

    setting = await start()
    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        setting.cluster.serve("web", server.sockets[0].getsockname()[1])
        answer = await setting.get()
    assert answer.whole
    assert body in answer.body
    assert b"kubeconfig" not in answer.body
