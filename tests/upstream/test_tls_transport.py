"""TLS ends, pauses and faults, record by record."""

import asyncio
import random
import shutil
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubelatch.credentials.tls import client_context
from kubelatch.kubeconfig import TlsConfig
from kubelatch.upstream.http1 import linger_zero
from kubelatch.upstream.tls_transport import TlsTransport
from kubelatch.upstream.unread import TruncatedError
from tests.support.certificates import Authority
from tests.support.relay import eventually

from .tls_peer import CONTEXTS, Recorder, TlsPeer, tls_pair

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


@pytest.fixture(params=CONTEXTS)
def engine(request: pytest.FixtureRequest) -> str:
    """Every test here holds for both ways to verify a server."""
    return str(request.param)


@VERSIONS
async def test_bytes_in_any_pieces_arrive_whole(
    version: ssl.TLSVersion, authority: Authority, engine: str
) -> None:
    data = bytes(range(256)) * 300

    async def script(peer: TlsPeer) -> None:
        stream = peer.sealed(data) + peer.sealed(b"tail") + peer.close_notify()
        for start in range(0, len(stream), 777):
            await peer.send(stream[start : start + 777])
            await asyncio.sleep(0)

    async with tls_pair(authority, script, engine=engine, maximum=version) as (_, recorder):
        await recorder.lost.wait()
        assert recorder.data == data + b"tail"
        assert recorder.ended.is_set()
        assert recorder.error is None


@VERSIONS
@pytest.mark.parametrize("size", [1, 16_384, 65_535, 65_536, 65_537, 300_000, 1_000_003])
async def test_large_pieces_arrive_whole_both_ways(
    version: ssl.TLSVersion, size: int, authority: Authority, engine: str
) -> None:
    data = random.Random(size).randbytes(size)

    async def script(peer: TlsPeer) -> None:
        heard = await peer.read_all()
        await peer.send(peer.sealed(heard) + peer.close_notify())

    async with tls_pair(authority, script, engine=engine, maximum=version) as (transport, recorder):
        transport.write(memoryview(data))
        transport.write_eof()
        await recorder.lost.wait()
        assert recorder.data == data
        assert recorder.error is None


@pytest.mark.parametrize("kept", [0, 1, 65_536, 65_537, 100_000])
async def test_bytes_after_the_end_are_discarded(
    kept: int, authority: Authority, engine: str
) -> None:
    data = random.Random(kept).randbytes(kept)

    async def script(peer: TlsPeer) -> None:
        stream = peer.sealed(data) + peer.close_notify()
        await peer.send(stream + bytes(100_000))

    async with tls_pair(authority, script, engine=engine) as (_, recorder):
        await recorder.lost.wait()
        assert recorder.data == data
        assert recorder.ended.is_set()
        assert recorder.error is None


@VERSIONS
async def test_an_end_without_close_notify_is_no_end(
    version: ssl.TLSVersion, authority: Authority, engine: str
) -> None:
    async def script(peer: TlsPeer) -> None:
        await peer.send(peer.sealed(b"data"))

    async with tls_pair(authority, script, engine=engine, maximum=version) as (_, recorder):
        await recorder.lost.wait()
        assert recorder.data == b"data"
        assert not recorder.ended.is_set()
        assert isinstance(recorder.error, TruncatedError)


async def test_an_end_within_a_record_is_no_end(authority: Authority, engine: str) -> None:
    async def script(peer: TlsPeer) -> None:
        await peer.send(peer.sealed(b"data") + peer.sealed(b"more")[:-3])

    async with tls_pair(authority, script, engine=engine) as (_, recorder):
        await recorder.lost.wait()
        assert recorder.data == b"data"
        assert isinstance(recorder.error, TruncatedError)


async def test_a_record_that_was_tampered_with_is_an_error(
    authority: Authority, engine: str
) -> None:
    async def script(peer: TlsPeer) -> None:
        good, bad = peer.sealed(b"good"), bytearray(peer.sealed(b"evil"))
        bad[-1] ^= 1
        await peer.send(good + bytes(bad))

    async with tls_pair(authority, script, engine=engine) as (_, recorder):
        await recorder.lost.wait()
        assert recorder.data == b"good"
        assert isinstance(recorder.error, ssl.SSLError)


async def test_we_end_and_the_peer_goes_on(authority: Authority, engine: str) -> None:
    async def script(peer: TlsPeer) -> None:
        assert await peer.read_all() == b"question"
        await peer.send(peer.sealed(b"a" * 500_000))
        await peer.send(peer.close_notify())

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        transport.write(b"question")
        transport.write_eof()
        transport.write(b"too late")
        await recorder.lost.wait()
        assert recorder.data == b"a" * 500_000
        assert recorder.error is None


async def test_we_end_while_bytes_of_the_peer_are_unread(authority: Authority, engine: str) -> None:
    """``unwrap`` would take them for a breach of the protocol."""
    sent = asyncio.Event()

    async def script(peer: TlsPeer) -> None:
        stream = peer.sealed(b"a" * 100_000)
        await peer.send(stream[:90_000])
        sent.set()
        assert await peer.read_all() == b""
        await peer.send(stream[90_000:] + peer.close_notify())

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        transport.pause_reading()
        await sent.wait()
        await asyncio.sleep(0.05)
        transport.resume_reading()
        transport.write_eof()
        await recorder.lost.wait()
        assert recorder.data == b"a" * 100_000
        assert recorder.error is None


async def test_we_end_in_the_middle_of_a_delivery(authority: Authority, engine: str) -> None:
    class Ending(Recorder):
        def data_received(self, data: bytes) -> None:
            if not self.data:
                assert self.transport is not None
                self.transport.write_eof()
            super().data_received(data)

    async def script(peer: TlsPeer) -> None:
        await peer.send(peer.sealed(b"a" * 1_000_000))
        assert await peer.read_all() == b""
        await peer.send(peer.sealed(b"b") + peer.close_notify())

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        recorder.__class__ = Ending
        await recorder.lost.wait()
        assert recorder.data == b"a" * 1_000_000 + b"b"
        assert recorder.error is None
        assert transport.is_closing()


async def test_the_peer_ends_and_we_go_on(authority: Authority, engine: str) -> None:
    heard: list[bytes] = []

    async def script(peer: TlsPeer) -> None:
        await peer.send(peer.sealed(b"last words") + peer.close_notify())
        peer.writer.write_eof()
        heard.append(await peer.read_all())

    async with tls_pair(authority, script, engine=engine, half_open=True) as (transport, recorder):
        await recorder.ended.wait()
        assert recorder.data == b"last words"
        await asyncio.sleep(0.05)  # the end of TCP as well
        for _ in range(20):
            transport.write(b"x" * 50_000)
            await asyncio.sleep(0)
        transport.write_eof()
        await eventually(lambda: heard)
        assert heard == [b"x" * 1_000_000]
        transport.close()


async def test_a_peer_that_ended_and_then_resets_is_lost(authority: Authority, engine: str) -> None:
    async def script(peer: TlsPeer) -> None:
        await peer.send(peer.sealed(b"last words") + peer.close_notify())
        peer.writer.write_eof()
        await peer.recv()
        linger_zero(peer.writer.transport)
        peer.writer.transport.abort()

    async with tls_pair(authority, script, engine=engine, half_open=True) as (transport, recorder):
        await recorder.ended.wait()
        while not recorder.lost.is_set():
            transport.write(b"x")
            await asyncio.sleep(0)
        assert recorder.data == b"last words"
        assert isinstance(recorder.error, ConnectionError)


async def test_pausing_stops_delivery_and_reading(authority: Authority, engine: str) -> None:
    total = 20_000_000

    async def script(peer: TlsPeer) -> None:
        for _ in range(0, total, 100_000):
            await peer.send(peer.sealed(b"x" * 100_000))
        await peer.send(peer.close_notify())

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        await asyncio.sleep(0.1)
        before = len(recorder.data)
        assert before <= 256 * 1024 + 16 * 1024
        await asyncio.sleep(0.1)
        assert len(recorder.data) == before
        transport.resume_reading()
        transport.pause_reading()
        await asyncio.sleep(0.05)
        assert len(recorder.data) == before
        transport.resume_reading()
        await recorder.lost.wait()
        assert recorder.data == b"x" * total
        assert recorder.error is None


async def test_a_pause_within_a_delivery_holds_what_is_decrypted_next(
    authority: Authority,
    engine: str,
) -> None:
    class Pausing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            self.transport.pause_reading()

    async def script(peer: TlsPeer) -> None:
        await peer.send(peer.sealed(b"x" * 3_000_000) + peer.close_notify())

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        recorder.__class__ = Pausing
        while not recorder.lost.is_set():
            await asyncio.sleep(0.002)
            count = len(recorder.deliveries)
            transport.resume_reading()
            await asyncio.sleep(0.002)
            assert len(recorder.deliveries) <= count + 1
        assert recorder.data == b"x" * 3_000_000
        assert recorder.error is None


@pytest.mark.parametrize("size", [50_000, 1_000_000])
async def test_a_peer_that_does_not_read_pauses_the_writer(
    size: int, authority: Authority, engine: str
) -> None:
    go = asyncio.Event()

    async def script(peer: TlsPeer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await peer.read_all()) == written

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        transport.set_write_buffer_limits(high=100_000)
        written = 0
        while not recorder.writing_paused:
            transport.write(b"x" * size)
            written += size
            assert written < 50_000_000
            await asyncio.sleep(0)
        assert transport.get_write_buffer_size() >= 100_000
        go.set()
        await eventually(lambda: not recorder.writing_paused)
        transport.close()
        await recorder.lost.wait()


async def test_closing_sends_what_is_buffered_and_close_notify(
    authority: Authority, engine: str
) -> None:
    async def script(peer: TlsPeer) -> None:
        await asyncio.sleep(0.05)
        assert len(await peer.read_all()) == 5_000_000

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        # The peer's session tickets are to be read: a close would reset them, and all else.
        await asyncio.sleep(0.02)
        transport.write(b"x" * 5_000_000)
        transport.close()
        transport.close()
        await recorder.lost.wait()
        assert recorder.error is None


async def test_an_abort_is_seen_as_a_cut(authority: Authority, engine: str) -> None:
    async def script(peer: TlsPeer) -> None:
        with pytest.raises(ConnectionResetError):
            await peer.read_all()

    async with tls_pair(authority, script, engine=engine) as (transport, recorder):
        transport.abort()
        await recorder.lost.wait()


async def test_a_handshake_that_fails_raises_once_and_leaves_nothing(
    authority: Authority,
) -> None:
    """Also when nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for _ in range(3):
        transport = TlsTransport(client_context(TlsConfig(insecure=True)), "localhost", Recorder())
        await loop.create_connection(lambda t=transport: t, "127.0.0.1", port)  # type: ignore[misc]
        await eventually(transport.ready.done)
        del transport
    server.close()
    assert complaints == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
async def test_a_key_update_gets_a_response(
    tmp_path: Path, authority: Authority, engine: str
) -> None:
    leaf = authority.server()
    pem = tmp_path / "server.pem"
    pem.write_text(leaf.key + leaf.certificate)
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(pem), "-key", str(pem),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    loop = asyncio.get_running_loop()
    recorder = Recorder()
    try:
        line = b""
        while not line.startswith(b"ACCEPT"):
            line = await process.stdout.readline()
        port = int(line.rpartition(b":")[2])
        transport = TlsTransport(CONTEXTS[engine](authority), "127.0.0.1", recorder)
        await loop.create_connection(lambda: transport, "127.0.0.1", port)
        await transport.ready
        for number in range(3):
            process.stdin.write(b"K\n")
            await asyncio.sleep(0.1)
            process.stdin.write(b"hello %d\n" % number)
            await eventually(lambda n=number: recorder.data.endswith(b"hello %d\n" % n))  # type: ignore[misc]
            transport.write(b"answer %d\n" % number)
            while line != b"answer %d\n" % number:
                line = await process.stdout.readline()
                assert line
        transport.close()
        await recorder.lost.wait()
    finally:
        process.kill()
        await process.communicate()


def test_event_loops_in_several_threads_do_not_mix_their_bytes(
    authority: Authority, engine: str
) -> None:
    async def receive(number: int) -> bytes:
        async def script(peer: TlsPeer) -> None:
            for _ in range(40):
                await peer.send(peer.sealed(bytes([number]) * 200_000))
            await peer.send(peer.close_notify())

        async with tls_pair(authority, script, engine=engine) as (_, recorder):
            await recorder.lost.wait()
        assert recorder.error is None
        return recorder.data

    with ThreadPoolExecutor(4) as threads:
        received = list(threads.map(lambda number: asyncio.run(receive(number)), range(4)))
    own = [data.count(bytes([number])) for number, data in enumerate(received)]
    assert own == [8_000_000] * 4
