"""The way to the API server through an HTTP or SOCKS5 proxy (``proxy-url``, ``HTTPS_PROXY``).

What comes out is a transport on which the API server's first byte is the next one; TLS with it
begins there, and the proxy sees a host name and ciphertext. Plain requests and tunnels take the
same way, which kubectl proxy does not do for upgrades (kubernetes/kubernetes#120318).
"""

import asyncio
import base64
import socket
from typing import Final, cast

import httptools

from ..config.addresses import join_host_port
from ..errors import UpstreamError
from ..kubeconfig import ProxyAddress

# Of an answer to CONNECT; proxies add a page to a refusal, which nobody reads.
_MAX_ANSWER: Final = 64 * 1024


class CutOffError(UpstreamError):
    """A connection ended while it was being opened: in the TLS handshake, or in the one with a
    proxy on the way. No byte of a request has been sent: another connection may fare better."""

    @classmethod
    def by_proxy(cls, proxy: ProxyAddress) -> "CutOffError":
        """The proxy has ended it."""
        error = proxy_error(proxy, "closed the connection")
        return cls(error.message, hint=error.hint, cause=error.cause)


class ConnectRequest(asyncio.Protocol):
    """Asks an HTTP proxy for a connection (RFC 9110 section 9.3.6).

    :attr:`established` resolves to the transport, or raises UpstreamError.

    Args:
        proxy: who is asked.
        host: the API server.
        port: its port.
    """

    def __init__(self, proxy: ProxyAddress, host: str, port: int) -> None:
        self._proxy = proxy
        self._authority = join_host_port(host, port)
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._transport: asyncio.Transport | None = None
        self.established: asyncio.Future[asyncio.Transport] = (
            asyncio.get_running_loop().create_future()
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        lines = [f"CONNECT {self._authority} HTTP/1.1", f"Host: {self._authority}"]
        if self._proxy.username or self._proxy.password:
            password = self._proxy.password.reveal() if self._proxy.password else ""
            pair = base64.b64encode(f"{self._proxy.username}:{password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {pair}")
        self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("does not answer CONNECT as HTTP demands")
        if self._received > _MAX_ANSWER:
            self._fail("does not end its answer to CONNECT")

    def on_headers_complete(self) -> None:
        """llhttp has read the head; nothing can follow a 2xx, as we speak first."""
        status = self._parser.get_status_code()
        if status < 200 or self._transport is None:
            return
        if status < 300:
            if not self.established.done():
                self.established.set_result(self._transport)
        elif status == 407:
            self._fail("refuses our credentials (407)", "put user:password into the proxy's URL")
        else:
            self._fail(f"will not connect to {self._authority} (status {status})")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.established.done():
            self.established.set_exception(CutOffError.by_proxy(self._proxy))

    def abort(self) -> None:
        """Nobody waits any more."""
        self.established.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, what: str, hint: str = "") -> None:
        if self.established.done():
            return
        self.established.set_exception(proxy_error(self._proxy, what, hint))
        if self._transport is not None:
            self._transport.abort()


def proxy_error(proxy: ProxyAddress, what: str, hint: str = "") -> UpstreamError:
    """An error that says which proxy did what."""
    return UpstreamError(
        f"the proxy {proxy.host}:{proxy.port} {what}",
        cause="proxy",
        hint=hint or "look at proxy-url in kubeconfig, and at $HTTPS_PROXY",
    )


async def connect_socks(proxy: ProxyAddress, host: str, port: int) -> socket.socket:
    """A socket through a SOCKS5 proxy, which resolves the name (RFC 1928).

    Raises:
        UpstreamError: the proxy cannot be reached, or will not.
    """
    from python_socks import ProxyError  # noqa: PLC0415 -- seldom needed
    from python_socks.async_.asyncio import Proxy  # noqa: PLC0415

    try:
        connected = await Proxy.from_url(proxy.url(), rdns=True).connect(host, port)
    except ProxyError as exc:
        raise proxy_error(proxy, f"will not connect to {host}:{port}") from exc
    except OSError as exc:
        raise proxy_error(proxy, f"cannot be reached: {exc.strerror or exc}") from exc
    return connected
