"""A request that was held goes upstream as it would have gone without a policy, byte for byte."""

import asyncio

import pytest

from kubelatch.gate import Gate
from tests.support.relay import relaying
from tests.support.upstream import Request, answering, ok

from .test_held import ASK, PODS, Asked

TWO = "Content-Length: 2\r\n\r\n{}"
REQUESTS = {
    "HTTP/1.0": f"POST {PODS} HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\n{TWO}",
    "no length": f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "trailers": f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    "Trailer: X-A\r\nTE: trailers\r\n\r\n2;ext=1\r\n{}\r\n0\r\nContent-Type: x\r\n\r\n",
    "no chunk": f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    "0\r\n\r\n",
    "GET with a body": f"GET /api/v1/secrets HTTP/1.1\r\nHost: localhost\r\n{TWO}",
    "connection fields": f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\nConnection: X-Hop\r\n"
    f"X-Hop: 1\r\nX-Two: a\r\nX-Two: b\r\nContent-Encoding: gzip\r\nAccept-Encoding: br\r\n{TWO}",
    "absolute": f"POST http://localhost{PODS}?a=%2F%2f&b=c;d HTTP/1.1\r\nHost: localhost\r\n{TWO}",
    "escapes": f"DELETE {PODS}/p%41%20x?a=+b%2B&dryRun=%41ll&dryRun=x HTTP/1.1\r\n"
    "Host: localhost\r\n\r\n",
    "identity": f"PUT {PODS}/p HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"
    f"Impersonate-User: a\r\nImpersonate-Extra-a%2fb: c\r\nUser-Agent:\r\n{TWO}",
    "another upgrade": f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\n"
    f"Connection: upgrade, http2-settings\r\nHTTP2-Settings: AAA\r\n{TWO}",
}


async def send(data: str, *, held: bool) -> Request:
    """What comes of it upstream."""
    async with relaying(answering(ok())) as relay, relay.client() as client:
        asked = Asked()
        if held:
            relay.handler.gate = Gate(ASK)
            relay.handler.approvals = asked
        sending = asyncio.create_task(client.send(data.encode()))
        if held:
            (await asked.next()).approve("page")
        await sending
        assert (await client.answer()).status == 200
        (request,) = relay.upstream.requests
        port = str(relay.upstream.port).encode()
        return Request(request.head.replace(port, b"PORT"), request.body)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_held_request_is_sent_as_one_that_was_not_held(name: str) -> None:
    data = REQUESTS[name]
    assert await send(data, held=True) == await send(data, held=False)
