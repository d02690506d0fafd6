"""A request on the admin address and its response, whole or as a stream of events."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from ..gate import Refusal
from ..http1 import writer
from ..relay import local
from ..relay.client import ClientProtocol
from ..relay.exchange import Exchange
from ..relay.states import State

TEXT: Final = "text/plain; charset=utf-8"


class Response(NamedTuple):
    """A response of the admin address."""

    body: bytes
    status: int = 200
    content_type: str = TEXT
    fields: tuple[tuple[str, str], ...] = ()


class EventStream(NamedTuple):
    """A response of the admin address that goes on until its client leaves.

    Attributes:
        pieces: what is sent, as it comes.
        content_type: its media type.
        fields: more header fields.
    """

    pieces: AsyncGenerator[bytes, None]
    content_type: str
    fields: tuple[tuple[str, str], ...] = ()


class Pages(Protocol):
    """Serves paths to web pages of this address, by rules of its own."""

    def serves(self, path: str) -> bool:
        """Whether a path is one of its."""
        ...

    async def respond(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> Response | EventStream:
        """The response to a request whose ``Host`` has been accepted."""
        ...


def refuse(refusal: Refusal) -> Response:
    """The response to a request that was refused."""
    text = f"{refusal.message}; {refusal.hint}" if refusal.hint else refusal.message
    return text_response(text, refusal.status, *refusal.headers)


def text_response(text: str, status: int = 200, *fields: tuple[str, str]) -> Response:
    """A response of one line."""
    return Response(f"{text}\n".encode(), status, fields=fields)


class AdminExchange(Exchange):
    """A request on the admin address, and its response."""

    __slots__ = ()

    def begin(self, respond: Callable[[], Awaitable[Response | EventStream]]) -> None:
        """Send what *respond* returns."""
        self._wait(respond, self._send)

    async def _send_events(self, response: EventStream) -> None:
        client, http10 = self.client, self.request.http10
        self.record.status = 200
        self.keep_alive = False
        fields = (("Cache-Control", "no-store"), *response.fields)
        lines = [
            writer.status_line(200, b"OK", minor=0 if http10 else 1),
            b"Content-Type: " + response.content_type.encode(),
            writer.date_field(),
            b"X-Content-Type-Options: nosniff",
            *(f"{name}: {value}".encode() for name, value in fields),
            *(() if http10 else (b"Transfer-Encoding: chunked",)),
            b"Connection: close",
        ]
        head = writer.head(lines)
        async with contextlib.aclosing(response.pieces):
            async for piece in response.pieces:
                if client.transport is not None:
                    client.transport.write(head + (piece if http10 else writer.chunk(piece)))
                head = b""
                await self.drained()

    def _send(self, response: Response | EventStream) -> None:
        client = self.client
        if isinstance(response, EventStream):
            self._wait(partial(self._send_events, response), lambda _: self._finish())
            return
        # No upgrade is accepted here, and what follows its head may not be HTTP.
        upgrade = client.state is State.UPGRADE
        self.keep_alive = local.send(
            client,
            self.request,
            response.status,
            response.body,
            self.record,
            content_type=response.content_type,
            fields=(("Cache-Control", "no-store"), *response.fields),
            last=upgrade or self.registry.draining,
        )
        self._finish()
