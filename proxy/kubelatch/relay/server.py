"""The server side of listening: makes a :class:`ClientConnection` for each client, and counts them.

It holds what all connections share. What becomes of a request is the handler's business.
"""

import asyncio
import math
from collections.abc import Callable
from typing import cast

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from ..errors import KubelatchError
from .client import ClientConnection
from .limits import Limits

Begin = Callable[[ClientConnection, RawRequestMessage, StreamReader], bool]


def _never(*_: object) -> bool:
    return False


class ClientServer(web.Server):
    """aiohttp's low-level server, making :class:`ClientConnection` objects.

    Args:
        handler: answers one request.
        begin: begins to answer a request without a body, if that takes no task; else returns
            False, and the handler is asked.
        on_unreadable: is told of each request that could not be read or was beyond a limit: by
            whom, what the client was told, and the size of that body.
        limits: what one client may take.
        make_room: end a connection for a new one that is over the limit, instead of refusing it:
            the oldest of those without a request, else the oldest. Clients that hold on to many
            then keep nobody else out.
        options: aiohttp's request handler options.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], object],
        *,
        begin: Begin = _never,
        on_unreadable: Callable[[ClientConnection, KubelatchError, int], None] | None = None,
        limits: Limits | None = None,
        make_room: bool = False,
        **options: object,
    ) -> None:
        # A client that leaves must not leave its watch behind.
        super().__init__(handler, handler_cancellation=True)  # type: ignore[arg-type]
        self.limits = limits = limits or Limits()
        self.begin = begin
        self.on_unreadable = on_unreadable
        self._make_room = make_room
        self._options: dict[str, object] = {
            # One field may take all that a head may.
            "max_line_size": limits.header_bytes,
            "max_field_size": limits.header_bytes,
            "max_headers": limits.headers,
            # aiohttp keeps one timer per connection, and looks at the clock once per request.
            "keepalive_timeout": limits.idle_seconds if limits.idle_seconds > 0 else math.inf,
            **options,
        }
        # In the order in which they came.
        self._admitted: dict[ClientConnection, None] = {}

    def admit(self, connection: ClientConnection) -> bool:
        """Whether there is room for one more connection; it then counts until it is lost."""
        if 0 < self.limits.connections <= len(self._admitted):
            if not self._make_room:
                return False
            oldest = min(self._admitted, key=lambda client: not client.idle)
            # It counts no longer, though its end comes later.
            del self._admitted[oldest]
            oldest.cut(reset=True)
        self._admitted[connection] = None
        return True

    def parser(self, connection: ClientConnection) -> HttpRequestParser:
        """A parser in place of the one that aiohttp has made for *connection*."""
        return HttpRequestParser(
            connection,
            asyncio.get_running_loop(),
            connection._read_bufsize,
            max_line_size=connection.max_line_size,
            max_field_size=connection.max_field_size,
            max_headers=connection.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=connection._max_msg_queue_size,
        )

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """aiohttp's bookkeeping, and ours."""
        self._admitted.pop(cast("ClientConnection", handler), None)
        super().connection_lost(handler, exc)

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, **self._options)
