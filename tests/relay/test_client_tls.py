"""TLS with clients: handshakes, good and bad, and what goes over the connection afterwards."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from kubelatch.app import App
from kubelatch.credentials.tls.serving import make_certificate
from kubelatch.relay import client_tls
from kubelatch.upstream.http1 import linger_zero
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.relay import eventually
from tests.support.upstream import Connection, Script, ScriptedUpstream, answering, ok

OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
GET = b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"
ALERT = b"\x15\x03"
# A record of a handshake that announces a ClientHello of 100,000 bytes.
LONG_HELLO = b"\x16\x03\x01\x40\x00\x01\x01\x86\xa0"


def client_context(ca: str, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca)
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if version is not None:
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@dataclass
class Bench:
    """A proxy with TLS, and its request log."""

    app: App
    upstream: ScriptedUpstream
    log: Path

    @property
    def ca(self) -> str:
        assert self.app.access is not None
        return (self.app.access.ca or b"").decode()

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.app.name.rpartition(":")
        return host, int(port)

    @contextlib.asynccontextmanager
    async def client(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        context = context or client_context(self.ca)
        pair = await asyncio.open_connection(*self.address, ssl=context, limit=2**20)
        async with Client(*pair) as client:
            yield client

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[Client]:
        async with await Client.connect(self.app.name) as client:
            yield client

    async def logged(self, count: int = 1) -> list[dict[str, Any]]:
        await eventually(lambda: self.log.read_bytes().count(b"\n") >= count)
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    async def serves(self) -> None:
        """Others are served."""
        async with self.client() as client:
            assert (await client.get("/api")).status == 200


@contextlib.asynccontextmanager
async def secured(
    directory: Path, *flags: str, script: Script | None = None, tls: str = "auto"
) -> AsyncIterator[Bench]:
    log = directory / "log"
    flags = (f"--tls={tls}", f"--log-requests={log}", "--log-format=json", *flags)
    async with (
        ScriptedUpstream(script or answering(ok(b"x"))) as upstream,
        proxy_in_loop(directory, kubeconfig(upstream.url), *flags) as app,
    ):
        yield Bench(app, upstream, log)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_requests_over_tls(tmp_path: Path, version: str) -> None:
    async with secured(tmp_path) as bench:
        assert not bench.app.name.startswith("http")
        context = client_context(bench.ca, ssl.TLSVersion[version])
        async with bench.client(context) as client:
            tls = client.writer.get_extra_info("ssl_object")
            assert tls.version() == version.replace("_", ".")
            assert tls.selected_alpn_protocol() == "http/1.1"
            for _ in range(2):
                assert (await client.get("/api")).body == b"x"
        assert len(bench.upstream.connections) == 1
        [first, _] = await bench.logged(2)
        assert (first["status"], first["client"], first["uid"]) == (200, "127.0.0.1", os.getuid())


async def test_a_session_is_resumed(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        context = client_context(bench.ca, ssl.TLSVersion.TLSv1_2)
        async with bench.client(context) as client:
            await client.get("/api")
            session = client.writer.get_extra_info("ssl_object").session
        [host, port] = bench.address

        def resumed() -> bool:
            plain = socket.create_connection((host, port))
            with context.wrap_socket(plain, server_hostname=host, session=session) as tls:
                return bool(tls.session_reused)

        assert await asyncio.to_thread(resumed)


async def test_old_versions_are_refused(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context = client_context(bench.ca, ssl.TLSVersion.TLSv1_1)
        with pytest.raises(ssl.SSLError):
            async with bench.client(context):
                pass
        [record] = await bench.logged()
        assert (record["status"], record["cause"]) == (0, "client-tls")
        await bench.serves()


async def test_a_client_that_does_not_trust_is_counted(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        other = client_context(make_certificate(["localhost"]).ca.decode())
        with pytest.raises(ssl.SSLCertVerificationError):
            async with bench.client(other):
                pass
        [record] = await bench.logged()
        assert (record["status"], record["cause"]) == (0, "client-tls")


@pytest.mark.parametrize("body", [b"", b"b" * 1_000_000], ids=["get", "with a large body"])
async def test_plain_http_is_told_in_one_line(tmp_path: Path, body: bytes) -> None:
    """As by Go's server, and the line is not lost to a reset."""
    async with secured(tmp_path) as bench, bench.raw() as client:
        client.writer.write(b"POST /api HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        found, clean = await client.to_end()
        assert clean
        head, _, text = found.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 400 Bad Request\r\n")
        assert text == b"Client sent an HTTP request to an HTTPS server.\n"
        [record] = await bench.logged()
        assert (record["status"], record["cause"]) == (400, "client-tls")
        assert bench.upstream.requests == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00" * 500, id="zeros"),
        pytest.param(b"\x16\x03\x01\xff\xff" + b"\x01" * 500, id="a record that is too large"),
        pytest.param(b"\x16\x03\x01\x00\x05\x0b" + b"\x00" * 4, id="no ClientHello"),
        pytest.param(b"\x80\x2e\x01\x03\x01" + b"\x00" * 60, id="SSLv2"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x28", id="an alert"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="h2"),
        pytest.param(b"\xff\xfb\x01", id="telnet"),
    ],
)
async def test_garbage_instead_of_a_handshake(tmp_path: Path, data: bytes) -> None:
    async with secured(tmp_path) as bench, bench.raw() as client:
        await client.send(data)
        client.writer.write_eof()
        found, _ = await client.to_end()
        assert found[:2] in {b"", ALERT} or found.startswith(b"HTTP/1.0 400 ")
        [record] = await bench.logged()
        assert record["cause"] == "client-tls"
        await bench.serves()


async def test_a_probe_of_the_port_is_not_reported(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        async with bench.raw():
            pass
        await bench.serves()
        assert [record["status"] for record in await bench.logged()] == [200]


@pytest.mark.parametrize("data", [b"", LONG_HELLO], ids=["silent", "half a ClientHello"])
async def test_a_handshake_takes_no_longer_than_a_head(tmp_path: Path, data: bytes) -> None:
    async with secured(tmp_path, "--head-timeout=50ms") as bench, bench.raw() as client:
        await client.send(data)
        await client.to_end()
        await eventually(lambda: not unfinished(bench))
        if data:
            [record] = await bench.logged()
            assert record["cause"] == "client-tls"


async def test_a_handshake_in_time_leaves_no_deadline(tmp_path: Path) -> None:
    late = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await late.wait()
        await connection.send(ok(b"x"))

    async with secured(tmp_path, "--head-timeout=50ms", script=script) as b, b.client() as client:
        await client.send(GET)
        asyncio.get_running_loop().call_later(0.1, late.set)
        assert (await client.answer()).body == b"x"


async def test_a_client_hello_has_16_kib(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench, bench.raw() as client:
        header, rest = b"\x16\x03\x01\x04\x00", b"x" * 1020
        # Of the whole ClientHello, a third.
        with contextlib.suppress(ConnectionError):
            await client.send(header + b"\x01\x01\x86\xa0" + rest)
            for _ in range(32):
                await client.send(header + b"xxxx" + rest)
        await client.to_end()
        [record] = await bench.logged()
        assert record["cause"] == "client-tls"


async def test_half_handshakes_end_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_tls, "_MAX_UNFINISHED", 20)
    monkeypatch.setattr(client_tls, "_PROGRESS", 0.0)
    async with secured(tmp_path) as bench, contextlib.AsyncExitStack() as stack:
        clients = []
        for _ in range(50):
            clients.append(await stack.enter_async_context(bench.raw()))
            await clients[-1].send(LONG_HELLO)
        await bench.serves()
        assert len(unfinished(bench)) <= 20
        # The oldest had to go.
        assert (await clients[0].to_end())[0] == b""


async def test_a_burst_of_clients_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though more handshakes are under way than may be for long."""
    monkeypatch.setattr(client_tls, "_MAX_UNFINISHED", 20)
    async with secured(tmp_path) as bench:
        await asyncio.gather(*(bench.serves() for _ in range(100)))


def unfinished(bench: Bench) -> dict[Any, None]:
    assert bench.app._http is not None
    assert bench.app._http._handshakes is not None
    return bench.app._http._handshakes._unfinished


async def test_a_drain_ends_unfinished_handshakes(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench, bench.raw() as client:
        await client.send(LONG_HELLO)
        await eventually(lambda: unfinished(bench))
        await bench.app.drain()
        assert (await client.to_end())[0] == b""


async def test_a_drain_lets_a_response_finish(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await go_on.wait()
        await connection.send(b"b")

    async with secured(tmp_path, script=script) as bench, bench.client() as client:
        await client.send(GET)
        await client.reader.readuntil(b"\r\n\r\na")
        draining = asyncio.create_task(bench.app.drain())
        go_on.set()
        assert await client.reader.read() == b"b"
        await draining


@contextlib.asynccontextmanager
async def openssl(bench: Bench, version: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``openssl s_client``, to which a letter alone on a line is a command."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", bench.app.name, version, "-crlf"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        async with asyncio.timeout(20):
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def command(process: asyncio.subprocess.Process, letter: str, response: bytes) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{letter}\n".encode())
    await process.stdout.readuntil(response)


@OPENSSL
async def test_renegotiation_is_refused(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        async with openssl(bench, "-tls1_2") as process:
            await command(process, "R", b"RENEGOTIATING")
            # It is told that there is none, and takes that for an error.
            assert b"no renegotiation" in (await process.communicate())[0]
        await bench.serves()


@OPENSSL
async def test_key_updates_change_nothing(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        async with openssl(bench, "-tls1_3") as process:
            for _ in range(20):
                await command(process, "K", b"KEYUPDATE")
            await command(process, "GET /api HTTP/1.1\nHost: localhost\n", b"HTTP/1.1 200 OK")
        await bench.serves()


async def test_a_record_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    async with secured(tmp_path) as bench:
        context = client_context(bench.ca)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        async with bench.raw() as client:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await client.send(outgoing.read())
                    incoming.write(await client.reader.read(2**16))
            await client.send(outgoing.read() + b"\x17\x03\x03\xff\xff" + b"x" * 0xFFFF)
            await client.to_end()
        await bench.serves()


def ending(data: bytes, *, reset: bool = False) -> Script:
    """An upstream that sends this and goes."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)
        if reset:
            linger_zero(connection.writer.transport)
            connection.abort()

    return script


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    ("version", "data", "reset"),
    [
        pytest.param("1.1", b"Content-Length: 9\r\n\r\nabc", False, id="length"),
        pytest.param("1.1", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False, id="chunked"),
        # Without a framing, the connection's end is the body's.
        pytest.param(
            "1.0", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False, id="to the end"
        ),
        pytest.param("1.0", b"\r\nabc", True, id="reset"),
    ],
)
async def test_a_cut_response_never_looks_whole(
    tmp_path: Path, version: str, data: bytes, reset: bool
) -> None:
    async with secured(tmp_path, script=ending(b"HTTP/1.1 200 OK\r\n" + data, reset=reset)) as b:
        (tmp_path / "ca").write_text(b.ca)
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", f"--http{version}", "--cacert", str(tmp_path / "ca")),
            f"https://{b.app.name}/api",
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode in {18, 56}, (out, err)


async def test_a_client_that_cuts_its_upload_is_noticed(tmp_path: Path) -> None:
    """An end without close_notify in the middle of a body."""
    async with secured(tmp_path) as bench:
        async with bench.client() as client:
            await client.send(
                b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"
            )
            await eventually(lambda: bench.upstream.connections)
            client.writer.transport.abort()
        [record] = await bench.logged()
        assert record["cause"] == "client-gone"


async def echo(connection: Connection) -> None:
    """A tunnel that sends back what it gets, and ends after its client's end."""
    await connection.head()
    await connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
    )
    while data := await connection.reader.read(2**16):
        await connection.send(data)


TUNNEL = (
    b"POST /api/v1/namespaces/a/pods/b/portforward HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
)


async def test_a_tunnel_with_early_data(tmp_path: Path) -> None:
    async with secured(tmp_path, script=echo) as bench, bench.client() as client:
        await client.send(TUNNEL + b"early")
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(5) == b"early"
        data = os.urandom(3_000_000)
        sending = asyncio.create_task(client.send(data))
        assert await client.reader.readexactly(len(data)) == data
        await sending


async def test_a_tunnel_that_breaks_is_cut(tmp_path: Path) -> None:
    """Its client sees an error, and no clean end."""

    async def script(connection: Connection) -> None:
        await echo_head(connection)
        await connection.send(b"abc")
        linger_zero(connection.writer.transport)
        connection.abort()

    async with secured(tmp_path, script=script) as bench, bench.client() as client:
        await client.send(TUNNEL)
        await client.reader.readuntil(b"\r\n\r\n")
        try:
            found = await client.reader.read()
        except (ConnectionError, ssl.SSLError):
            return
        assert found is None, "a cut tunnel ended cleanly"


async def echo_head(connection: Connection) -> None:
    await connection.head()
    await connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
    )


@OPENSSL
@pytest.mark.parametrize("how", ["clean", "cut"])
async def test_a_tunnel_is_half_closed_by_close_notify_alone(tmp_path: Path, how: str) -> None:
    """An end of the connection without it is a cut, and so it is for the upstream."""
    ends: list[str] = []

    async def script(connection: Connection) -> None:
        await echo_head(connection)
        try:
            while await connection.reader.read(2**16):
                pass
            ends.append("clean")
            await connection.send(b"more")
        except ConnectionError:
            ends.append("cut")
            raise

    async with secured(tmp_path, script=script) as bench, openssl(bench, "-tls1_3") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(TUNNEL.replace(b"\r\n", b"\n"))
        await process.stdout.readuntil(b" 101 Switching Protocols")
        if how == "clean":
            process.stdin.write_eof()
        else:
            process.kill()
        await eventually(lambda: ends)
    assert ends == [how]


async def test_a_client_that_does_not_read_holds_the_upstream_up(tmp_path: Path) -> None:
    sent = 0

    async def script(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(64):
            await connection.send(b"x" * (1 << 20))
            sent += 1

    async with secured(tmp_path, script=script) as bench, bench.client() as client:
        reading = cast("asyncio.Transport", client.writer.transport)
        reading.pause_reading()
        await client.send(GET)
        await eventually(lambda: [x for x in bench.app._registry if x.client.writing_paused])
        [exchange] = bench.app._registry
        transport = exchange.client.transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 1 << 20
        assert sent < 40
        reading.resume_reading()
        size = 0
        while piece := await client.reader.read(1 << 20):
            size += len(piece)
            if size > 64 << 20:
                break
        assert size > 64 << 20


async def replace_pair(directory: Path, authority: Authority, *names: str) -> str:
    leaf = authority.server(*names)
    (directory / "tls.key").write_text(leaf.key)
    (directory / "tls.crt").write_text(leaf.certificate)
    return f"{directory / 'tls.crt'},{directory / 'tls.key'}"


async def test_a_new_certificate_is_used_for_new_connections(
    tmp_path: Path, authority: Authority
) -> None:
    pair = await replace_pair(tmp_path, authority, "127.0.0.1")
    context = client_context(authority.pem)
    async with secured(tmp_path, tls=pair) as bench, bench.client(context) as old:
        first = old.writer.get_extra_info("peercert")
        await replace_pair(tmp_path, authority, "127.0.0.1", "new.example")
        await bench.app.reload()
        async with bench.client(context) as new:
            second = new.writer.get_extra_info("peercert")
            assert ("DNS", "new.example") in second["subjectAltName"]
            assert ("DNS", "new.example") not in first["subjectAltName"]
            assert (await new.get("/api")).status == 200
        assert (await old.get("/api")).status == 200


async def test_a_broken_certificate_leaves_the_old_one_in_use(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await replace_pair(tmp_path, authority)
    context = client_context(authority.pem)
    async with secured(tmp_path, tls=pair) as bench:
        (tmp_path / "tls.key").write_text(authority.server().key)
        await bench.app.reload()
        assert "private key does not match public key" in caplog.text
        async with bench.client(context) as client:
            assert (await client.get("/api")).status == 200
