"""Opening connections to the API server: names, TCP, TLS, each with its time limit.

One dialler serves plain exchanges and tunnels alike, so that both verify the same certificate
and take the same route (kubectl proxy has two, and the one for upgrades skips verification in
some configurations: kubernetes/kubernetes#138381).
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import aiohappyeyeballs

from ..errors import UpstreamError, UpstreamTimeoutError
from ..kubeconfig import ProxyAddress
from .connection import UpstreamConnection
from .route import ConnectRequest, connect_socks, proxy_context, proxy_error
from .tls_transport import TlsTransport

# kubectl's own limits (client-go transport/cache.go, net/http DefaultTransport).
CONNECT_TIMEOUT: Final = 30.0
TLS_TIMEOUT: Final = 10.0
KEEPALIVE_SECONDS: Final = 30
# RFC 8305 section 8.
_HAPPY_EYEBALLS_DELAY: Final = 0.25
# A peer that acknowledges nothing for this long is gone: as HTTP/2 pings tell kubectl
# (30 s of silence, then 15 s for the answer).
_USER_TIMEOUT_MS: Final = 45_000

TlsErrorExplainer = Callable[[ssl.SSLError, str], UpstreamError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the API server listens, and how it proves who it is.

    Attributes:
        host: name or IP address, without brackets.
        port: TCP port.
        context: None for a server of plain HTTP.
        server_name: what its certificate must name.
        proxy: the proxy through which it is reached, if any.
    """

    host: str
    port: int
    context: ssl.SSLContext | None
    server_name: str
    proxy: ProxyAddress | None = None

    def __str__(self) -> str:
        return _join(self.host, self.port)


class Dialer:
    """Opens connections to one address.

    Args:
        address: where to.
        explain_tls: turns an error of TLS into one that says what is wrong with which file.
        connect_timeout: seconds for resolving and connecting.
        tls_timeout: seconds for the handshake.
    """

    def __init__(
        self,
        address: Address,
        *,
        explain_tls: TlsErrorExplainer,
        connect_timeout: float = CONNECT_TIMEOUT,
        tls_timeout: float = TLS_TIMEOUT,
    ) -> None:
        self.address = address
        self._explain_tls = explain_tls
        self._connect_timeout = connect_timeout
        self._tls_timeout = tls_timeout

    async def dial(self, keepalive: float = KEEPALIVE_SECONDS) -> UpstreamConnection:
        """Open a connection, ready for its first exchange.

        Args:
            keepalive: seconds of silence before TCP probes the peer; negative: never.

        Raises:
            UpstreamError: with one of the causes ``dns``, ``refused``, ``unreachable``,
                ``reset`` or ``tls-…``.
            UpstreamTimeoutError: connecting or the handshake took too long.
        """
        connection = UpstreamConnection(self._explain)
        context = self.address.context
        if context is None:
            await self._reach(connection, keepalive)
            return connection
        tls = TlsTransport(context, self.address.server_name, connection)
        try:
            await self._reach(tls, keepalive)
            await self._handshake(tls)
        except BaseException:
            # Also when we are cancelled just as it succeeds.
            tls.abort()
            raise
        return connection

    async def _reach(self, protocol: asyncio.Protocol, keepalive: float) -> None:
        """Connect *protocol* to the API server, by the way that is configured."""
        address, proxy = self.address, self.address.proxy
        if proxy is None:
            sock = await self._connect(address.host, address.port)
            await _attach(protocol, sock, keepalive)
        elif proxy.scheme == "socks5":
            async with self._proxy_answers(proxy):
                sock = await connect_socks(proxy, address.host, address.port)
            await _attach(protocol, sock, keepalive)
        else:
            transport = await self._tunnel(proxy, keepalive)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)

    async def _tunnel(self, proxy: ProxyAddress, keepalive: float) -> asyncio.Transport:
        """A transport to the API server through an HTTP proxy."""
        request = ConnectRequest(proxy, self.address.host, self.address.port)
        first: asyncio.Protocol = request
        if proxy.scheme == "https":
            first = TlsTransport(proxy_context(), proxy.host, request)
        sock = await self._connect(proxy.host, proxy.port)
        await _attach(first, sock, keepalive)
        try:
            async with self._proxy_answers(proxy):
                if isinstance(first, TlsTransport):
                    await first.ready
                return await request.established
        except BaseException:
            request.abort()
            raise

    @contextlib.asynccontextmanager
    async def _proxy_answers(self, proxy: ProxyAddress) -> AsyncIterator[None]:
        """The time that a proxy has, and its faults in our words."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                yield
        except TimeoutError as exc:
            msg = f"the proxy {proxy.host}:{proxy.port} has not connected us"
            msg += f" within {self._connect_timeout:g} s"
            raise UpstreamTimeoutError(msg, cause="proxy-timeout") from exc
        except ssl.SSLError as exc:
            error = self._explain_tls(exc, proxy.host)
            raise proxy_error(proxy, f"cannot be used: {error.message}", error.hint) from exc
        except OSError as exc:
            raise proxy_error(proxy, "closed the connection") from exc

    async def _handshake(self, tls: TlsTransport) -> None:
        try:
            async with asyncio.timeout(self._tls_timeout):
                await tls.ready
        except TimeoutError as exc:
            msg = f"no TLS handshake with {self.address} within {self._tls_timeout:g} s"
            raise UpstreamTimeoutError(msg, cause="tls-timeout") from exc
        except ssl.SSLError as exc:
            raise self._explain(exc) from exc
        except OSError as exc:
            msg = f"{self.address} closed the connection during the TLS handshake"
            raise UpstreamError(msg, cause="tls-closed") from exc

    def _explain(self, error: ssl.SSLError) -> UpstreamError:
        return self._explain_tls(error, self.address.server_name)

    async def _connect(self, host: str, port: int) -> socket.socket:
        loop, where = asyncio.get_running_loop(), _join(host, port)
        try:
            async with asyncio.timeout(self._connect_timeout):
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                return await aiohappyeyeballs.start_connection(
                    [(i[0], i[1], i[2], i[3], i[4]) for i in infos],
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY,
                )
        except TimeoutError as exc:
            msg = f"cannot connect to {where} within {self._connect_timeout:g} s"
            raise UpstreamTimeoutError(
                msg, cause="connect-timeout", hint="is the API server reachable from here?"
            ) from exc
        except (socket.gaierror, UnicodeError) as exc:
            # A name that is no name at all fails at its encoding.
            why = exc.strerror if isinstance(exc, OSError) else "not a host name"
            msg = f"cannot resolve {host}: {why}"
            raise UpstreamError(
                msg, cause="dns", hint="check the cluster's server in kubeconfig, and DNS"
            ) from exc
        except OSError as exc:
            raise _connect_error(where, exc) from exc


async def _attach(protocol: asyncio.Protocol, sock: socket.socket, keepalive: float) -> None:
    """Give a connected socket to a protocol."""
    try:
        _set_options(sock, keepalive)
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _connect_error(address: str, exc: OSError) -> UpstreamError:
    hint = "is the API server running, and is this the right context?"
    if exc.errno == errno.ECONNREFUSED or isinstance(exc, ConnectionRefusedError):
        return UpstreamError(f"connection to {address} refused", cause="refused", hint=hint)
    if exc.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return UpstreamError(f"no route to {address}", cause="unreachable", hint=hint)
    if exc.errno in {errno.EMFILE, errno.ENFILE}:
        return UpstreamError(
            f"cannot connect to {address}: this process has no file descriptors left",
            cause="no-descriptors",
            hint="raise the limit (ulimit -n) or lower the number of connections",
        )
    if exc.errno == errno.ETIMEDOUT:
        return UpstreamTimeoutError(
            f"connecting to {address} timed out", cause="connect-timeout", hint=hint
        )
    # Not the error's own text: it holds the addresses behind the name.
    why = os.strerror(exc.errno) if exc.errno else "no address answers"
    return UpstreamError(f"cannot connect to {address}: {why}", cause="connect", hint=hint)


def _set_options(sock: socket.socket, keepalive: float) -> None:
    # A unix socket, or a kernel without one of these, is no reason not to connect.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keepalive < 0:
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        seconds = max(1, round(keepalive))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
