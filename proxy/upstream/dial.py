"""Opening connections to the API server: names, TCP, TLS, each with its time limit.

One dialler serves plain exchanges and tunnels alike, so that both verify the same certificate
and take the same route (kubectl proxy has two, and the one for upgrades skips verification in
some configurations: kubernetes/kubernetes#138381).
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohappyeyeballs

from ..errors import UpstreamError, UpstreamTimeoutError
from .connection import UpstreamConnection
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
    """

    host: str
    port: int
    context: ssl.SSLContext | None
    server_name: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
        loop = asyncio.get_running_loop()
        sock = await self._connect(loop)
        connection = UpstreamConnection(self._explain)
        try:
            _set_options(sock, keepalive)
            context = self.address.context
            if context is None:
                await loop.create_connection(lambda: connection, sock=sock)
                return connection
            tls = TlsTransport(context, self.address.server_name, connection)
            await loop.create_connection(lambda: tls, sock=sock)
        except BaseException:
            sock.close()
            raise
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
        finally:
            if not connection.transport:
                tls.abort()
        return connection

    def _explain(self, error: ssl.SSLError) -> UpstreamError:
        return self._explain_tls(error, self.address.server_name)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        host, port = self.address.host, self.address.port
        try:
            async with asyncio.timeout(self._connect_timeout):
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                return await aiohappyeyeballs.start_connection(
                    [(i[0], i[1], i[2], i[3], i[4]) for i in infos],
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY,
                )
        except TimeoutError as exc:
            msg = f"cannot connect to {self.address} within {self._connect_timeout:g} s"
            raise UpstreamTimeoutError(
                msg, cause="connect-timeout", hint="is the API server reachable from here?"
            ) from exc
        except socket.gaierror as exc:
            msg = f"cannot resolve {host}: {exc.strerror}"
            raise UpstreamError(
                msg, cause="dns", hint="check the cluster's server in kubeconfig, and DNS"
            ) from exc
        except OSError as exc:
            raise _connect_error(self.address, exc) from exc


def _connect_error(address: Address, exc: OSError) -> UpstreamError:
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
    return UpstreamError(
        f"cannot connect to {address}: {exc.strerror or exc}", cause="connect", hint=hint
    )


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
