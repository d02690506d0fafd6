"""Faults before a request has reached the API server: the network, TLS, proxies on the way."""

import asyncio
import contextlib
import resource
import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.support.certificates import Authority
from tests.support.client import Answer
from tests.support.kubeconfig import kubeconfig
from tests.support.upstream import ScriptedUpstream, answering, ok, server_context

from .outcomes import Told, Unharmed
from .stage import (
    TOKEN,
    Case,
    Config,
    Stage,
    Upstream,
    nowhere,
    plain_server,
    serving,
    without_tls,
)

RUNNING = "Is the API server running, and is this the right context?"
PROXY_URL = "Look at proxy-url in kubeconfig, and at $HTTPS_PROXY."
CUT_BEFORE = "Something before the API server may have cut the connection: a load balancer, a \
firewall, or a port that is not the API server's."
RENEW = "Renew the client certificate of the kubeconfig's user: fetch the kubeconfig again. \
kubelatch check shows the validity of the one in use."
served = answering(ok())


async def full_backlog(stage: Stage) -> Config:
    """A machine that answers to no SYN: whoever listens there accepts nobody."""
    listener = stage.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        waiting = stage.stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    server = f"https://127.0.0.1:{listener.getsockname()[1]}"
    return kubeconfig(server, stage.authority, user={"token": TOKEN})


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As Go's server answers a TLS handshake on a plain port."""
    await reader.read(1)
    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server")
    await writer.drain()


def handshaking(prepare: Callable[[ssl.SSLContext], None], user: Config | None = None) -> Upstream:
    """A server that tells why it refuses a handshake, as Go's does and asyncio's does not."""

    async def start(stage: Stage) -> Config:
        context = server_context(stage.authority)
        prepare(context)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with plain, contextlib.suppress(OSError):
                        context.wrap_socket(plain, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        stage.stack.callback(thread.join)
        stage.stack.callback(listener.close)
        stage.stack.callback(listener.shutdown, socket.SHUT_RDWR)
        server = f"https://127.0.0.1:{listener.getsockname()[1]}"
        return kubeconfig(server, stage.authority, user=user or {"token": TOKEN})

    return start


def old_version(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings(action="ignore"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1


async def one_of_two_is_going(stage: Stage) -> Config:
    """A load balancer that leads the first connection to an API server which is about to stop."""
    first = True
    upstream = await stage.stack.enter_async_context(ScriptedUpstream(served, stage.authority))

    async def balance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if first:
            first = False
            await hang_up(reader, writer)
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        try:
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
        finally:
            there_writer.close()

    return await without_tls(balance)(stage)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


async def post(stage: Stage) -> Answer:
    client = await stage.client()
    await client.send(
        b"POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab"
    )
    return await client.answer()


def certificate_required(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED


def strange_certificate() -> Config:
    """A user whose certificate no API server knows."""
    [entry] = kubeconfig("", identity=Authority().client())["users"]
    user: Config = entry["user"]
    return user


def through(answer: bytes | None, *, closes: bool = False) -> Upstream:
    """A forward proxy that answers CONNECT so, or not at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"")
        if not closes:
            await reader.read()

    async def start(stage: Stage) -> Config:
        port = await plain_server(stage, serve)
        return await nowhere(**{"proxy-url": f"http://127.0.0.1:{port}"})(stage)

    return start


async def with_no_descriptors(stage: Stage) -> Answer:
    """Ask while no socket can be opened; for the question itself there is one already."""
    client = await stage.client()
    await client.send(b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        await client.send(b"\r\n")
        return await client.answer()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


ON_THE_WAY = (
    Case(
        fault="connection refused",
        outcome=Told(502, "refused", RUNNING, "connection to 127.0.0.1:"),
        upstream=nowhere(),
    ),
    Case(
        fault="name not known",
        outcome=Told(
            502, "dns", "Check the cluster's server in kubeconfig, and DNS.", "api.no.invalid"
        ),
        upstream=nowhere("api.no.invalid"),
    ),
    Case(
        fault="no route",
        outcome=Told(502, "unreachable", RUNNING, "no route to 255.255.255.255"),
        upstream=nowhere("255.255.255.255"),
    ),
    Case(
        fault="nothing responds to the connection",
        outcome=Told(
            504,
            "connect-timeout",
            "Is the API server reachable from here? --connect-timeout sets the limit.",
        ),
        upstream=full_backlog,
        flags=("--connect-timeout=100ms",),
    ),
    Case(
        fault="this process has no file descriptors left",
        outcome=Told(
            503,
            "no-descriptors",
            "Raise the limit (ulimit -n) or lower the number of connections.",
            passing=True,
        ),
        upstream=nowhere(),
        client=with_no_descriptors,
    ),
    Case(
        fault="the proxy on the way (`proxy-url`) is not there",
        outcome=Told(502, "proxy", PROXY_URL, "the proxy 127.0.0.1:1 cannot be reached"),
        upstream=nowhere(**{"proxy-url": "http://127.0.0.1:1"}),
    ),
    Case(
        fault="the proxy on the way will not connect",
        outcome=Told(502, "proxy", PROXY_URL, "(status 403)"),
        upstream=through(b"HTTP/1.1 403 No\r\n\r\n"),
    ),
    Case(
        fault="the proxy on the way wants a login",
        outcome=Told(502, "proxy", "Put user:password into the proxy's URL.", "(407)"),
        upstream=through(b"HTTP/1.1 407 No\r\n\r\n"),
    ),
    Case(
        fault="the proxy on the way closes the connection, at two attempts",
        outcome=Told(502, "proxy", PROXY_URL, "closed the connection"),
        upstream=through(b"", closes=True),
    ),
    Case(
        fault="the proxy on the way says nothing",
        outcome=Told(504, "proxy-timeout", "--connect-timeout sets the limit."),
        upstream=through(None),
        flags=("--connect-timeout=100ms",),
    ),
)

TLS = (
    Case(
        fault="the API server's certificate cannot be traced to a trusted authority",
        outcome=Told(
            502,
            "tls-ca",
            "The CA in the kubeconfig may be an old one or another cluster's, the server may not "
            "send an intermediate certificate, or something on the way may answer in its place. "
            "kubelatch check shows which CA is trusted.",
        ),
        upstream=serving(served, authority=Authority),
    ),
    Case(
        fault="its certificate is for another name",
        outcome=Told(
            502,
            "tls-name",
            "Use the name the certificate was issued for: in the server URL, or by "
            "tls-server-name in the kubeconfig or --tls-server-name.",
            "api.example.test",
        ),
        upstream=serving(served, cluster={"tls-server-name": "api.example.test"}),
    ),
    Case(
        fault="its certificate has expired",
        outcome=Told(
            502,
            "tls-expired",
            "The cluster's administrator has to renew it, or this machine's clock is wrong.",
        ),
        upstream=serving(
            served,
            identity=lambda ca: ca.server(ends=datetime.now(UTC) - timedelta(days=1)),
        ),
    ),
    Case(
        fault="it refuses our client certificate",
        outcome=Told(502, "tls-client-cert", RENEW, "an authority it does not know"),
        upstream=handshaking(certificate_required, strange_certificate()),
    ),
    Case(
        fault="it wants a client certificate, and we have none",
        outcome=Told(502, "tls-client-cert", RENEW, "for want of one"),
        upstream=handshaking(certificate_required),
    ),
    Case(
        fault="it speaks plain HTTP",
        outcome=Told(
            502, "tls-protocol", "The server URL says https: look at its scheme and port."
        ),
        upstream=without_tls(speak_http),
    ),
    Case(
        fault="it knows no TLS version of ours",
        outcome=Told(502, "tls-protocol", "TLS 1.2 or newer is needed, as for kubectl."),
        upstream=handshaking(old_version),
    ),
    Case(
        fault="it ends the connection during the handshake",
        outcome=Told(502, "tls-closed", CUT_BEFORE),
        upstream=without_tls(hang_up),
    ),
    Case(
        fault="the same once, and the next connection is well; the request may be of any kind, as "
        "nothing of it has been sent",
        outcome=Unharmed("another connection is dialled"),
        upstream=one_of_two_is_going,
        client=post,
    ),
    Case(
        fault="it does not respond to the handshake",
        outcome=Told(504, "tls-timeout", "--tls-timeout sets the limit."),
        upstream=without_tls(silent),
        flags=("--tls-timeout=100ms",),
    ),
)
