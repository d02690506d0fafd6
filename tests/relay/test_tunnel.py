"""Bytes of a tunnel, their ends, and their back-pressure."""

import asyncio

import pytest

from kubelatch.relay.tunnel import Tunnel
from kubelatch.relay.tunnel_end import is_over
from kubelatch.upstream.http1 import Http1Connection
from tests.support.certificates import Authority
from tests.support.relay import Relay, eventually, relaying
from tests.support.upstream import Connection
from tests.upstream.tls_peer import TlsPeer, tls_listener

from .tunnels import agreeing, asking, echo, reset, tunnelled

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def test_the_client_may_end_its_side_and_still_be_told_all() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing())
        heard = await connection.reader.read()
        await connection.send(b"heard %d" % len(heard) + b"x" * 1_000_000)

    async with tunnelled(script) as (relay, client):
        await client.send(b"q" * 100_000)
        client.writer.write_eof()
        assert await client.to_end() == (b"heard 100000" + b"x" * 1_000_000, True)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == ""


async def test_the_upstream_may_end_its_side_and_still_be_told_all() -> None:
    heard = bytearray()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing() + b"bye")
        connection.writer.write_eof()
        heard.extend(await connection.reader.read())

    async with tunnelled(script) as (relay, client):
        assert await client.to_end() == (b"bye", True)
        await client.send(b"q" * 1_000_000)
        client.writer.write_eof()
        await eventually(lambda: len(heard) == 1_000_000)
        await eventually(lambda: relay.records)


async def test_over_tls_the_client_may_end_its_side_and_still_be_told_all(
    authority: Authority,
) -> None:
    async def script(peer: TlsPeer) -> None:
        while not (await peer.recv()).endswith(b"\r\n\r\n"):
            pass
        await peer.send(peer.sealed(agreeing()))
        heard = await peer.read_all()
        await peer.send(peer.sealed(b"heard %d" % len(heard) + b"x" * 1_000_000))
        await peer.send(peer.close_notify())

    async with (
        relaying(echo, authority) as relay,
        tls_listener(authority, script) as port,
        relay.client() as client,
    ):
        relay.lead_to(port)
        await client.send(asking())
        assert (await client.answer()).status == 101
        await client.send(b"q" * 100_000)
        client.writer.write_eof()
        assert await client.to_end() == (b"heard 100000" + b"x" * 1_000_000, True)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == ""


async def test_over_tls_the_upstream_may_end_its_side_and_still_be_told_all(
    authority: Authority,
) -> None:
    heard: list[bytes] = []

    async def script(peer: TlsPeer) -> None:
        while not (await peer.recv()).endswith(b"\r\n\r\n"):
            pass
        await peer.send(peer.sealed(agreeing() + b"bye") + peer.close_notify())
        heard.append(await peer.read_all())

    async with (
        relaying(echo, authority) as relay,
        tls_listener(authority, script) as port,
        relay.client() as client,
    ):
        relay.lead_to(port)
        await client.send(asking())
        assert (await client.answer()).status == 101
        assert await client.to_end() == (b"bye", True)
        await client.send(b"q" * 1_000_000)
        client.writer.write_eof()
        await eventually(lambda: heard)
        assert heard == [b"q" * 1_000_000]


@TLS
async def test_an_upstream_that_is_cut_resets_the_client(tls: bool, authority: Authority) -> None:
    cut = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing() + b"half a fra")
        await cut.wait()
        reset(connection)

    async with tunnelled(script, authority if tls else None) as (relay, client):
        await client.reader.readexactly(10)
        cut.set()
        assert await client.to_end() == (b"", False)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "reset"


CLOSE = b"\x88\x02\x03\xe8"
GOAWAY = b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x09\0\0\0\0"


@TLS
@pytest.mark.parametrize(
    ("protocol", "pieces"),
    [
        pytest.param("websocket", [b"\x82\x01\0" + CLOSE], id="websocket"),
        pytest.param("websocket", [b"\x88\x05\x03\xe8bye"], id="websocket-with-a-reason"),
        pytest.param("websocket", [CLOSE[:1], CLOSE[1:]], id="websocket-in-pieces"),
        pytest.param("SPDY/3.1", [GOAWAY], id="spdy"),
        pytest.param("SPDY/3.1", [GOAWAY + b"\x80\x03\0\x03" + bytes(12)], id="spdy-and-more"),
    ],
)
async def test_an_exec_that_ends_well_while_stdin_flows_is_no_fault(
    protocol: str, pieces: list[bytes], tls: bool, authority: Authority
) -> None:
    """The server closes with bytes unread, of which its kernel makes a reset."""
    ended = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing(protocol))
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0.01)
        await ended.wait()
        reset(connection)

    whole = b"".join(pieces)
    async with tunnelled(script, authority if tls else None, protocol) as (relay, client):
        assert await client.reader.readexactly(len(whole)) == whole
        ended.set()
        assert await client.to_end() == (b"", True)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == ""


@pytest.mark.parametrize(
    ("protocol", "last"),
    [
        pytest.param("websocket", b"\x88\x02\x03\xe9", id="going-away"),
        pytest.param("websocket", CLOSE[:3], id="half-a-close"),
        pytest.param("websocket", CLOSE + b"\x82", id="more-behind-it"),
        pytest.param("websocket", GOAWAY, id="another-protocols"),
        pytest.param("SPDY/3.1", GOAWAY[:-1] + b"\1", id="goaway-for-an-error"),
        pytest.param("SPDY/3.1", GOAWAY[:-1], id="half-a-goaway"),
        pytest.param("SPDY/3.1", CLOSE, id="the-other-protocols"),
    ],
)
def test_what_is_no_end_of_the_protocol_is_a_cut(protocol: str, last: bytes) -> None:
    assert not is_over(protocol.lower().encode(), last)


async def test_an_upstream_that_ends_without_close_notify_resets_the_client(
    authority: Authority,
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing())
        await connection.reader.readexactly(1)
        connection.abort()

    async with tunnelled(script, authority) as (_, client):
        await client.send(b"x")
        assert (await client.to_end())[1] is False


async def test_a_client_that_is_cut_resets_the_upstream() -> None:
    ends: list[BaseException | None] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing())
        try:
            await connection.reader.read()
        except ConnectionError as exc:
            ends.append(exc)
        else:
            ends.append(None)

    async with tunnelled(script) as (relay, client):
        reset(client)
        await eventually(lambda: ends)
        assert isinstance(ends[0], ConnectionResetError)
        await eventually(lambda: relay.records)


@TLS
async def test_a_client_that_is_cut_is_noticed_while_the_upstream_reads_nothing(
    tls: bool, authority: Authority
) -> None:
    """Nothing was read from such a client, and so its reset was never seen."""
    over = asyncio.Event()

    async def script(connection: Connection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.send(agreeing())
        await over.wait()

    async with tunnelled(script, authority if tls else None) as (relay, client):
        client.writer.write(b"q" * 64_000_000)
        sent = 0
        while (left := client.writer.transport.get_write_buffer_size()) != sent:
            sent = left
            await asyncio.sleep(0.2)
        assert sent
        reset(client)
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "client-gone"
        over.set()


@TLS
async def test_a_client_that_closes_ends_the_tunnel(tls: bool, authority: Authority) -> None:
    async with tunnelled(echo, authority if tls else None) as (relay, client):
        client.close()
        await relay.upstream.connections[0].closed.wait()
        await eventually(lambda: relay.records)


async def test_a_client_that_leaves_before_the_101_ends_the_attempt() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.reader.read()

    async with relaying(script) as relay, relay.client() as client:
        await client.send(asking() + b"EARLY")
        await eventually(lambda: relay.upstream.requests)
        client.close()
        await relay.upstream.connections[0].closed.wait()
        await eventually(lambda: relay.records)
        assert relay.records[0].cause == "client-gone"


@TLS
async def test_a_proxy_that_is_stopped_ends_both_sides(tls: bool, authority: Authority) -> None:
    async with tunnelled(echo, authority if tls else None) as (relay, client):
        await relay.http.shutdown(0.01)
        await client.to_end()
        await relay.upstream.connections[0].closed.wait()


BLOCK = bytes(range(256)) * 1000
BLOCKS = 400


async def pump(writer: asyncio.StreamWriter) -> None:
    for _ in range(BLOCKS):
        writer.write(BLOCK)
        await writer.drain()


async def drink(reader: asyncio.StreamReader) -> int:
    """How many blocks came as they were sent."""
    for index in range(BLOCKS):
        if await reader.readexactly(len(BLOCK)) != BLOCK:
            return index
    return BLOCKS


def buffered(relay: Relay) -> int:
    """What waits for the client."""
    [client] = relay.http.connections
    assert client.transport is not None
    return client.transport.get_write_buffer_size()


@TLS
async def test_a_hundred_megabytes_both_ways_at_once_in_bounded_memory(
    tls: bool, authority: Authority
) -> None:
    arrived: list[int] = []
    begin = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(agreeing())
        sending = asyncio.ensure_future(pump(connection.writer))
        await begin.wait()
        arrived.append(await drink(connection.reader))
        await sending

    async with tunnelled(script, authority if tls else None) as (relay, client):
        sending = asyncio.ensure_future(pump(client.writer))
        # Nobody reads at first: what waits in the proxy stops growing.
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        tunnel = next(iter(relay.http.connections))._tunnel
        assert isinstance(tunnel, Tunnel)
        assert isinstance(tunnel._stream, Http1Connection)
        assert tunnel._stream.transport is not None
        upwards = tunnel._stream.transport.get_write_buffer_size()
        assert max(buffered(relay), upwards) < 1_000_000
        begin.set()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await drink(client.reader) == BLOCKS
        await sending
        await eventually(lambda: arrived)
        assert arrived == [BLOCKS]
