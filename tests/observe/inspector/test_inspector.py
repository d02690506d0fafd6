"""What is captured, kept, counted and told as it happens."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kubelatch.observe.inspector import sampler
from kubelatch.observe.inspector.entries import KeptExchange
from kubelatch.observe.inspector.ring import Ring
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.http2_server import Alpn
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, answering, ok, server_context

from .support import SECRET, Inspected, flags, inspected, inspected_demo

JSON = "Content-Type: application/json"


class Events:
    """A reader of server-sent events."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._text = ""
        self.last = ""

    async def next(self, kind: str = "exchange") -> dict[str, Any]:
        """The data of the next event of that kind."""
        async with asyncio.timeout(10):
            while True:
                block, found, rest = self._text.partition("\n\n")
                if not found:
                    size = int(await self._client.reader.readline(), 16)
                    self._text += (await self._client.reader.readexactly(size)).decode()
                    await self._client.reader.readexactly(2)
                    continue
                self._text = rest
                lines = dict(line.split(": ", 1) for line in block.split("\n"))
                self.last = lines.get("id", self.last)
                if lines.get("event") == kind:
                    data: dict[str, Any] = json.loads(lines["data"])
                    return data


@asynccontextmanager
async def events_of(proxy: Inspected, last: str = "") -> AsyncIterator[Events]:
    async with await Client.connect(proxy.app.admin_name) as client:
        more = f"Last-Event-ID: {last}\r\n" if last else ""
        await client.send(
            f"GET /inspect/events HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {SECRET}\r\n{more}\r\n".encode()
        )
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"text/event-stream" in head
        yield Events(client)


async def test_events_come_as_they_happen_and_go_on_where_they_stopped(
    tmp_path: Path, authority: Authority
) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):
        async with events_of(proxy) as events:
            await events.next("clear")
            await proxy.send("/api/v1/pods?n=1")
            assert (await events.next())["target"] == "/api/v1/pods?n=1"
            totals = await events.next("totals")
            assert totals["kept"] >= 0
            last = events.last
        await proxy.send("/api/v1/pods?n=2")
        await proxy.requests(2)
        async with events_of(proxy, last) as events:
            assert (await events.next())["target"] == "/api/v1/pods?n=2"
            await proxy.ask("requests", method="DELETE")
            await events.next("clear")
        # A process that is gone has told other numbers.
        async with events_of(proxy, "deadbeef-999") as events:
            await events.next("clear")


async def test_a_watch_is_shown_while_it_runs(tmp_path: Path, authority: Authority) -> None:
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        head = f"HTTP/1.1 200 OK\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head.encode())
        for kind in ("ADDED", "MODIFIED"):
            event = b'{"type":"%b","object":{"kind":"Secret","data":{"p":"HIDDEN"}}}\n'
            data = event % kind.encode()
            await connection.send(b"%x\r\n%b\r\n" % (len(data), data))
        await go_on.wait()
        await connection.send(b"0\r\n\r\n")

    async with (
        inspected(tmp_path, authority, script) as (proxy, _),
        events_of(proxy) as events,
        client_of(proxy.app) as client,
    ):
        watch = asyncio.create_task(client.get("/api/v1/pods?watch=true"))
        running = await events.next()
        while running.get("events") != {"ADDED": 1, "MODIFIED": 1}:
            running = await events.next()
        assert (running["event"], running["stream"], running["status"]) == (
            "begin",
            "watch",
            200,
        )
        detail = await proxy.json(f"requests/{running['id']}")
        assert detail["request"]["headers"]
        assert detail["response"]["headers"]
        go_on.set()
        await watch
        ended = await events.next()
        while ended["event"] != "end":
            ended = await events.next()
        assert ended["id"] == running["id"]
        assert ended["events"] == {"ADDED": 1, "MODIFIED": 1}
        answer = await proxy.ask(f"requests/{ended['id']}")
        assert b"HIDDEN" not in answer.body
        body = json.loads(answer.body)["response"]["body"]
        assert [each["type"] for each in body["value"]] == ["ADDED", "MODIFIED"]


async def test_a_watch_over_http2_is_shown_while_it_runs(
    tmp_path: Path, authority: Authority
) -> None:
    context = server_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    event = b'{"type":"ADDED","object":{}}\n'
    async with Alpn().serving(context) as server:
        config = kubeconfig(f"https://127.0.0.1:{server.port}", authority, user={"token": "t"})
        async with (
            proxy_in_loop(tmp_path, config, *flags(tmp_path)) as app,
            events_of(Inspected(app)) as events,
            client_of(app) as client,
        ):
            answer = asyncio.create_task(client.get("/api/v1/pods?watch=true"))
            watch = await server.exchanges.get()
            await watch.head((b"content-type", b"application/json"), (b"audit-id", b"1"))
            running: dict[str, Any] = {}
            for count in (1, 2):
                await watch.send(event)
                while running.get("events") != {"ADDED": count}:
                    running = await events.next()
                assert (running["event"], running["proto"]) == ("begin", "h2")
            await watch.end()
            assert (await answer).body == event * 2
            ended = await events.next()
            while ended["event"] != "end":
                ended = await events.next()
            assert (ended["id"], ended["proto"]) == (running["id"], "h2")
            detail = await Inspected(app).json(f"requests/{ended['id']}")
            assert ["audit-id", "1"] in detail["response"]["headers"]
            assert len(detail["response"]["body"]["value"]) == 2


async def test_a_stream_arrives_byte_for_byte_before_it_is_captured(
    tmp_path: Path, authority: Authority
) -> None:
    """Each piece is with the client before the upstream sends the next one."""
    taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(connection: Connection) -> None:
        await connection.request()
        head = f"HTTP/1.1 200 OK\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head.encode())
        for at in range(200):
            await connection.send(b"1\r\n%c\r\n" % (97 + at % 26))
            assert await taken.get() == b"%c" % (97 + at % 26)
        await connection.send(b"0\r\n\r\n")

    async with (
        inspected(tmp_path, authority, script) as (proxy, _),
        client_of(proxy.app) as client,
    ):
        await client.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        while (size := int(await client.reader.readline(), 16)) > 0:
            taken.put_nowait(await client.reader.readexactly(size))
            await client.reader.readexactly(2)


@pytest.mark.parametrize(
    ("limit", "size", "kept"),
    [("64KiB", 65536, True), ("64KiB", 65537, False), ("1KiB", 1025, False), ("off", 10, False)],
)
async def test_bodies_are_kept_up_to_a_size(
    tmp_path: Path, authority: Authority, limit: str, size: int, kept: bool
) -> None:
    body = b'"' + b"x" * (size - 2) + b'"'
    script = answering(ok(body, JSON))
    flag = f"--inspect-bodies={limit}"
    async with inspected(tmp_path, authority, script, flag) as (proxy, _):
        answer = await proxy.send("/api/v1/pods", JSON, method="POST", body=body)
        assert answer.body == body
        detail = await proxy.detail()
        for part in ("request", "response"):
            assert detail[part]["body"]["size"] == size
            assert ("value" in detail[part]["body"]) is kept


async def test_a_body_in_pieces_is_kept_whole(tmp_path: Path, authority: Authority) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(connection: Connection) -> None:
        await connection.head()
        for _ in range(3):
            # Chunks, as the proxy does not repeat how the body was framed.
            arrived.put_nowait(await connection.reader.read(100))
        await connection.send(ok(b"{}", JSON))

    pieces = [b'{"a": ', b"[1,", b"2]}"]
    async with inspected(tmp_path, authority, script) as (proxy, _):
        async with client_of(proxy.app) as client:
            head = f"POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n"
            await client.send(f"{head}Content-Length: 12\r\n\r\n".encode())
            for piece in pieces:
                await client.send(piece)
                assert piece in await arrived.get()
            assert (await client.answer()).status == 200
        detail = await proxy.detail()
        assert detail["request"]["body"] == {"size": 12, "value": {"a": [1, 2]}}


async def test_what_comes_too_fast_is_counted(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "RATE", 25.0)
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):

        async def send(count: int) -> None:
            async with client_of(proxy.app) as client:
                for _ in range(count):
                    assert (await client.get("/api")).status == 200

        await asyncio.gather(*(send(10) for _ in range(10)))
        totals = await proxy.json("totals")
        async with asyncio.timeout(10):
            while totals["kept"] + totals["not_kept"] < 100:
                await asyncio.sleep(0.05)
                totals = await proxy.json("totals")
        assert totals["not_kept"] > 0
        assert totals["kept"] >= 5
        assert sum(row["count"] for row in totals["clients"]) == 100
        (row,) = totals["clients"]
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        # A stream is shown all the same.
        await proxy.send("/api/v1/pods?watch=1")
        assert await proxy.detail(verb="watch")


async def test_no_more_are_kept_than_was_asked_for(tmp_path: Path, authority: Authority) -> None:
    async with inspected(tmp_path, authority, answering(ok()), "--inspect-keep=3") as (proxy, _):
        for number in range(5):
            await proxy.send(f"/api/v1/pods/{number}")
        async with asyncio.timeout(10):
            names: list[str] = []
            while names != ["4", "3", "2"]:
                names = [each["name"] for each in await proxy.requests(3)]


def entry(number: int, size: int = 0) -> KeptExchange:
    return KeptExchange(number, b"{}", b"x" * size, "")


def test_the_ring_holds_so_many_bytes() -> None:
    ring = Ring(1000, 10_000)
    for number in range(1, 10):
        ring.add(entry(number, 3000))
        assert ring.size <= 10_000
    assert [each.number for each in ring.newest_first()] == [9, 8]
    assert ring.find(1) is None
    ring.add(entry(10, 20_000))
    assert len(ring) == 0
    assert ring.size == 0


def test_the_ring_tells_what_has_changed() -> None:
    ring = Ring(3, 10_000)
    ring.show(entry(1))
    ring.add(entry(2))
    position = ring.changes
    assert [each.number for _, each in ring.since(0)] == [1, 2]
    ring.add(entry(1))
    assert [each.number for _, each in ring.since(position)] == [1]
    ring.show(entry(3))
    ring.clear()
    assert [each.number for _, each in ring.since(0)] == [3]


async def test_an_error_of_the_proxy_is_told_with_its_message(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.abort()

    async with inspected(tmp_path, authority, script) as (proxy, _):
        assert (await proxy.send("/api/v1/pods")).status == 502
        detail = await proxy.detail()
        assert detail["status"] == 502
        assert detail["cause"]
        assert detail["error"]


async def test_hostile_heads_and_targets_become_text(tmp_path: Path, authority: Authority) -> None:
    script = answering(ok(b"{}", "X-Content-Type-Options: \x1b[31m", f"Audit-Id: <b>{chr(0xFF)}"))
    async with inspected(tmp_path, authority, script) as (proxy, _):
        async with client_of(proxy.app) as client:
            await client.send(
                b"GET /api/v1/pods?x=\xe2\x80\xae\xff<script> HTTP/1.1\r\nHost: localhost\r\n"
                b"User-Agent: \xe2\x80\xae\xff<img src=x>\r\n\r\n"
            )
            await client.answer()
        (found,) = await proxy.requests(1)
        answer = await proxy.ask(f"requests/{found['id']}")
        assert answer.body.isascii()
        assert "\\xff" in json.loads(answer.body)["user_agent"]
        assert "\u202e" not in json.dumps(json.loads(answer.body), ensure_ascii=False)


async def test_a_request_that_cannot_be_read_is_shown(tmp_path: Path, authority: Authority) -> None:
    async with inspected(tmp_path, authority, answering(ok())) as (proxy, _):
        async with client_of(proxy.app) as client:
            await client.send(b"\x16\x03\x01 nonsense\r\n\r\n")
            assert (await client.answer()).status == 400
        detail = await proxy.detail(status=400)
        assert detail["commands"] == {"missing": "the request could not be read"}


def test_without_the_flag_nothing_of_it_is_loaded_and_exchanges_are_the_ordinary_ones() -> None:
    program = """
import asyncio, sys
from kubelatch import Proxy
from kubelatch.relay.upstream_exchange import UpstreamExchange
async def main():
    async with Proxy(demo=True, admin_address="127.0.0.1:0") as proxy:
        print([name for name in sys.modules if "inspector" in name or "peer_process" in name])
        print(proxy._app._handler.exchange is UpstreamExchange)
asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=50
    )
    assert ran.stdout == "[]\nTrue\n"


async def test_an_error_that_is_kept_for_the_rules_has_no_events(tmp_path: Path) -> None:
    flags = (f"--write-rules={tmp_path}/rules.yaml",)
    async with inspected_demo(tmp_path, *flags) as proxy:
        assert (await proxy.send("/api/v1/nonsense?watch=1")).status == 404
        [shown] = await proxy.requests()
        assert "events" not in shown
