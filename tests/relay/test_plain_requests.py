"""Plain requests and answers, byte by byte."""

from pathlib import Path

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok


async def test_a_get_reaches_the_upstream_as_sent(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok(b"hello")), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            answer = await client.get("/api/v1/pods?limit=5&x=%2F", "X-Mine: 1")
    assert (answer.status, answer.body) == (200, b"hello")
    [request] = upstream.requests
    assert request.line == "GET /api/v1/pods?limit=5&x=%2F HTTP/1.1"
    assert request.values("host") == [f"127.0.0.1:{upstream.port}"]
    assert request.values("x-mine") == ["1"]
    assert request.values("x-forwarded-for") == ["127.0.0.1"]
