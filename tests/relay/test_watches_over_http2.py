"""Watches over HTTP/2 through the whole data plane: by kind, by credential, and to their end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from kubelatch.credentials import Credential
from kubelatch.credentials.tls import ClientCertificate
from kubelatch.secret import Secret
from kubelatch.upstream.generation import Generation
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.http2_server import Alpn, Http2Exchange
from tests.support.relay import Relay, Tokens, eventually, generation_for, relaying
from tests.support.upstream import answering, ok, server_context

WATCH = "/api/v1/pods?watch=1"
EVENT = b'{"type":"ADDED"}\n'
JSON = (b"content-type", b"application/json")


class Certified(Tokens):
    """A token and a client certificate."""

    def __init__(self, authority: Authority, name: str) -> None:
        leaf = authority.client(name)
        self.certificate = ClientCertificate(chain=leaf.certificate.encode(), key=Secret(leaf.key))
        self._credentials = []
        super().__init__("first")
        self._credentials = [Credential(kind="client-certificate", certificate=self.certificate)]


@asynccontextmanager
async def setting(
    authority: Authority,
    credentials: Tokens | None = None,
    *,
    offer: tuple[str, ...] = ("h2", "http/1.1"),
    http2: bool = True,
    most: int = 100,
) -> AsyncIterator[tuple[Relay, Alpn]]:
    """A data plane in front of a server of both protocols; *most* streams share a connection."""
    context = server_context(authority)
    if offer:
        context.set_alpn_protocols(list(offer))
    async with Alpn(most).serving(context) as server, relaying(answering(ok())) as relay:
        upstream: Any = server
        generation = generation_for(
            upstream, authority, credentials or Tokens("first"), http2=http2
        )
        await relay.generation.close()
        relay.generation = generation
        yield relay, server
        await generation.close()


async def watching(client: Client, *fields: str, target: str = WATCH) -> None:
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", *fields]
    await client.send("\r\n".join(lines).encode() + b"\r\n\r\n")


async def begun(server: Alpn, client: Client) -> Http2Exchange:
    """A watch that has brought an event."""
    watch = await asyncio.wait_for(server.exchanges.get(), 5)
    await watch.head(JSON)
    await watch.send(EVENT)
    await client.reader.readuntil(EVENT + b"\r\n")
    return watch


async def test_watches_share_a_connection_and_all_else_goes_over_http1(
    authority: Authority,
) -> None:
    async with (
        setting(authority) as (relay, server),
        relay.client() as one,
        relay.client() as two,
    ):
        await watching(one)
        first = await begun(server, one)
        await watching(two)
        await begun(server, two)
        async with relay.client() as plain:
            for target in ("/version?x=watch", "/api/v1/namespaces/a/pods/watch/log?follow=1"):
                assert (await plain.get(target)).status == 200
            listing = f"{WATCH}&sendInitialEvents=true"
            assert (await plain.get(listing)).status == 200
        assert (len(server.connections), server.plain) == (1, 1)
        assert dict(first.fields)[b"authorization"] == b"Bearer first"
        assert relay.generation.http2 == (1, 2)
        await first.end((b"x-checksum", b"1"))
        await eventually(lambda: any(record.proto for record in relay.records))
        (record,) = (record for record in relay.records if record.proto)
        assert (record.proto, record.connects, record.reused, record.status) == (
            "h2", 1, False, 200,
        )  # fmt: skip


@pytest.mark.parametrize("offer", [(), ("http/1.1",)], ids=["no ALPN", "HTTP/1.1 alone"])
async def test_without_alpn_watches_go_over_http1(
    authority: Authority, offer: tuple[str, ...]
) -> None:
    async with setting(authority, offer=offer) as (relay, server), relay.client() as client:
        for _ in range(2):
            assert (await client.get(WATCH)).status == 200
        # The connection that was to be one of HTTP/2 serves.
        assert (server.plain, len(server.heads)) == (1, 2)
        assert [record.proto for record in relay.records] == ["", ""]
        assert [(record.connects, record.reused) for record in relay.records] == [
            (1, False), (0, True),
        ]  # fmt: skip


async def test_switched_off_nothing_is_offered(authority: Authority) -> None:
    async with setting(authority, http2=False) as (relay, server), relay.client() as client:
        assert (await client.get(WATCH)).status == 200
        assert (server.plain, server.connections) == (1, [])


async def test_a_clients_own_credential_never_rides_with_our_certificate(
    authority: Authority,
) -> None:
    async with (
        setting(authority, Certified(authority, "jane")) as (relay, server),
        relay.client() as ours,
        relay.client() as own,
    ):
        await watching(ours)
        await begun(server, ours)
        await watching(own, "Authorization: Bearer mine")
        watch = await begun(server, own)
        assert dict(watch.fields)[b"authorization"] == b"Bearer mine"
        assert [connection.client_name for connection in server.connections] == ["jane", ""]


async def test_a_rotated_token_goes_on_the_same_connection(authority: Authority) -> None:
    tokens = Tokens("first", "second")
    async with (
        setting(authority, tokens) as (relay, server),
        relay.client() as one,
        relay.client() as two,
    ):
        await watching(one)
        await begun(server, one)
        await tokens.invalidate(await tokens.get())
        await watching(two)
        watch = await begun(server, two)
        assert dict(watch.fields)[b"authorization"] == b"Bearer second"
        assert len(server.connections) == 1


async def test_a_rotated_certificate_takes_new_connections_and_old_watches_run_on(
    authority: Authority,
) -> None:
    source = Certified(authority, "jane")
    async with (
        setting(authority, source) as (relay, server),
        relay.client() as one,
        relay.client() as two,
    ):
        await watching(one)
        first = await begun(server, one)
        source._credentials = Certified(authority, "joan")._credentials
        await watching(two)
        await begun(server, two)
        assert [connection.client_name for connection in server.connections] == ["jane", "joan"]
        assert relay.generation.http2 == (2, 2)
        await first.send(EVENT)
        await one.reader.readuntil(EVENT + b"\r\n")


async def test_a_reload_lets_old_watches_run_on(authority: Authority) -> None:
    async with setting(authority) as (relay, server), relay.client() as one:
        await watching(one)
        watch = await begun(server, one)
        before = relay.generation
        relay.generation = Generation(
            replace(before.upstream, path_prefix=b"/new"), Tokens("second")
        )
        await before.retire()
        await watch.send(EVENT)
        await one.reader.readuntil(EVENT + b"\r\n")
        await relay.generation.close()


async def test_a_server_that_goes_away_ends_no_watch(authority: Authority) -> None:
    async with (
        setting(authority) as (relay, server),
        relay.client() as one,
        relay.client() as two,
    ):
        await watching(one)
        first = await begun(server, one)
        server.connections[0].go_away()
        await watching(two)
        await begun(server, two)
        await first.send(EVENT)
        await one.reader.readuntil(EVENT + b"\r\n")
        await first.end()
        assert await one.reader.readexactly(5) == b"0\r\n\r\n"
        assert (len(server.connections), server.plain) == (2, 0)


async def test_a_drain_ends_watches_between_events(authority: Authority) -> None:
    async with setting(authority) as (relay, server), relay.client() as one:
        await watching(one)
        watch = await begun(server, one)
        (exchange,) = relay.registry
        attempt = exchange.attempt
        assert attempt is not None
        assert attempt.end_between_events()
        assert await one.reader.read() == b"0\r\n\r\n"
        await asyncio.wait_for(watch.reset_by_client.wait(), 5)


async def test_a_refused_watch_is_repeated_unseen(authority: Authority) -> None:
    async with setting(authority) as (relay, server), relay.client() as one:
        for _ in range(3):
            if not relay.registry:
                await watching(one)
            refused = await asyncio.wait_for(server.exchanges.get(), 5)
            refused.refuse()
        await begun(server, one)
    assert [record.retries for record in relay.records] == [3]


async def test_a_watch_that_is_refused_time_and_again_goes_over_http1(
    authority: Authority,
) -> None:
    async with setting(authority) as (relay, server), relay.client() as one:
        await watching(one)
        for _ in range(5):
            refused = await asyncio.wait_for(server.exchanges.get(), 5)
            refused.refuse()
        assert (await one.answer()).status == 200
        assert server.plain == 1
    assert [(record.retries, record.proto) for record in relay.records] == [(5, "")]


async def test_a_burst_keeps_to_the_streams_that_the_server_allows(authority: Authority) -> None:
    async with AsyncExitStack() as stack:
        relay, server = await stack.enter_async_context(setting(authority, most=3))
        clients = [await stack.enter_async_context(relay.client()) for _ in range(20)]
        for client in clients:
            await watching(client)
        for _ in clients:
            watch = await asyncio.wait_for(server.exchanges.get(), 5)
            await watch.head(JSON)
        for client in clients:
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert len(server.connections) == 7


async def test_a_dead_connection_cuts_its_watches(authority: Authority) -> None:
    async with setting(authority) as (relay, server), relay.client() as one:
        await watching(one)
        await begun(server, one)
        transport = server.connections[0].transport
        assert transport is not None
        transport.abort()
        assert await one.reader.read() == b""
        assert relay.records[0].cause == "truncated"
        async with relay.client() as two:
            await watching(two)
            await begun(server, two)
            assert len(server.connections) == 2
