"""What all client connections share: their number, their limits, and who handles their requests.

It is the lowest level of aiohttp's server, a factory of protocols; what aiohttp's own does with a
request is not used.
"""

import asyncio
from typing import Protocol

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser, RawRequestMessage

from ..errors import KubelatchError
from .client import ClientProtocol
from .limits import Limits

# Of a request's body, what may wait for a slow upstream.
_READ_BUFFER = 256 * 1024


class RequestHandler(Protocol):
    """Decides what becomes of each request. No method may raise or block."""

    def handle(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> None:
        """Begin the exchange of a request whose head has come."""

    def unreadable(self, client: ClientProtocol, error: KubelatchError, sent: int) -> None:
        """A request could not be read or was beyond a limit, and *error* has been sent, with a
        body of *sent* bytes."""


class ClientServer(web.Server):
    """aiohttp's low-level server, making :class:`ClientProtocol` objects.

    Args:
        handler: gets each request.
        limits: what one client may take.
        make_room: end a connection for a new one that is over the limit, instead of refusing it:
            the oldest of those without a request, else the oldest. Clients that hold on to many
            then keep nobody else out.
    """

    def __init__(
        self, handler: RequestHandler, limits: Limits | None = None, *, make_room: bool = False
    ) -> None:
        super().__init__(_never)
        self.limits = limits or Limits()
        self.handle = handler.handle
        self.unreadable = handler.unreadable
        self._make_room = make_room
        self._clients: set[ClientProtocol] = set()
        # Those that count, in the order in which they came.
        self._admitted: dict[ClientProtocol, None] = {}
        # No connection is left.
        self._empty = asyncio.Event()

    def __call__(self) -> ClientProtocol:  # type: ignore[override]
        return ClientProtocol(self)

    @property
    def connections(self) -> list[ClientProtocol]:  # type: ignore[override]
        """Those that are not lost."""
        return list(self._clients)

    def admit(self, client: ClientProtocol) -> bool:
        """Take up a connection; False: it is one too many, and does not count."""
        self._clients.add(client)
        self._empty.clear()
        if 0 < self.limits.connections <= len(self._admitted):
            if not self._make_room:
                return False
            oldest = min(self._admitted, key=lambda other: not other.waits_for_request)
            # It counts no longer, though its end comes later.
            del self._admitted[oldest]
            oldest.cut(reset=True)
        self._admitted[client] = None
        return True

    def connection_lost(  # type: ignore[override]
        self, client: ClientProtocol, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        self._clients.discard(client)
        self._admitted.pop(client, None)
        if not self._clients:
            self._empty.set()

    def parser(self, client: ClientProtocol) -> HttpRequestParser:
        """A parser for what *client* sends."""
        limits = self.limits
        return HttpRequestParser(
            # Of aiohttp's protocol, parser and reader use three methods, which ours has.
            client,  # type: ignore[arg-type]
            asyncio.get_running_loop(),
            _READ_BUFFER,
            # One field may take all that a head may.
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
        )

    def pre_shutdown(self) -> None:
        """Nothing: ``drain`` ends connections."""

    async def shutdown(self, timeout: float | None = None) -> None:
        """Abort every connection."""
        for client in self.connections:
            if client.transport is not None:
                client.transport.abort()
        if self._clients:
            await self._empty.wait()


def _never(_: web.BaseRequest) -> "asyncio.Future[web.StreamResponse]":
    raise AssertionError
