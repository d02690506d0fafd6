"""Opening connections: how long it may take, what its failures are called, what it leaves."""

import asyncio
import contextlib
import gc
import socket
import ssl

import pytest

from kubelatch.credentials.tls import client_context, explain
from kubelatch.errors import UpstreamError, UpstreamTimeoutError
from kubelatch.http1.headers import ClientFields
from kubelatch.kubeconfig import TlsConfig
from kubelatch.upstream.dial import Address, Dialer
from kubelatch.upstream.handshakes import HandshakeLimiter
from kubelatch.upstream.request import UpstreamRequest
from tests.support.certificates import Authority
from tests.support.relay import eventually
from tests.support.upstream import Connection, Script, ScriptedUpstream, server_context

from .tls_peer import TlsPeer


class Uploading:
    """Takes no response."""

    def on_pause_writing(self) -> None:
        """The test looks at the connection alone."""

    on_resume_writing = on_pause_writing


def request(method: str) -> UpstreamRequest:
    return UpstreamRequest(
        method,
        b"/",
        ClientFields(),
        path_prefix=b"",
        authority=b"127.0.0.1",
        identity=(),
        compression=False,
        peer=b"",
        user_agent=b"",
        own_credential=True,
    )


def dialer(
    port: int,
    context: ssl.SSLContext | None,
    *,
    name: str = "127.0.0.1",
    host: str = "127.0.0.1",
    **limits: float,
) -> Dialer:
    return Dialer(
        Address(host=host, port=port, context=context, server_name=name),
        explain_tls=lambda error, server: explain(error, server_name=server),
        **limits,
    )


def trusting(authority: Authority) -> ssl.SSLContext:
    return client_context(TlsConfig(ca_data=authority.pem.encode()))


async def silent(connection: Connection) -> None:
    await connection.reader.read()


async def at_once(connection: Connection) -> None:
    connection.close()


async def by_alert(connection: Connection) -> None:
    """A close_notify in the place of a handshake."""
    await connection.send(bytes((21, 3, 3, 0, 2, 1, 0)))
    await connection.reader.read()


@pytest.mark.parametrize(
    ("script", "cause", "kind"),
    [
        pytest.param(silent, "tls-timeout", UpstreamTimeoutError, id="silent"),
        pytest.param(at_once, "tls-closed", UpstreamError, id="closed"),
        pytest.param(by_alert, "tls-closed", UpstreamError, id="close_notify"),
    ],
)
async def test_a_handshake_that_does_not_end_well(
    script: Script, cause: str, kind: type[UpstreamError], authority: Authority
) -> None:
    async with ScriptedUpstream(script) as upstream:
        with pytest.raises(kind) as caught:
            await dialer(upstream.port, trusting(authority), tls_timeout=0.1).dial()
        assert caught.value.cause == cause
        await upstream.connections[0].closed.wait()


@pytest.mark.parametrize(
    ("name", "trusted", "cause"),
    [
        pytest.param("127.0.0.1", False, "tls-ca", id="another CA"),
        pytest.param("elsewhere.test", True, "tls-name", id="another name"),
    ],
)
async def test_a_certificate_that_is_not_the_servers(
    name: str, trusted: bool, cause: str, authority: Authority
) -> None:
    context = trusting(authority if trusted else Authority())
    async with ScriptedUpstream(silent, authority) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await dialer(upstream.port, context, name=name).dial()
        assert caught.value.cause == cause


async def test_connecting_has_a_limit(authority: Authority) -> None:
    """A listener whose queue is full takes no more connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        with pytest.raises(UpstreamTimeoutError) as caught:
            await dialer(port, None, connect_timeout=0.1).dial()
        assert caught.value.cause == "connect-timeout"
        for sock in waiting:
            sock.close()


async def test_giving_up_at_any_moment_leaves_no_connection(authority: Authority) -> None:
    context = trusting(authority)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(c))
    async with ScriptedUpstream(silent, authority) as upstream:
        for steps in range(25):
            task = asyncio.ensure_future(dialer(upstream.port, context).dial())
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                task.result().abort()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for connection in upstream.connections:
            await asyncio.wait_for(connection.closed.wait(), 5)
    gc.collect()
    assert complaints == []


async def test_a_connection_lost_before_its_use_reports_the_reason(authority: Authority) -> None:
    """With TLS 1.3 a server refuses our certificate after the handshake has looked well."""
    told: list[UpstreamError] = []

    class Receiver:
        def on_error(self, error: UpstreamError, *, stale: bool) -> None:
            told.append(error)
            assert not stale

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = TlsPeer(server_context(authority, require_certificate=True), reader, writer)
        with contextlib.suppress(ssl.SSLError):
            await peer.handshake()
        await peer.send(peer.unsent())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = await dialer(port, trusting(authority)).dial()
    await eventually(lambda: connection.closed)
    connection.start(request("GET"), b"", Receiver(), b"")  # type: ignore[arg-type]
    assert told[0].cause == "tls-client-cert"
    server.close()


async def test_handshakes_get_slots_in_the_order_of_their_requests(
    authority: Authority,
) -> None:
    async with ScriptedUpstream(silent) as upstream:
        busy = dialer(upstream.port, trusting(authority))
        busy._handshakes = HandshakeLimiter(limit=2, max_seconds=60)
        tasks = [asyncio.ensure_future(busy.dial()) for _ in range(5)]
        await eventually(lambda: len(upstream.connections) == 2)
        # Who is not connected yet is the last: only a slot of one that is makes room for another.
        for number, connected in ((0, 3), (1, 4), (2, 5)):
            tasks[number].cancel()
            await asyncio.gather(tasks[number], return_exceptions=True)
            await eventually(lambda: len(upstream.connections) == connected)  # noqa: B023
            await upstream.connections[number].closed.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_handshake_that_is_over_makes_room_at_once(authority: Authority) -> None:
    async with ScriptedUpstream(silent, authority) as upstream:
        busy = dialer(upstream.port, trusting(authority))
        busy._handshakes = HandshakeLimiter(limit=1, max_seconds=60)
        connections = [await busy.dial() for _ in range(3)]
        for connection in connections:
            connection.abort()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="these options are Linux's")
@pytest.mark.parametrize(
    ("keepalive", "options"),
    [
        pytest.param(None, (1, 30, 3, 45_000), id="plain"),
        # A remote command may leave its input unread for as long as it likes.
        pytest.param(15.0, (1, 15, 3, 0), id="tunnel"),
        pytest.param(-1.0, (0, None, None, 0), id="tunnel without probes"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_how_a_dead_upstream_is_noticed(
    host: str, keepalive: float | None, options: tuple[int, int | None, int | None, int]
) -> None:
    async with ScriptedUpstream(silent) as upstream:
        connection = await dialer(upstream.port, None, host=host).dial(keepalive)
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        found = [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            *(
                sock.getsockopt(socket.IPPROTO_TCP, name)
                for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            ),
        ]
        expected = zip(found, options, strict=True)
        assert all(wanted in {None, value} for value, wanted in expected), found
        connection.abort()


async def test_a_peer_that_does_not_read_is_not_taken_for_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux ends a connection with TCP_USER_TIMEOUT whose peer keeps its window closed."""
    monkeypatch.setattr("kubelatch.upstream.tcp._USER_TIMEOUT_MS", 100)
    read = asyncio.Event()

    async def deaf(connection: Connection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await read.wait()

    async with ScriptedUpstream(deaf) as upstream:
        tunnel = await dialer(upstream.port, None).dial(15.0)
        tunnel.write(b"x" * 16_000_000)
        upload = await dialer(upstream.port, None).dial()
        upload.start(request("POST"), b"", Uploading(), None)  # type: ignore[arg-type]
        upload.write(b"x" * 16_000_000)
        plain = await dialer(upstream.port, None).dial()
        plain.write(b"x" * 16_000_000)
        await eventually(lambda: plain.closed)
        assert not tunnel.closed
        assert not upload.closed
        read.set()
        tunnel.abort()
        upload.abort()
