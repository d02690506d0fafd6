"""A small HTTP/2 server on the library h2, whose exchanges a test drives by hand."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from hyperframe.frame import GoAwayFrame


class Http2Exchange:
    """One request, as the server sees it."""

    def __init__(
        self, connection: "Http2Server", number: int, fields: list[tuple[bytes, bytes]]
    ) -> None:
        self.fields = fields
        self.body = bytearray()
        self.whole = asyncio.Event()
        self.reset_by_client = asyncio.Event()
        self.reading = True
        self._connection = connection
        self._number = number
        self._owed = 0

    async def head(self, *fields: tuple[bytes, bytes], status: bytes = b"200") -> None:
        self._connection.h2.send_headers(self._number, [(b":status", status), *fields])
        self._connection.flush()

    async def send(self, data: bytes) -> None:
        """Send as the windows allow."""
        wire = self._connection.h2
        while data:
            size = min(wire.local_flow_control_window(self._number), wire.max_outbound_frame_size)
            if not size:
                self._connection.window.clear()
                await self._connection.window.wait()
                continue
            wire.send_data(self._number, data[:size])
            data = data[size:]
            self._connection.flush()

    async def end(self, *trailers: tuple[bytes, bytes]) -> None:
        self._connection.end(self._number, list(trailers))

    def reset(self) -> None:
        self._connection.reset(self._number, h2.errors.ErrorCodes.INTERNAL_ERROR)

    def refuse(self) -> None:
        self._connection.reset(self._number, h2.errors.ErrorCodes.REFUSED_STREAM)

    def read(self) -> None:
        """Read the request's body again."""
        self.reading = True
        if self._owed and not self.whole.is_set():
            self._connection.h2.increment_flow_control_window(self._owed, self._number)
        self._owed = 0
        self._connection.flush()

    def on_data(self, event: h2.events.DataReceived) -> None:
        self.body += event.data or b""
        size = event.flow_controlled_length or 0
        self._owed += size
        if size:
            self._connection.h2.increment_flow_control_window(size)
        if self.reading and event.stream_ended is None:
            self.read()


class Http2Server(asyncio.Protocol):
    """The server's side of one connection.

    Args:
        exchanges: gets the requests, when their heads have come.
        connections: gets the connection.
        most: how many streams it allows. More are refused before the client has acknowledged
            that, and end the connection after it.
    """

    def __init__(
        self,
        exchanges: asyncio.Queue[Http2Exchange],
        connections: list["Http2Server"],
        most: int = 100,
    ) -> None:
        self._most = most
        self._exchanges = exchanges
        self._connections = connections
        self.transport: asyncio.Transport | None = None
        self.client_name = ""
        self.window = asyncio.Event()
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=False)
        )
        self._streams: dict[int, Http2Exchange] = {}
        self._open: set[int] = set()
        self._last: int | None = None

    def go_away(self) -> None:
        """Leave as Go's server does for ``Connection: close`` in a response, which an API server
        adds at random with ``--goaway-chance``: streams run on, and later ones are ignored.

        h2's own way takes the connection for closed.
        """
        self._last = max(self._streams, default=0)
        if self.transport is not None:
            self.transport.write(GoAwayFrame(0, last_stream_id=self._last).serialize())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.append(self)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._most})
        self.flush()

    def reset(self, number: int, code: h2.errors.ErrorCodes) -> None:
        self._open.discard(number)
        self.h2.reset_stream(number, code)
        self.flush()

    def end(self, number: int, trailers: list[tuple[bytes, bytes]]) -> None:
        self._open.discard(number)
        if trailers:
            self.h2.send_headers(number, trailers, end_stream=True)
        else:
            self.h2.end_stream(number)
        self.flush()

    def flush(self) -> None:
        if self.transport is not None and (data := self.h2.data_to_send()):
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                number = event.stream_id or 0
                if self._last is not None and number > self._last:
                    continue
                if len(self._open) >= self._most:
                    self.h2.reset_stream(number, h2.errors.ErrorCodes.REFUSED_STREAM)
                    continue
                self._open.add(number)
                fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
                self._streams[number] = exchange = Http2Exchange(self, number, fields)
                self._exchanges.put_nowait(exchange)
            elif isinstance(event, h2.events.DataReceived):
                self._streams[event.stream_id or 0].on_data(event)
            elif isinstance(event, h2.events.StreamEnded):
                if taken := self._streams.get(event.stream_id or 0):
                    taken.whole.set()
            elif isinstance(event, h2.events.StreamReset):
                self._open.discard(event.stream_id or 0)
                self._streams[event.stream_id or 0].reset_by_client.set()
            elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
                self.window.set()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None


class AlpnServer(asyncio.Protocol):
    """A TLS server of HTTP/2, or of HTTP/1.1 where ALPN says so; there it gives the same response
    to every request. Both as an API server does it.

    Args:
        server: gets the exchanges of HTTP/2, and the connections.
    """

    def __init__(self, server: "Alpn") -> None:
        self._server = server
        self._http2: Http2Server | None = None
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = transport.get_extra_info("peercert") or {}
        names = [
            value
            for rdn in certificate.get("subject", ())
            for key, value in rdn
            if key == "commonName"
        ]
        if tls.selected_alpn_protocol() == "h2":
            server = self._server
            self._http2 = Http2Server(server.exchanges, server.connections, server.most)
            self._http2.connection_made(transport)
            self._http2.client_name = names[0] if names else ""
        else:
            self._server.plain += 1

    def data_received(self, data: bytes) -> None:
        if self._http2 is not None:
            self._http2.data_received(data)
            return
        self._received += data
        while b"\r\n\r\n" in self._received and self._transport is not None:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._server.heads.append(head)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._http2 is not None:
            self._http2.connection_lost(exc)


class Alpn:
    """Serves by ALPN; see :class:`AlpnServer`.

    Args:
        most: how many streams a connection of HTTP/2 may have.

    Attributes:
        exchanges: of HTTP/2, as they come.
        connections: of HTTP/2; *plain* is the number of those of HTTP/1.1.
        heads: of requests over HTTP/1.1.
    """

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.exchanges: asyncio.Queue[Http2Exchange] = asyncio.Queue()
        self.connections: list[Http2Server] = []
        self.plain = 0
        self.heads: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext) -> AsyncIterator["Alpn"]:
        """Serve with these certificates; the context's ALPN decides what is offered."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: AlpnServer(self), "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
