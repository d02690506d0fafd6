"""Targets with bytes beyond ASCII, as curl sends them: judged and forwarded as they came."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.gate import Gate, GateSettings
from kubelatch.http1.request_line import RequestLine
from tests.support.relay import eventually, relaying
from tests.support.upstream import answering, ok

from .warm_connection import note_begun

UTF_8 = "/api/v1/namespaces/d/services/web/proxy/größe.txt?q=ä&x=%C3%A4".encode()
TARGETS = [
    pytest.param(UTF_8, id="UTF-8"),
    pytest.param(b"/api/v1/pods?labelSelector=stadt%3Dk\xc3\xb6ln", id="in the query alone"),
    pytest.param(b"/\xe4\xff\x80\xfe/x", id="no UTF-8"),
    pytest.param(b"/a?\xff\xfe\xed\xa0\x80", id="no UTF-8 in the query"),
    pytest.param(bytes([*b"/", *range(128, 256)]), id="every byte"),
    pytest.param("/\u0085\u00a0\u2028\u3000x".encode(), id="spaces of Unicode"),
    pytest.param("/%ED%A0%80\udcff".encode("utf-8", "surrogateescape"), id="beside escapes"),
    pytest.param("/名前/\N{GRINNING FACE}".encode(), id="other planes"),
]


def request(target: bytes, *, method: bytes = b"GET", lines: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (method, target, lines)


@pytest.mark.parametrize("target", TARGETS)
async def test_a_url_with_raw_bytes_goes_on_as_it_came(target: bytes) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(request(target) + request(b"/plain"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        lines = [r.head.split(b"\r\n")[0] for r in relay.upstream.requests]
        assert lines == [b"GET %b HTTP/1.1" % target, b"GET /plain HTTP/1.1"]
        [record, _] = relay.records
        assert record.target == target.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("first", [b"", b"\r\n"])
async def test_in_pieces_that_cut_through_its_characters(size: int, first: bytes) -> None:
    data = first + request(UTF_8, lines=b"X-U: \xf6\r\n")
    async with relaying(answering(ok())) as relay, relay.client() as client:
        for start in range(0, len(data), size):
            await client.send(data[start : start + size])
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200
        [seen] = relay.upstream.requests
        assert seen.head.startswith(b"GET %b HTTP/1.1\r\n" % UTF_8)
        assert ("X-U", "\xf6") in seen.fields


async def test_with_a_body_and_without_a_task(begun: list[str]) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        note_begun(relay.handler)
        await relay.prime()
        await client.send(request(UTF_8))
        assert (await client.answer()).status == 200
        assert begun[-1:] == [UTF_8.decode()]
        await client.send(request(UTF_8, method=b"POST", lines=b"Content-Length: 3\r\n") + b"abc")
        assert (await client.answer()).status == 200
        last = relay.upstream.requests[-1]
        assert (last.head.split(b"\r\n")[0], last.body) == (b"POST %b HTTP/1.1" % UTF_8, b"abc")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"G\xc3\x8bT /a HTTP/1.1\r\nHost: localhost\r\n\r\n", id="method"),
        pytest.param(b"GET\xc2\xa0/a HTTP/1.1\r\nHost: localhost\r\n\r\n", id="no space"),
        pytest.param(b"GET /a HTTP/1.\xb1\r\nHost: localhost\r\n\r\n", id="version"),
        pytest.param(b"GET /a \xc3\xa4 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="a third word"),
        pytest.param(b"GET /a HTTP/1.1\r\nHost: localhost\r\nX-\xc3\xa4: 1\r\n\r\n", id="name"),
        pytest.param(b"GET \xc3\xa4/a HTTP/1.1\r\nHost: localhost\r\n\r\n", id="not a path"),
        pytest.param(
            b"GET ht\xc3\xa4p://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="scheme"
        ),
        pytest.param(b"GET http://l\xc3\xb6/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="host"),
        pytest.param(b"GET http://localhost:8\xb0/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="port"),
        pytest.param(b"GET /\xc3\xa4\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="control byte"),
        pytest.param(b"GET /\xc3\xa4%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", id="bad escape"),
        pytest.param(b"GET /\xc3\xa4/%2e%2e/x HTTP/1.1\r\nHost: localhost\r\n\r\n", id="dots"),
    ],
)
async def test_elsewhere_than_in_a_target_such_bytes_are_refused(data: bytes) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(data)
        assert (await client.answer()).status == 400
        assert relay.upstream.requests == []


async def test_the_filter_sees_the_same_path_as_the_upstream() -> None:
    pytest.importorskip("re2", reason="google-re2 has no wheel for this Python")
    async with relaying(answering(ok())) as relay, relay.client() as client:
        relay.handler.gate = Gate(GateSettings(reject_paths=("^/größe$",)))
        for target in ("/größe", "/gr%C3%B6%C3%9Fe"):
            await client.send(request(target.encode()))
            answer = await client.answer()
            assert answer.status == 403, target
            assert "/größe" in json.loads(answer.body)["message"]
        await client.send(request("/größer".encode()))
        assert (await client.answer()).status == 200


async def test_a_redirect_to_the_clean_form_is_ascii() -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.send(request("//größe\udcff".encode("utf-8", "surrogateescape")))
        answer = await client.answer()
        assert (answer.status, answer.values("location")) == (307, ["/gr%C3%B6%C3%9Fe%FF"])
        await eventually(lambda: relay.records)


@given(st.binary(max_size=60), st.lists(st.integers(0, 90), max_size=4))
def test_any_cut_of_any_line_reads_the_same(target: bytes, cuts: list[int]) -> None:
    data = b"GET /%b HTTP/1.1\r\nX-A: \xff\r\n\r\n" % target.translate(None, b" \t\n\v\f\r")
    whole = RequestLine().readable(data)
    line, fed, last = RequestLine(), b"", 0
    for cut in [*sorted(cuts), len(data)]:
        fed += line.readable(data[last:cut])
        last = max(last, cut)
    assert fed == whole
    assert fed[data.index(b"\n") :] == data[data.index(b"\n") :]
    assert fed.partition(b"\n")[0].isascii()
    sent = data.split(b" ")[1].decode("utf-8", "surrogateescape")
    assert line.target(fed.split(b" ")[1].decode()) == sent
