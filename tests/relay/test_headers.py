"""Header fields and interim answers, both ways."""

import asyncio
import json

import pytest

from tests.support.certificates import Authority
from tests.support.relay import relaying
from tests.support.upstream import Connection, answering, ok

HOST = b"Host: localhost\r\n"


async def sent(*fields: str, authority: Authority | None = None) -> list[tuple[str, str]]:
    """What the upstream gets for a GET with these fields, Host left out."""
    async with relaying(answering(ok()), authority) as relay, relay.client() as client:
        assert (await client.get("/api", *fields)).status == 200
        [request] = relay.upstream.requests
    return [pair for pair in request.fields if pair[0] != "Host"]


OURS = [
    ("User-Agent", "relay/1"),
    ("Accept-Encoding", "gzip"),
    ("X-Forwarded-For", "127.0.0.1"),
]
KEPT_UP = [
    pytest.param(["X-lower-Case: a", "X-lower-Case: b"], id="case, order and repetition"),
    pytest.param(["Cookie: a=b", "Origin-ish: x", "Referer: y", "Via: z"], id="end-to-end fields"),
    pytest.param(["X-Forwarded-Host: h", "X-Forwarded-Proto: https"], id="other forwarding"),
    pytest.param(["X-Empty: "], id="an empty value"),
    pytest.param(["X-Latin: \xe9\xff"], id="bytes above ASCII"),
]


@pytest.mark.parametrize("fields", KEPT_UP)
async def test_what_is_end_to_end_passes_untouched(fields: list[str]) -> None:
    expected = [tuple(field.split(": ", 1)) for field in fields]
    assert await sent(*fields) == expected + OURS


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["Connection: x-a, X-B", "X-A: 1", "x-b: 2"], id="named in Connection"),
        pytest.param(["Connection: close", "Connection: x-a", "X-A: 1"], id="two Connections"),
        pytest.param(["Connection: ", "Connection: x-a", "X-A: 1"], id="the first is empty"),
        pytest.param(["Keep-Alive: 5", "Proxy-Connection: x", "Trailer: y"], id="hop-by-hop"),
        pytest.param(["Proxy-Authorization: x", "Proxy-Authenticate: y"], id="for proxies"),
        pytest.param(["TE: gzip"], id="codings of a transfer"),
        pytest.param(["Upgrade: h2c"], id="an upgrade without Connection"),
        pytest.param(["Connection: keep-alive, TE, X-Unknown"], id="named, and not there"),
        pytest.param(["User-Agent: "], id="an empty name"),
    ],
)
async def test_what_is_hop_by_hop_does_not_pass(fields: list[str]) -> None:
    assert await sent(*fields) == OURS


async def test_trailers_stay_acceptable() -> None:
    assert ("TE", "trailers") in await sent("TE: gzip;q=0.5, trailers")


async def test_the_peer_is_appended_to_x_forwarded_for() -> None:
    got = await sent("X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8")
    assert got[-1] == ("X-Forwarded-For", "1.2.3.4, 5.6.7.8, 127.0.0.1")


async def test_our_credential_goes_along(authority: Authority) -> None:
    assert ("Authorization", "Bearer first") in await sent(authority=authority)


async def test_a_clients_credential_replaces_ours(authority: Authority) -> None:
    got = await sent("Authorization: Basic eDp5", authority=authority)
    assert [v for k, v in got if k == "Authorization"] == ["Basic eDp5"]


async def test_an_empty_credential_is_none(authority: Authority) -> None:
    got = await sent("Authorization: ", authority=authority)
    assert [v for k, v in got if k == "Authorization"] == ["Bearer first"]


@pytest.mark.parametrize(
    "target",
    ["/a%2Fb/c", "/a%2fb%20c", "/%7euser", "/api?", "/api?a=1;b=2&c=%zz", "/a'b(c)*!$&,=:@", "/"],
)
async def test_the_target_is_kept_byte_for_byte(target: str) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        await client.get(target)
        assert relay.upstream.requests[0].line == f"GET {target} HTTP/1.1"


async def test_a_path_prefix_is_put_before_the_target() -> None:
    async with relaying(answering(ok()), path_prefix=b"/k8s/c-1") as relay:
        async with relay.client() as client:
            await client.get("/api?x=1")
        assert relay.upstream.requests[0].line == "GET /k8s/c-1/api?x=1 HTTP/1.1"


async def test_an_answers_fields_pass_but_for_hop_by_hop_ones() -> None:
    fields = [
        "Access-Control-Allow-Origin: *", "Set-Cookie: a", "Set-Cookie: b", "server: x",
        "WWW-Authenticate: Bearer", "Location: https://elsewhere/", "Warning: 299 - w",
        "X-Empty:", "Date: then",
    ]  # fmt: skip
    dropped = ["Connection: x-a", "X-A: 1", "Keep-Alive: 1", "Proxy-Authenticate: y", "Upgrade: z"]
    async with (
        relaying(answering(ok(b"", *fields, *dropped))) as relay,
        relay.client() as client,
    ):
        answer = await client.get("/api", "Accept-Encoding: identity")
    lines = answer.head.decode().split("\r\n")[1:]
    assert [line.rstrip() for line in lines] == ["Content-Length: 0", *fields]


async def test_an_option_of_the_connection_takes_nothing_that_the_body_needs() -> None:
    upstream = (
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop, Content-Encoding, Content-Length\r\nX-Hop: 1\r\n"
        b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx"
    )
    async with relaying(answering(upstream)) as relay, relay.client() as client:
        answer = await client.get("/api", "Accept-Encoding: br")
    assert (answer.body, answer.whole) == (b"x", True)
    assert answer.values("x-hop") == []
    assert answer.values("content-encoding") == ["br"]
    assert answer.values("content-length") == ["1"]


async def test_a_missing_date_is_added() -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        assert len((await client.get("/api")).values("date")) == 1


@pytest.mark.parametrize("announced", [b"", b"Trailer: X-T\r\n"], ids=["unannounced", "announced"])
async def test_trailers_of_an_answer_are_relayed(announced: bytes) -> None:
    upstream = (
        b"HTTP/1.1 200 OK\r\n" + announced + b"Transfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nX-T: 1\r\nSet-Cookie: 9\r\nX-U:\r\n\r\n"
    )
    async with relaying(answering(upstream)) as relay, relay.client() as client:
        await client.send(b"GET /api HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        data, _ = await client.to_end()
    head, _, body = data.partition(b"\r\n\r\n")
    assert body == b"1\r\nx\r\n0\r\nX-T: 1\r\nX-U: \r\n\r\n"
    assert (b"Trailer: X-T" in head) is bool(announced)


async def test_early_hints_are_relayed() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with relaying(answering(hints * 2 + ok(b"x"))) as relay, relay.client() as client:
        answers = [await client.get("/api"), await client.answer(), await client.answer()]
    assert [a.status for a in answers] == [103, 103, 200]
    assert answers[0].values("link") == ["</x>"]
    assert answers[2].body == b"x"


EXPECTING = b"POST /api HTTP/1.1\r\n" + HOST + b"Expect: 100-Continue\r\nContent-Length: 4\r\n\r\n"


async def test_the_upstreams_100_is_relayed_once_and_none_is_invented() -> None:
    allow = asyncio.Event()

    async def script(connection: Connection) -> None:
        request = await connection.head()
        assert request.values("expect") == ["100-continue"]
        await allow.wait()
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.send(ok(await connection.reader.readexactly(4)))

    async with relaying(script) as relay, relay.client() as client:
        await client.send(EXPECTING)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.1)
        allow.set()
        assert (await client.answer()).status == 100
        await client.send(b"body")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"body")
        assert len(relay.records) == 1


async def test_a_final_answer_in_place_of_100_ends_the_connection() -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await connection.reader.read()

    async with relaying(script) as relay, relay.client() as client:
        await client.send(EXPECTING)
        answer = await client.answer()
        assert (answer.status, answer.body) == (413, b"big")
        assert answer.values("connection") == ["close"]
        assert await client.to_end() == (b"", True)
        assert relay.idle == 0


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["Expect: 100-continue", "Expect: miracles"], id="the last"),
        pytest.param(["Expect: miracles", "Expect: 100-continue"], id="the first"),
        pytest.param(["Expect: miracles, 100-continue"], id="in one list"),
    ],
)
async def test_another_expectation_is_417(fields: list[str]) -> None:
    async with relaying(answering(ok())) as relay, relay.client() as client:
        answer = await client.get("/api", *fields)
        assert (answer.status, json.loads(answer.body)["code"]) == (417, 417)
        assert relay.upstream.requests == []
