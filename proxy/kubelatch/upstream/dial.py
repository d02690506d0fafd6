"""Opens connections to the API server: name resolution, TCP and TLS, each with a time limit.

The same dialler serves plain exchanges and tunnels, so that both verify the same certificate and
use the same proxy. (kubectl proxy has two, and the one for upgrades skips verification in some
configurations: kubernetes/kubernetes#138381.)
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import aiohappyeyeballs

from ..config.addresses import join_host_port, parse_ip
from ..credentials.tls import ClientContext, TlsContext
from ..errors import UpstreamError, UpstreamTimeoutError
from ..kubeconfig import ProxyAddress
from .connect import ConnectRequest, CutOffError, connect_socks, proxy_error
from .handshakes import HandshakeLimiter
from .http1 import Http1Connection
from .sessions import Sessions
from .tcp import configure
from .tls_contexts import TlsContexts
from .tls_transport import TlsTransport

# kubectl's own limits (client-go transport/cache.go, net/http DefaultTransport).
CONNECT_TIMEOUT: Final = 30.0
TLS_TIMEOUT: Final = 10.0
# RFC 8305 section 8.
_HAPPY_EYEBALLS_DELAY: Final = 0.25
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})

TlsErrorExplainer = Callable[[ssl.SSLError, str], UpstreamError]
Explain = Callable[[ssl.SSLError], UpstreamError]
P = TypeVar("P", bound=asyncio.Protocol)


class NoDescriptorsError(UpstreamError):
    """No file descriptors are left. 503, since closing connections free some."""

    status = 503
    reason = "ServiceUnavailable"
    default_cause = "no-descriptors"
    transient = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Address:
    """The API server's address, and how it is verified.

    Attributes:
        host: name or IP address, without brackets.
        port: TCP port.
        context: None for plain HTTP.
        server_name: the name or IP address that its certificate must have.
        proxy: the proxy to connect through, if any.
    """

    host: str
    port: int
    context: TlsContext | None
    server_name: str
    proxy: ProxyAddress | None = None

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


class Dialer:
    """Opens connections to one address.

    Args:
        address: the API server's.
        explain_tls: turns a TLS error into one that explains it.
        connect_timeout: seconds for resolving and connecting, and again for a proxy to do the
            same; 0: no limit.
        tls_timeout: seconds for the handshake; 0: no limit.
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
        self._sessions = Sessions()
        self._handshakes = HandshakeLimiter()
        self._contexts = TlsContexts(address.context)
        self._explain_tls = explain_tls
        self._connect_timeout = connect_timeout or None
        self._tls_timeout = tls_timeout or None

    def offering_http2(self) -> "Dialer":
        """A dialler that does the same, but offers HTTP/2. May block.

        Raises:
            ssl.SSLError: the client certificate cannot be used.
        """
        context = self.address.context
        if isinstance(context, ClientContext):
            context = context.offering("h2", "http/1.1")
        return Dialer(
            replace(self.address, context=context),
            explain_tls=self._explain_tls,
            connect_timeout=self._connect_timeout or 0.0,
            tls_timeout=self._tls_timeout or 0.0,
        )

    async def dial(self, keepalive: float | None = None) -> Http1Connection:
        """Open an HTTP/1.1 connection; see :meth:`dial_protocol`."""
        return await self.dial_protocol(Http1Connection, keepalive)

    async def dial_protocol(
        self, make: Callable[[Explain], P], keepalive: float | None = None
    ) -> P:
        """Open a connection, ready for its first exchange.

        A connection that is closed while it is being opened is dialled once more: an API server
        that stops closes connections in the handshake, and a load balancer may have another. After
        a refusal, a time-out or a failed verification it is not.

        Args:
            make: makes the connection's protocol; its argument explains a TLS error that occurs
                after the handshake.
            keepalive: for a tunnel: seconds of silence before TCP probes the peer; negative:
                never. None is for plain exchanges.

        Raises:
            UpstreamError: with one of the causes ``dns``, ``refused``, ``unreachable``,
                ``reset`` or ``tls-…``.
            UpstreamTimeoutError: connecting or the handshake took too long.
        """
        try:
            return await self._dial(make, keepalive)
        except CutOffError:
            return await self._dial(make, keepalive)

    async def _dial(self, make: Callable[[Explain], P], keepalive: float | None) -> P:
        context = self._contexts.current
        if context is None:
            connection = make(self._explain)
            await self._connect(connection, keepalive)
            return connection
        try:
            return await self._dial_tls(make(self._explain), context, keepalive)
        except UpstreamError as error:
            other = await self._contexts.other(context, error.__cause__)
            if other is None:
                raise
            refusal = error
        try:
            connection = await self._dial_tls(make(self._explain), other, keepalive)
        except UpstreamError:
            if other is self.address.context:
                # OpenSSL's error has less detail.
                raise refusal from None
            raise
        self._contexts.current = other
        return connection

    async def _dial_tls(self, connection: P, context: TlsContext, keepalive: float | None) -> P:
        sessions = self._sessions if self._contexts.resumes(context) else None
        try:
            tls = TlsTransport(context, self.address.server_name, connection, sessions)
        except ValueError as exc:
            msg = f"{self.address.server_name!r} is no name that a certificate could be for"
            hint = "look at tls-server-name in kubeconfig, and at --tls-server-name"
            raise UpstreamError(msg, cause="tls-name", hint=hint) from exc
        try:
            async with self._handshakes.slot():
                await self._connect(tls, keepalive)
                await self._handshake(tls)
        except BaseException as error:
            # Also if cancelled just as it succeeds.
            tls.abort()
            if isinstance(error, UpstreamError):
                self._sessions.forget()
            raise
        return connection

    async def _connect(self, protocol: asyncio.Protocol, keepalive: float | None) -> None:
        """Connect *protocol* to the API server, through the proxy if one is configured."""
        address, proxy = self.address, self.address.proxy
        if proxy is None:
            await self._connect_tcp(protocol, address.host, address.port, keepalive)
        elif proxy.scheme == "socks5":
            async with self._proxy_errors(proxy):
                sock = await connect_socks(proxy, address.host, address.port)
            await _attach(protocol, sock, keepalive)
        else:
            transport = await self._tunnel(proxy, keepalive)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)

    async def _tunnel(self, proxy: ProxyAddress, keepalive: float | None) -> asyncio.Transport:
        """A transport to the API server through an HTTP proxy."""
        request = ConnectRequest(proxy, self.address.host, self.address.port)
        first: asyncio.Protocol = request
        if proxy.scheme == "https":
            try:
                first = TlsTransport(await self._contexts.for_proxy(), proxy.host, request)
            except ValueError as exc:
                raise proxy_error(proxy, "has no name that a certificate could be for") from exc
        try:
            await self._connect_tcp(first, proxy.host, proxy.port, keepalive)
        except UpstreamError as error:
            if error.status != UpstreamError.status:
                raise
            raise proxy_error(proxy, f"cannot be reached: {error.message}") from error
        try:
            async with self._proxy_errors(proxy):
                if isinstance(first, TlsTransport):
                    await first.ready
                return await request.established
        except BaseException:
            request.abort()
            raise

    @contextlib.asynccontextmanager
    async def _proxy_errors(self, proxy: ProxyAddress) -> AsyncIterator[None]:
        """Limit the time that the proxy takes, and turn its errors into UpstreamError."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                yield
        except TimeoutError as exc:
            msg = f"the proxy {proxy.host}:{proxy.port} has not connected us"
            msg += f" within {self._connect_timeout:g} s"
            raise UpstreamTimeoutError(
                msg,
                cause="proxy-timeout",
                hint="look at proxy-url in kubeconfig, and at $HTTPS_PROXY; --connect-timeout sets "
                "the limit",
            ) from exc
        except ssl.SSLError as exc:
            error = self._explain_tls(exc, proxy.host)
            raise proxy_error(proxy, f"cannot be used: {error.message}", error.hint) from exc
        except OSError as exc:
            raise CutOffError.by_proxy(proxy) from exc

    async def _handshake(self, tls: TlsTransport) -> None:
        try:
            async with asyncio.timeout(self._tls_timeout):
                await tls.ready
        except TimeoutError as exc:
            msg = f"no TLS handshake with {self.address} within {self._tls_timeout:g} s"
            raise UpstreamTimeoutError(
                msg,
                cause="tls-timeout",
                hint="is that port the API server's, and does nothing on the way hold it up? "
                "--tls-timeout sets the limit",
            ) from exc
        except ssl.SSLError as exc:
            raise self._explain(exc) from exc
        except OSError as exc:
            msg = f"{self.address} closed the connection during the TLS handshake"
            raise CutOffError(msg, cause="tls-closed") from exc

    def _explain(self, error: ssl.SSLError) -> UpstreamError:
        return self._explain_tls(error, self.address.server_name)

    async def _connect_tcp(
        self, protocol: asyncio.Protocol, host: str, port: int, keepalive: float | None
    ) -> None:
        """Connect *protocol* to the first address of a host that accepts (RFC 8305)."""
        loop, where = asyncio.get_running_loop(), join_host_port(host, port)
        try:
            async with asyncio.timeout(self._connect_timeout):
                if parse_ip(host.partition("%")[0]) is not None:
                    # Without look-up and Happy Eyeballs it takes a fifth of the time.
                    transport, _ = await loop.create_connection(lambda: protocol, host, port)
                    if not transport.is_closing():
                        configure(transport.get_extra_info("socket"), keepalive)
                    return
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                sock = await aiohappyeyeballs.start_connection(
                    [(i[0], i[1], i[2], i[3], i[4]) for i in infos],
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY,
                )
            await _attach(protocol, sock, keepalive)
        except TimeoutError as exc:
            msg = f"cannot connect to {where} within {self._connect_timeout:g} s"
            raise UpstreamTimeoutError(
                msg,
                cause="connect-timeout",
                hint="is the API server reachable from here? --connect-timeout sets the limit",
            ) from exc
        except (socket.gaierror, UnicodeError) as exc:
            if not _descriptors_left():
                raise _no_descriptors(where) from exc
            # A name that is not valid raises UnicodeError.
            why = exc.strerror if isinstance(exc, OSError) else "not a host name"
            msg = f"cannot resolve {host}: {why}"
            raise UpstreamError(
                msg, cause="dns", hint="check the cluster's server in kubeconfig, and DNS"
            ) from exc
        except OSError as exc:
            raise _connect_error(where, exc) from exc


async def _attach(protocol: asyncio.Protocol, sock: socket.socket, keepalive: float | None) -> None:
    """Connect a protocol to a connected socket."""
    try:
        configure(sock, keepalive)
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise


def _no_descriptors(address: str) -> NoDescriptorsError:
    return NoDescriptorsError(
        f"cannot connect to {address}: this process has no file descriptors left",
        hint="raise the limit (ulimit -n) or lower the number of connections",
    )


def _descriptors_left() -> bool:
    """Whether a socket can be opened. A look-up without one reports other errors (glibc: EBUSY)."""
    try:
        socket.socket().close()
    except OSError as exc:
        return exc.errno not in _EXHAUSTED
    return True


def _connect_error(address: str, exc: OSError) -> UpstreamError:
    hint = "is the API server running, and is this the right context?"
    if exc.errno == errno.ECONNREFUSED or isinstance(exc, ConnectionRefusedError):
        return UpstreamError(f"connection to {address} refused", cause="refused", hint=hint)
    if exc.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return UpstreamError(f"no route to {address}", cause="unreachable", hint=hint)
    if exc.errno in _EXHAUSTED or not _descriptors_left():
        return _no_descriptors(address)
    if exc.errno == errno.ETIMEDOUT:
        return UpstreamTimeoutError(
            f"connecting to {address} timed out", cause="connect-timeout", hint=hint
        )
    # Not the error's own text: it has the IP addresses.
    why = os.strerror(exc.errno) if exc.errno else "no address answers"
    return UpstreamError(f"cannot connect to {address}: {why}", cause="connect", hint=hint)
