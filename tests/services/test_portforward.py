"""Port-forward over a WebSocket, against an API server that sends what it likes."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from wsproto.utilities import generate_accept_token

from kubelatch.errors import UpstreamError
from kubelatch.services.portforward import ForwardRefusedError, PortForward
from kubelatch.upstream.generation import Generation
from tests.support.relay import Tokens, eventually, generation_for
from tests.support.upstream import Connection, ScriptedUpstream

PORT = 8080
NUMBER = struct.pack("<H", PORT)
TARGET = "/api/v1/namespaces/shop/pods/web-0/portforward?ports=8080"


def frame(payload: bytes, opcode: int = 2, *, fin: bool = True) -> bytes:
    """A server's frame."""
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 2**16:
        return head + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return head + b"\x7f" + struct.pack("!Q", len(payload)) + payload


NUMBERS = frame(b"\0" + NUMBER) + frame(b"\1" + NUMBER)
CLOSE = frame(struct.pack("!H", 1000), 8)


async def switch(connection: Connection) -> None:
    """Accept the WebSocket."""
    request = await connection.head()
    assert request.line == f"GET {TARGET} HTTP/1.1"
    token = generate_accept_token(request.values("sec-websocket-key")[0].encode())
    await connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n" % token
    )


async def read_frame(connection: Connection) -> tuple[int, bytes]:
    """Opcode and payload of a client's frame, which must be masked and whole."""
    first, second = await connection.reader.readexactly(2)
    assert first & 0x80
    assert second & 0x80
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await connection.reader.readexactly(2), "big")
    assert size < 2**16
    key = await connection.reader.readexactly(4)
    masked = await connection.reader.readexactly(size)
    return first & 15, bytes(byte ^ key[at % 4] for at, byte in enumerate(masked))


class Inside(asyncio.Protocol):
    """What speaks through the port-forward."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.events: list[str] = []
        self.error: Exception | None = None
        self.lost = asyncio.Event()
        self.forward: PortForward | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PortForward)
        self.forward = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> None:
        self.events.append("eof")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()


async def forwarding(
    script: Callable[[Connection], Awaitable[None]],
    use: Callable[[Inside, PortForward], Awaitable[None]],
    refused: Callable[[], None] = lambda: None,
) -> None:
    """Open a port-forward to an API server that follows *script*, and *use* it."""
    async with ScriptedUpstream(script) as upstream:
        generation: Generation = generation_for(upstream, None, Tokens("x"))
        credential = await generation.credential()
        stream = await generation.transport(credential).open(30.0)
        inside = Inside()
        forward = PortForward(inside, stream, PORT, refused)
        try:
            forward.start(generation, TARGET, b"", b"test")
            await use(inside, forward)
        finally:
            forward.abort()
            await generation.close()


async def until_lost(inside: Inside, forward: PortForward) -> None:
    await forward.ready
    await asyncio.wait_for(inside.lost.wait(), 10)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_data_is_the_same_however_it_is_cut(size: int) -> None:
    payload = b"".join([
        NUMBERS,
        frame(b"\0one"),
        frame(b"\0tw", fin=False),
        frame(b"ping", 9),
        frame(b"o", 0, fin=False),
        frame(b"", 0),
        frame(b""),
        frame(b"\0"),
        frame(b"\0" + b"x" * 70_000),
        CLOSE,
    ])  # fmt: skip

    async def script(connection: Connection) -> None:
        await switch(connection)
        for start in range(0, len(payload), size if size < 1000 else 8192):
            connection.writer.write(payload[start : start + (size if size < 1000 else 8192)])
            if start < 300:
                await connection.writer.drain()
                await asyncio.sleep(0)
        assert await read_frame(connection) == (10, b"ping")
        assert (await read_frame(connection))[0] == 8

    async def use(inside: Inside, forward: PortForward) -> None:
        await until_lost(inside, forward)
        assert bytes(inside.data) == b"onetwo" + b"x" * 70_000
        assert inside.events == ["eof"]
        assert inside.error is None

    await forwarding(script, use)


async def test_the_ports_number_may_come_in_pieces_and_with_data() -> None:
    async def script(connection: Connection) -> None:
        await switch(connection)
        await connection.send(
            frame(b"\0" + NUMBER[:1]) + frame(b"\0" + NUMBER[1:] + b"data") + CLOSE
        )

    async def use(inside: Inside, forward: PortForward) -> None:
        await until_lost(inside, forward)
        assert bytes(inside.data) == b"data"

    await forwarding(script, use)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "another port": (frame(b"\0\1\0"), "another port"),
    "another channel": (frame(b"\2xx"), "channel 2"),
    "text": (frame(b"\0xx", 1), "message of text"),
    "a masked frame": (b"\x82\x81abcdx", "invalid"),
    "a reserved bit": (b"\xc2\x01x", "invalid"),
    "an unknown opcode": (b"\x83\x01x", "invalid"),
    "a fragmented ping": (b"\x09\x01x", "invalid"),
    "a continuation of nothing": (frame(b"x", 0), "invalid"),
    "a length with the highest bit": (b"\x82\x7f" + b"\xff" * 8, "invalid"),
    "a long ping": (b"\x89\x7e\x00\x80" + b"x" * 128, "invalid"),
    "a code that means failure": (frame(struct.pack("!H", 1011) + b"why", 8), "1011 (why)"),
    "a close of one byte": (frame(b"x", 8), "invalid"),
    "an error": (frame(b"\1" + NUMBER) + frame(b"\1no such\nport"), "no such"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_what_is_no_port_forward_ends_it(kind: str) -> None:
    sent, message = HOSTILE[kind]

    async def script(connection: Connection) -> None:
        await switch(connection)
        await connection.send(sent)
        await connection.reader.read()

    async def use(inside: Inside, forward: PortForward) -> None:
        await until_lost(inside, forward)
        assert isinstance(inside.error, UpstreamError)
        assert message in inside.error.message
        assert inside.data == b""

    refused: list[None] = []
    await forwarding(script, use, lambda: refused.append(None))
    assert bool(refused) == (kind == "an error")


async def test_a_cut_connection_is_no_end() -> None:
    async def script(connection: Connection) -> None:
        await switch(connection)
        await connection.send(NUMBERS + frame(b"\0half"))

    async def use(inside: Inside, forward: PortForward) -> None:
        await until_lost(inside, forward)
        assert bytes(inside.data) == b"half"
        assert isinstance(inside.error, UpstreamError)

    await forwarding(script, use)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "status 403"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "status 200"),
        ("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "something else"),
        ("HTTP/1.1 101 S\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n", "something else"),
        ("HTTP/1.1 500 No\r\n\r\n" + "x" * 100_000, "status 500"),
        ("", "closed the connection"),
    ],
)
async def test_an_api_server_that_does_not_switch(head: str, error: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(head.encode())

    async def use(inside: Inside, forward: PortForward) -> None:
        with pytest.raises(UpstreamError) as caught:
            await asyncio.wait_for(asyncio.shield(forward.ready), 10)
        assert error in caught.value.message
        if isinstance(caught.value, ForwardRefusedError):
            assert len(caught.value.body) <= 16 * 1024
        assert inside.forward is None
        assert not inside.lost.is_set()

    await forwarding(script, use)


async def test_what_is_written_comes_in_masked_messages_of_channel_0() -> None:
    got = bytearray()
    done = asyncio.Event()

    async def script(connection: Connection) -> None:
        await switch(connection)
        await connection.send(NUMBERS)
        while True:
            opcode, payload = await read_frame(connection)
            if opcode == 8:
                break
            assert opcode == 2
            assert payload[0] == 0
            got.extend(payload[1:])
        done.set()

    async def use(inside: Inside, forward: PortForward) -> None:
        await forward.ready
        forward.write(b"first")
        forward.write(b"y" * 100_000)
        forward.close()
        forward.write(b"late")
        await asyncio.wait_for(done.wait(), 20)
        await asyncio.wait_for(inside.lost.wait(), 10)
        assert inside.error is None

    await forwarding(script, use)
    assert bytes(got) == b"first" + b"y" * 100_000


async def test_an_api_server_that_reads_nothing_pauses_the_writer() -> None:
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await switch(connection)
        # The stream reader pauses the transport when its buffer is full.
        await go_on.wait()
        while await connection.reader.read(2**16):
            pass

    async def use(inside: Inside, forward: PortForward) -> None:
        await forward.ready
        written = 0
        async with asyncio.timeout(20):
            while "pause" not in inside.events:
                forward.write(b"z" * 65536)
                written += 65536
                await asyncio.sleep(0)
            assert forward.get_write_buffer_size() > 0
            go_on.set()
            await eventually(lambda: "resume" in inside.events, 20)
        assert written < 64 * 2**20

    await forwarding(script, use)


async def test_a_paused_reader_pauses_the_api_server() -> None:
    sent = 0

    async def script(connection: Connection) -> None:
        nonlocal sent
        await switch(connection)
        await connection.send(NUMBERS)
        block = frame(b"\0" + b"w" * 65536)
        while sent < 64 * 2**20:
            await connection.send(block)
            sent += 65536

    async def use(inside: Inside, forward: PortForward) -> None:
        await forward.ready
        forward.pause_reading()
        seen, still = -1, 0
        async with asyncio.timeout(20):
            while still < 5:
                still = still + 1 if sent == seen else 0
                seen = sent
                await asyncio.sleep(0.02)
        assert seen < 32 * 2**20
        assert len(inside.data) < 2**20
        forward.resume_reading()
        await eventually(lambda: sent > seen, 20)

    await forwarding(script, use)


async def test_a_ping_keeps_a_silent_connection_open(monkeypatch: Any) -> None:
    monkeypatch.setattr("kubelatch.services.portforward._PING_SECONDS", 0.01)
    pinged = asyncio.Event()

    async def script(connection: Connection) -> None:
        await switch(connection)
        while (await read_frame(connection))[0] != 9:
            pass
        await connection.send(frame(b"", 10))
        pinged.set()
        await connection.reader.read()

    async def use(inside: Inside, forward: PortForward) -> None:
        await forward.ready
        await asyncio.wait_for(pinged.wait(), 10)
        assert not inside.lost.is_set()

    await forwarding(script, use)
