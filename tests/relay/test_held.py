"""A held request reaches the upstream once or not at all, and nothing of it before an answer."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from kubelatch.gate import Gate, GateSettings
from kubelatch.relay import held
from kubelatch.relay.held import HeldExchange, TooManyHeldError
from kubelatch.relay.place import Content, LocalPlace
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import Relay, Tokens, eventually, generation_for, relaying
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok

PODS = "/api/v1/namespaces/shop/pods"
ASK = GateSettings(reject_paths=("^/forbidden",), read_only="on", ask=True)


class Asked:
    """Takes down what is asked."""

    def __init__(self) -> None:
        self.timeout = 0.0
        self.waiting: list[HeldExchange] = []
        self.changes = 0
        self.full = False
        self.admitted = 0

    def admit(self, exchange: HeldExchange) -> None:
        if self.full:
            raise TooManyHeldError("too many")
        self.admitted += 1

    def reserve(self, exchange: HeldExchange, size: int) -> None:
        """There is room."""

    def ask(self, exchange: HeldExchange) -> None:
        self.waiting.append(exchange)

    def changed(self, exchange: HeldExchange) -> None:
        self.changes += 1

    def forget(self, exchange: HeldExchange) -> None:
        if exchange in self.waiting:
            self.waiting.remove(exchange)

    async def next(self) -> HeldExchange:
        """The request that waits, once there is one."""
        await eventually(lambda: self.waiting)
        return self.waiting[0]


@asynccontextmanager
async def asking(
    *answers: bytes, settings: GateSettings = ASK, timeout: float = 0.0
) -> AsyncIterator[tuple[Relay, Asked, Client]]:
    """A data plane that asks, and a client."""
    async with relaying(answering(*(answers or (ok(b"done"),)))) as relay:
        asked = Asked()
        asked.timeout = timeout
        relay.handler.gate = Gate(settings)
        relay.handler.approvals = asked
        async with relay.client() as client:
            yield relay, asked, client


def post(body: bytes, *fields: str) -> bytes:
    lines = [f"POST {PODS} HTTP/1.1", "Host: localhost", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


BODY = bytes(range(256)) * 2000
CHUNKS = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (BODY[:7], BODY[7:99999], BODY[99999:]))


@pytest.mark.parametrize(
    ("fields", "sent", "framing"),
    [
        pytest.param((f"Content-Length: {len(BODY)}",), BODY, "content-length", id="length"),
        pytest.param(
            ("Transfer-Encoding: chunked",), CHUNKS + b"0\r\n\r\n", "transfer-encoding", id="chunks"
        ),
    ],
)
@pytest.mark.parametrize("pieces", [1, 5])
async def test_an_approved_request_goes_on_byte_for_byte_and_once(
    fields: tuple[str, ...], sent: bytes, framing: str, pieces: int
) -> None:
    async with asking() as (relay, asked, client):
        whole = post(sent, *fields, "X-Mine: 1", "Content-Type: application/json")
        step = -(-len(whole) // pieces)
        for at in range(0, len(whole), step):
            await client.send(whole[at : at + step])
            await asyncio.sleep(0)
        exchange = await asked.next()
        assert exchange.body == BODY
        assert relay.upstream.connections == []
        exchange.approve("page")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"done")
        (request,) = relay.upstream.requests
        assert request.line == f"POST {PODS} HTTP/1.1"
        assert request.body == BODY
        assert request.values("x-mine") == ["1"]
        assert len(request.values(framing)) == 1
        (record,) = relay.records
        assert (record.asked, record.answer, record.answered_by) == (
            "read-only", "approved", "page",
        )  # fmt: skip
        assert record.received == len(BODY)
        assert record.rule == ""


async def test_a_client_that_expects_to_continue_is_told_to_by_the_proxy() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"", "Content-Length: 4", "Expect: 100-continue"))
        assert (await client.answer()).status == 100
        assert relay.upstream.connections == []
        await client.send(b"body")
        (await asked.next()).approve("page")
        assert (await client.answer()).status == 200
        (request,) = relay.upstream.requests
        assert request.body == b"body"
        assert request.values("expect") == []


async def test_another_expectation_is_refused() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"", "Content-Length: 4", "Expect: x"))
        assert (await client.answer()).status == 417
        assert (asked.admitted, relay.upstream.connections) == (0, [])


async def test_a_denied_request_gets_the_reason_and_the_connection_goes_on() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        (await asked.next()).deny("command", "use \x1b[31mstaging\u202e")
        answer = await client.answer()
        assert answer.status == 403
        assert b"denied: use \\\\x1b[31mstaging\\\\u202e" in answer.body
        assert b"may change something" in answer.body
        assert (await client.get("/version")).status == 200
        assert [request.line for request in relay.upstream.requests] == ["GET /version HTTP/1.1"]
        first = relay.records[0]
        assert (first.rule, first.answer, first.answered_by) == ("read-only", "denied", "command")


async def test_a_request_without_an_answer_is_refused() -> None:
    async with asking(timeout=0.05) as (relay, asked, client):
        answer = await client.get(f"{PODS}/p", method="DELETE")
        assert answer.status == 403
        assert b"not given within 0.05 s" in answer.body
        assert relay.upstream.connections == []
        assert relay.records[0].answer == "timeout"
        assert asked.waiting == []


async def test_a_client_that_leaves_withdraws_its_request() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        await asked.next()
        client.close()
        await eventually(lambda: not asked.waiting)
        await eventually(lambda: relay.records)
        assert (relay.records[0].answer, relay.records[0].cause) == ("withdrawn", "client-gone")
        assert relay.upstream.connections == []


async def test_a_client_that_has_left_unnoticed_gets_nothing_carried_out() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        exchange = await asked.next()
        descriptor = client.writer.get_extra_info("socket").fileno()
        # Without a turn of the event loop in between.
        with socket.socket(fileno=os.dup(descriptor)) as ours:
            ours.shutdown(socket.SHUT_RDWR)
        exchange.withdraw_if_left()
        assert not exchange.waits
        assert relay.records[0].answer == "withdrawn"
        client.close()
        assert relay.upstream.connections == []


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        pytest.param((f"Content-Length: {held.MAX_BODY + 1}",), b"", 413, id="length"),
        pytest.param(
            ("Transfer-Encoding: chunked",),
            b"%x\r\n%b" % (held.MAX_BODY + 1, bytes(held.MAX_BODY + 1)),
            413,
            id="chunks",
        ),
        pytest.param(("Transfer-Encoding: chunked",), b"2\r\nab\r\nzz\r\n", 400, id="broken"),
    ],
)
async def test_what_cannot_be_held_whole_is_refused(
    fields: tuple[str, ...], body: bytes, status: int
) -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(body, *fields))
        assert (await client.answer()).status == status
        client.close()
        await eventually(lambda: relay.records)
        assert relay.records[0].asked == ""
        assert (asked.waiting, relay.upstream.connections) == ([], [])


async def test_three_mebibytes_are_held() -> None:
    body = bytes(held.MAX_BODY)
    async with asking() as (relay, asked, client):
        sending = asyncio.ensure_future(client.send(post(body, f"Content-Length: {len(body)}")))
        (await asked.next()).approve("page")
        await sending
        assert (await client.answer()).status == 200
        assert relay.upstream.requests[0].body == body


async def test_one_too_many_is_told_to_come_again() -> None:
    async with asking() as (relay, asked, client):
        asked.full = True
        answer = await client.get(f"{PODS}/p", method="DELETE")
        assert (answer.status, answer.values("retry-after")) == (429, ["1"])
        assert relay.upstream.connections == []


async def test_a_drain_ends_what_waits_and_what_comes() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        exchange = await asked.next()
        relay.registry.draining = True
        exchange.drain()
        answer = await client.answer()
        assert (answer.status, answer.values("retry-after")) == (503, ["1"])
        assert relay.records[0].answer == "drained"
        async with relay.client() as other:
            assert (await other.get(f"{PODS}/p", method="DELETE")).status == 503
        assert relay.upstream.connections == []


async def test_looser_rules_let_it_pass() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        await asked.next()
        relay.handler.gate = Gate(replace(ASK, read_only="off"))
        relay.handler.judge_held_again()
        assert (await client.answer()).status == 200
        assert [request.body for request in relay.upstream.requests] == [b"{}"]
        assert (relay.records[0].answer, relay.records[0].answered_by) == ("allowed", "")


async def test_a_rule_that_is_not_asked_about_refuses_it() -> None:
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        exchange = await asked.next()
        relay.handler.gate = Gate(replace(ASK, reject_methods=("POST",)))
        # Before the reload has told it: an answer that comes now judges it again.
        exchange.judge_again()
        assert not exchange.waits
        answer = await client.answer()
        assert (answer.status, b"--reject-methods" in answer.body) == (403, True)
        assert relay.upstream.connections == []
        assert (relay.records[0].answer, relay.records[0].rule) == ("refused", "reject-methods")


async def test_it_goes_where_the_api_server_is_when_it_is_approved() -> None:
    async with asking() as (relay, asked, client), ScriptedUpstream(answering(ok(b"new"))) as new:
        await client.send(post(b"{}", "Content-Length: 2"))
        exchange = await asked.next()
        old, relay.generation = relay.generation, generation_for(new, None, Tokens("t"))
        relay.handler.judge_held_again()
        await eventually(lambda: asked.changes)
        exchange.approve("page")
        assert (await client.answer()).body == b"new"
        assert relay.upstream.connections == []
        await old.close()


async def test_what_follows_on_the_connection_waits() -> None:
    async with asking() as (relay, asked, client):
        following = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await client.send(post(b"{}", "Content-Length: 2") + following)
        exchange = await asked.next()
        async with relay.client() as other:
            assert (await other.get("/api")).status == 200
        assert [request.line for request in relay.upstream.requests] == ["GET /api HTTP/1.1"]
        exchange.approve("page")
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        lines = [request.line.split()[1] for request in relay.upstream.requests]
        assert lines == ["/api", PODS, "/version"]


async def test_a_tunnel_is_held_with_what_its_client_has_sent_already() -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await connection.send(await connection.reader.readexactly(5))

    async with relaying(script) as relay:
        asked = Asked()
        relay.handler.gate = Gate(replace(ASK, reject_paths=()))
        relay.handler.approvals = asked
        async with relay.client() as client:
            await client.send(
                f"GET {PODS}/p/exec?command=sh HTTP/1.1\r\nHost: localhost\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly".encode()
            )
            exchange = await asked.next()
            assert relay.upstream.connections == []
            exchange.approve("page")
            assert (await client.answer()).status == 101
            assert await client.reader.readexactly(5) == b"early"


PROXIED = "/api/v1/namespaces/shop/services/web/proxy/act"


@pytest.mark.parametrize("target", [f"POST {PODS}", f"GET {PROXIED}"])
async def test_what_was_approved_does_not_go_on_a_connection_that_may_have_died(
    target: str,
) -> None:
    """It has waited for minutes: the person should not have to be asked again."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok())
        if connection.number == 0:
            await connection.request()
            connection.abort()

    async with relaying(script) as relay:
        asked = Asked()
        relay.handler.gate = Gate(ASK)
        relay.handler.approvals = asked
        async with relay.client() as client:
            assert (await client.get("/version")).status == 200
            await client.send(f"{target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            (await asked.next()).approve("page")
            assert (await client.answer()).status == 200
            lines = [each.line for each in relay.upstream.requests]
            assert lines == ["GET /version HTTP/1.1", f"{target} HTTP/1.1"]


@pytest.mark.parametrize("target", [f"POST {PODS}", f"DELETE {PODS}/p", f"GET {PROXIED}"])
async def test_what_was_approved_is_not_sent_again_if_its_connection_dies(target: str) -> None:
    """The upstream may have carried it out: once or not at all."""

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.abort()

    async with relaying(script) as relay:
        asked = Asked()
        relay.handler.gate = Gate(ASK)
        relay.handler.approvals = asked
        async with relay.client() as client:
            await client.send(f"{target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            (await asked.next()).approve("page")
            assert (await client.answer()).status == 502
            assert len(relay.upstream.requests) == 1


UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "status", "sent"),
    [
        pytest.param(f"POST {PODS}", 200, 2, id="refused by the API server"),
        pytest.param(f"POST {PROXIED}", 401, 1, id="perhaps carried out by an application"),
        pytest.param(f"GET {PROXIED}", 401, 1, id="a GET may change something there"),
    ],
)
async def test_a_401_of_an_application_does_not_have_it_act_twice(
    authority: Authority, target: str, status: int, sent: int
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(ok() if connection.number else UNAUTHORIZED)

    async with relaying(script, authority, Tokens("old", "new")) as relay:
        asked = Asked()
        relay.handler.gate = Gate(ASK)
        relay.handler.approvals = asked
        async with relay.client() as client:
            await client.send(f"{target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            (await asked.next()).approve("page")
            assert (await client.answer()).status == status
            assert len(relay.upstream.requests) == sent


async def test_without_anybody_to_ask_it_is_refused() -> None:
    async with asking() as (relay, _, client):
        relay.handler.approvals = None
        assert (await client.get(f"{PODS}/p", method="DELETE")).status == 403
        assert relay.records[0].rule == "read-only"


async def test_responses_of_our_own_are_not_asked_about() -> None:
    """There is nothing to carry out: what a place of ours refuses stays refused."""

    async def respond(_: object) -> Content:
        raise AssertionError

    class Elsewhere:
        def route(self, _: object) -> LocalPlace:
            return LocalPlace(Gate(ASK), respond, "elsewhere")

    async with asking() as (relay, asked, client):
        relay.handler.router = Elsewhere()
        assert (await client.get(f"{PODS}/p", method="DELETE")).status == 403
        assert (asked.admitted, relay.upstream.connections) == (0, [])


ENDS = ("approved", "denied", "timeout", "withdrawn", "drained", "allowed")


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_comes_first_decides_and_nothing_after_it(seed: int) -> None:
    order = random.Random(seed).sample(ENDS, len(ENDS))
    first = ENDS[seed % len(ENDS)]
    order.remove(first)
    async with asking() as (relay, asked, client):
        await client.send(post(b"{}", "Content-Length: 2"))
        exchange = await asked.next()

        def happen(end: str) -> None:
            if end == "approved":
                exchange.approve("page")
            elif end == "denied":
                exchange.deny("page", "")
            elif end == "timeout":
                exchange._time_out(1.0)
            elif end == "withdrawn":
                exchange.cancel()
            elif end == "drained":
                exchange.drain()
            else:
                relay.handler.gate = Gate(replace(ASK, read_only="off"))
                exchange.judge_again()

        # All within one turn of the event loop, as far as it can tell.
        for end in (first, *order, first):
            happen(end)
        sent = first in {"approved", "allowed"}
        if first == "withdrawn":
            client.close()
        else:
            statuses = {"approved": 200, "allowed": 200, "drained": 503}
            assert (await client.answer()).status == statuses.get(first, 403)
        await eventually(lambda: relay.records)
        assert [record.answer for record in relay.records] == [first]
        assert len(relay.upstream.requests) == sent
        assert asked.waiting == []
