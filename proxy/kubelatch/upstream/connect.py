"""Connects to the API server through an HTTP or SOCKS5 proxy (``proxy-url``, ``HTTPS_PROXY``).

The result is a transport to the API server, on which TLS with it begins: the proxy sees a host name
and ciphertext. Plain requests and tunnels use the same proxy; kubectl proxy ignores it for upgrades
(kubernetes/kubernetes#120318).
"""

import asyncio
import base64
import socket
from typing import Final, cast

import httptools

from ..config.addresses import join_host_port
from ..errors import UpstreamError
from ..kubeconfig import ProxyAddress

# Bytes of a response to CONNECT; a refusal may have a page as its body.
_MAX_RESPONSE: Final = 64 * 1024


class CutOffError(UpstreamError):
    """The connection was closed while it was being opened, in the TLS handshake or by a proxy. No
    byte of a request has been sent, so the caller may try another connection."""

    @classmethod
    def by_proxy(cls, proxy: ProxyAddress) -> "CutOffError":
        """The error for a proxy that closed the connection."""
        error = proxy_error(proxy, "closed the connection")
        return cls(error.message, hint=error.hint, cause=error.cause)


class ConnectRequest(asyncio.Protocol):
    """Sends CONNECT to an HTTP proxy (RFC 9110 section 9.3.6).

    :attr:`established` resolves to the transport, or raises UpstreamError.

    Args:
        proxy: its credentials are sent, if any.
        host: the API server's name or IP address.
        port: the API server's port.
    """

    def __init__(self, proxy: ProxyAddress, host: str, port: int) -> None:
        self._proxy = proxy
        self._authority = join_host_port(host, port)
        self._parser = httptools.HttpResponseParser(self)
        # RFC 9112 section 2.2. Small proxies end lines so, and Go takes it.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
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
            self._fail("does not respond to CONNECT with valid HTTP")
        if self._received > _MAX_RESPONSE:
            self._fail("does not end its response to CONNECT")

    def on_headers_complete(self) -> None:
        """Called by llhttp. No bytes can follow a 2xx: the client of TLS sends first."""
        status = self._parser.get_status_code()
        if status < 200 or self._transport is None:
            return
        if status < 300:
            if not self.established.done():
                self.established.set_result(self._transport)
        elif status == 407:
            self._fail("refuses its credentials (407)", "put user:password into the proxy's URL")
        else:
            self._fail(f"will not connect to {self._authority} (status {status})")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.established.done():
            self.established.set_exception(CutOffError.by_proxy(self._proxy))

    def abort(self) -> None:
        """Cancel :attr:`established`, and close the connection."""
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
    """An error with the message ``the proxy HOST:PORT`` *what*."""
    return UpstreamError(
        f"the proxy {proxy.host}:{proxy.port} {what}",
        cause="proxy",
        hint=hint or "look at proxy-url in kubeconfig, and at $HTTPS_PROXY",
    )


async def connect_socks(proxy: ProxyAddress, host: str, port: int) -> socket.socket:
    """Connect a socket through a SOCKS5 proxy, which resolves the name (RFC 1928).

    Raises:
        UpstreamError: the proxy cannot be reached, or refuses.
    """
    from python_socks import ProxyError  # noqa: PLC0415 -- rarely needed
    from python_socks.async_.asyncio import Proxy  # noqa: PLC0415

    try:
        connected = await Proxy.from_url(proxy.url(), rdns=True).connect(host, port)
    except ProxyError as exc:
        raise proxy_error(proxy, f"will not connect to {host}:{port} ({exc})") from exc
    except OSError as exc:
        raise proxy_error(proxy, f"cannot be reached: {exc.strerror or exc}") from exc
    return connected
