"""A small HTTP/2 server on the library h2, whose exchanges a test drives by hand."""

import asyncio
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings


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
        if trailers:
            self._connection.h2.send_headers(self._number, list(trailers), end_stream=True)
        else:
            self._connection.h2.end_stream(self._number)
        self._connection.flush()

    def reset(self) -> None:
        self._connection.h2.reset_stream(self._number, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self._connection.flush()

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
    """

    def __init__(
        self, exchanges: asyncio.Queue[Http2Exchange], connections: list["Http2Server"]
    ) -> None:
        self._exchanges = exchanges
        self._connections = connections
        self.transport: asyncio.Transport | None = None
        self.window = asyncio.Event()
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=False)
        )
        self._streams: dict[int, Http2Exchange] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.append(self)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        if self.transport is not None and (data := self.h2.data_to_send()):
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                number = event.stream_id or 0
                fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
                self._streams[number] = exchange = Http2Exchange(self, number, fields)
                self._exchanges.put_nowait(exchange)
            elif isinstance(event, h2.events.DataReceived):
                self._streams[event.stream_id or 0].on_data(event)
            elif isinstance(event, h2.events.StreamEnded):
                self._streams[event.stream_id or 0].whole.set()
            elif isinstance(event, h2.events.StreamReset):
                self._streams[event.stream_id or 0].reset_by_client.set()
            elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
                self.window.set()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
