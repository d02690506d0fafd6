"""What all client connections share: their number, their limits, and who handles their requests.

It is the lowest level of aiohttp's server, a factory of protocols; what aiohttp's own does with a
request is not used.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, Protocol

from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_server import Server

from ..errors import KubelatchError
from .client import ClientProtocol
from .limits import Limits

if TYPE_CHECKING:
    from ..credentials.tls.serving import ServerContext
    from .client_tls import ClientHandshakes

# Connections that do not count.
_MAX_REFUSED = 64
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


class ClientServer(Server):
    """aiohttp's low-level server, making :class:`ClientProtocol` objects.

    Which connections count is decided when they come. Of those that do not, because there are
    too many or because their user may not connect, a few are kept, to be sent why.

    Args:
        handler: gets each request.
        limits: what one client may take.
        users: the user ids whose processes may connect; None admits all.
        make_room: end a connection for a new one that is over the limit, instead of refusing it:
            the oldest of those without a request, else the oldest. Clients that hold on to many
            then keep nobody else out.
    """

    def __init__(
        self,
        handler: RequestHandler,
        limits: Limits | None = None,
        *,
        users: frozenset[int] | None = None,
        make_room: bool = False,
    ) -> None:
        super().__init__(_never)
        self.limits = limits or Limits()
        self.handle = handler.handle
        self.unreadable = handler.unreadable
        self._users = users
        self._make_room = make_room
        self._clients: set[ClientProtocol] = set()
        # In the order in which they came: those that count, of these those without a request so
        # far, and those that do not count.
        self._admitted: dict[ClientProtocol, None] = {}
        self._silent: dict[ClientProtocol, None] = {}
        self._refused: dict[ClientProtocol, None] = {}
        # Sizes of heads that have come in part, and their sum.
        self._partial_heads: dict[ClientProtocol, int] = {}
        self._partial_size = 0
        # No connection is left.
        self._empty = asyncio.Event()
        self._handshakes: ClientHandshakes | None = None

    def secure(self, context: "ServerContext") -> None:
        """Use TLS with a context from now on; connections that there are keep theirs."""
        if self._handshakes is None:
            from .client_tls import ClientHandshakes  # noqa: PLC0415 -- with TLS only

            self._handshakes = ClientHandshakes(self, context)
        self._handshakes.context = context

    def factory(self, *, plain: bool) -> Callable[[], asyncio.BaseProtocol]:
        """What makes the protocol of a new connection.

        Args:
            plain: without TLS in any case.
        """
        return self if plain or self._handshakes is None else self._handshakes

    def end_handshakes(self) -> None:
        """End TLS handshakes that are not done: no request of theirs has come."""
        if self._handshakes is not None:
            self._handshakes.close()

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
        if self._users is not None and client.peer.uid not in self._users:
            # The handler refuses its request, and ends it.
            self._keep_refused(client)
            return True
        if 0 < self.limits.connections <= len(self._admitted) and not self._end_another():
            self._keep_refused(client)
            return False
        self._admitted[client] = None
        self._silent[client] = None
        return True

    def _keep_refused(self, client: ClientProtocol) -> None:
        if len(self._refused) >= _MAX_REFUSED:
            oldest = next(iter(self._refused))
            del self._refused[oldest]
            oldest.cut(reset=True)
        self._refused[client] = None

    def _end_another(self) -> bool:
        """End a connection for a new one; False: each may be needed."""
        other = next(iter(self._silent), None)
        if other is None and self._make_room:
            other = min(self._admitted, key=lambda client: not client.waits_for_request)
        if other is None:
            return False
        # It counts no longer, though its end comes later.
        self._forget(other)
        other.cut(reset=True)
        return True

    def _forget(self, client: ClientProtocol) -> None:
        self._admitted.pop(client, None)
        self._silent.pop(client, None)
        self._refused.pop(client, None)
        self._partial_size -= self._partial_heads.pop(client, 0)

    def on_partial_head(self, client: ClientProtocol, size: int) -> None:
        """Note that so many bytes of a head have come, and not all."""
        self._partial_size += size - self._partial_heads.get(client, 0)
        self._partial_heads[client] = size
        while self._partial_size > self.limits.partial_header_bytes:
            largest = max(self._partial_heads, key=self._partial_heads.__getitem__)
            self._partial_size -= self._partial_heads.pop(largest)
            largest.refuse_head()

    def on_head(self, client: ClientProtocol) -> None:
        """Note that a connection's first head has come, or one that had come in part."""
        self._silent.pop(client, None)
        self._partial_size -= self._partial_heads.pop(client, 0)

    def connection_lost(  # type: ignore[override]
        self, client: ClientProtocol, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        self._clients.discard(client)
        self._forget(client)
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
            payload_exception=RequestPayloadError,
            auto_decompress=False,
        )

    def pre_shutdown(self) -> None:
        """Nothing: ``drain`` ends connections."""

    async def shutdown(self, timeout: float | None = None) -> None:
        """Abort every connection."""
        self.end_handshakes()
        for client in self.connections:
            if client.transport is not None:
                client.transport.abort()
        if self._clients:
            await self._empty.wait()


def _never(_: object) -> NoReturn:
    raise AssertionError
