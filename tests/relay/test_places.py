"""Requests whose place is found by a router: they wait until it is prepared, and go there alone."""

import asyncio
import json

import pytest
from aiohttp.http import RawRequestMessage

from kubelatch.errors import ConfigError, KubelatchError
from kubelatch.gate import Gate, GateSettings
from kubelatch.relay.drain import finish
from kubelatch.relay.place import Content, LocalPlace, Place, Routers
from kubelatch.relay.request import ClientRequest
from kubelatch.upstream.generation import Generation
from tests.support.relay import Relay, Tokens, eventually, generation_for, relaying
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

from .tunnels import asking, echo

GET = b"GET /there/api HTTP/1.1\r\nHost: localhost\r\n\r\n"


class There:
    """A place below /there/ that is prepared when the test says so."""

    def __init__(self, generation: Generation | None = None) -> None:
        self.name = "there"
        self.gate = Gate(GateSettings(api_prefix="/there/", reject_paths=("^/forbidden",)))
        self.wanted = generation
        self.generation: Generation | None = None
        self.error: KubelatchError | None = None
        self.allowed = asyncio.Event()
        self.waiting = 0
        self.asked = 0

    def route(self, message: RawRequestMessage) -> Place | LocalPlace | None:
        return self if message.path.startswith("/there/") else None

    def current(self) -> Generation | None:
        return self.generation

    async def prepare(self) -> None:
        self.asked += 1
        self.waiting += 1
        try:
            await self.allowed.wait()
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error
        self.generation = self.wanted


def place_in(relay: Relay) -> There:
    """A place that leads to the relay's own upstream."""
    relay.handler.router = there = There(relay.generation)
    relay.handler.context = "here"
    return there


async def repeat(connection: Connection) -> None:
    """Respond with the request's target and body."""
    while True:
        request = await connection.request()
        await connection.send(ok(request.line.split(" ")[1].encode() + b" " + request.body))


async def test_requests_wait_until_their_place_is_prepared() -> None:
    async with relaying(repeat) as relay:
        there = place_in(relay)
        async with relay.client() as one, relay.client() as two, relay.client() as other:
            await one.send(
                b"POST /there/api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbo"
            )
            await two.send(GET + GET.replace(b"api", b"next"))
            await eventually(lambda: there.waiting == 2)
            await one.send(b"dy")
            assert (await other.get("/elsewhere")).body == b"/elsewhere "
            there.allowed.set()
            assert (await one.answer()).body == b"/api body"
            assert (await two.answer()).body == b"/api "
            assert (await two.answer()).body == b"/next "
            assert (await two.get("/here")).body == b"/here "
            assert (await two.get("/there/api")).body == b"/api "
        assert there.asked == 2
        contexts = sorted(record.context for record in relay.records)
    assert contexts == ["here", "here", *["there"] * 4]


async def test_a_place_that_cannot_be_prepared_fails_its_own_requests() -> None:
    async with relaying(repeat) as relay, relay.client() as client:
        there = place_in(relay)
        there.allowed.set()
        there.error = ConfigError("the CA cannot be read")
        failed = await client.get("/there/api")
        assert (await client.get("/api")).status == 200
        there.error = None
        assert (await client.get("/there/api")).body == b"/api "
    assert failed.status == 500
    assert "the CA cannot be read" in json.loads(failed.body)["message"]
    assert [(r.context, r.cause) for r in relay.records] == [
        ("there", "config"),
        ("here", ""),
        ("there", ""),
    ]


async def test_a_client_that_leaves_before_its_place_is_prepared_is_forgotten() -> None:
    async with relaying(repeat) as relay:
        there = place_in(relay)
        async with relay.client() as client:
            await client.send(GET)
            await eventually(lambda: there.waiting)
        await eventually(lambda: relay.records)
        assert (relay.records[0].cause, there.waiting) == ("client-gone", 0)
        there.allowed.set()
    assert not relay.upstream.requests


@pytest.mark.parametrize(
    ("target", "field", "status", "rule"),
    [
        ("/there/forbidden", "X-A: b", 403, "reject-paths"),
        ("/there/api", "Origin: http://evil.example", 403, "origin"),
        ("/there/../api", "X-A: b", 307, "redirect"),
        ("/there/%2e%2e/api", "X-A: b", 400, "target"),
    ],
)
async def test_a_place_is_prepared_for_no_request_that_its_gate_refuses(
    target: str, field: str, status: int, rule: str
) -> None:
    async with relaying(repeat) as relay, relay.client() as client:
        there = place_in(relay)
        assert (await client.get(target, field)).status == status
    assert there.asked == 0
    assert [record.rule for record in relay.records] == [rule]


async def test_an_upgrade_waits_for_its_place_with_its_early_data() -> None:
    async with relaying(echo) as relay, relay.client() as client:
        there = place_in(relay)
        await client.send(asking().replace(b"/ws", b"/there/ws") + b"early")
        await eventually(lambda: there.waiting)
        there.allowed.set()
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(5) == b"early"
        await client.send(b"later")
        assert await client.reader.readexactly(5) == b"later"


async def test_an_upgrade_to_another_protocol_is_ignored_after_waiting() -> None:
    async with relaying(repeat) as relay, relay.client() as client:
        there = place_in(relay)
        await client.send(asking("h2c").replace(b"/ws", b"/there/ws") + GET)
        await eventually(lambda: there.waiting)
        there.allowed.set()
        assert (await client.answer()).body == b"/ws "
        assert (await client.answer()).body == b"/api "


async def test_a_request_that_waits_for_its_place_is_told_of_the_end_of_a_drain() -> None:
    async with relaying(repeat) as relay, relay.client() as client:
        there = place_in(relay)
        await client.send(GET)
        await eventually(lambda: there.waiting)
        relay.registry.draining = True
        await finish(relay.http, relay.registry, 0.01)
        assert (await client.answer()).status == 503
        assert there.waiting == 0
    assert relay.records[0].cause == "draining"


async def test_connections_that_alternate_between_places_reach_each_its_own() -> None:
    async def other(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(ok(b"other"))

    async with ScriptedUpstream(other) as upstream, relaying(repeat) as relay:
        generation = generation_for(upstream, None, Tokens("other"))
        relay.handler.router = there = There(generation)
        there.allowed.set()
        async with relay.client() as client:
            for _ in range(3):
                assert (await client.get("/there/api")).body == b"other"
                assert (await client.get("/api")).body == b"/api "
        await generation.close()
    assert len(upstream.requests) == len(relay.upstream.requests) == 3


async def test_a_local_place_responds_to_what_its_gate_allows() -> None:
    async def respond(request: ClientRequest) -> Content:
        if request.message.path.endswith("missing"):
            raise ConfigError("not here")
        return Content(200, b"content", "text/plain", (("X-A", "b"),))

    class Local:
        place = LocalPlace(Gate(GateSettings(api_prefix="/local/")), respond, "local")

        def route(self, message: RawRequestMessage) -> LocalPlace | None:
            return self.place if message.path.startswith("/local/") else None

    async with relaying(answering(ok(b""))) as relay, relay.client() as client:
        there = There(relay.generation)
        there.allowed.set()
        relay.handler.router = Routers(Local(), there)
        got = await client.get("/local/")
        head = await client.get("/local/", method="HEAD")
        missing = await client.get("/local/missing")
        foreign = await client.get("/local/", "Sec-Fetch-Site: cross-site")
        assert (await client.get("/there/api")).status == 200
    assert (got.status, got.body, got.values("x-a")) == (200, b"content", ["b"])
    assert (head.status, head.values("content-length")) == (200, ["7"])
    assert (missing.status, foreign.status) == (500, 403)
    assert [(r.rule, r.cause) for r in relay.records[:4]] == [
        ("local", ""),
        ("local", ""),
        ("", "config"),
        ("fetch-site", ""),
    ]


async def test_a_fault_of_a_place_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async with relaying(repeat) as relay, relay.client() as client:
        there = place_in(relay)
        there.allowed.set()

        async def prepare() -> None:
            raise ZeroDivisionError

        there.prepare = prepare  # type: ignore[method-assign]
        assert (await client.get("/there/api")).status == 500
        assert (await client.get("/api")).status == 200
    assert "internal error" in caplog.text
