"""Exec and attach over a WebSocket: ``v5.channel.k8s.io`` and ``v4.channel.k8s.io``.

Each binary message begins with a channel number. In v5 a message on channel 255 closes the channel
that it names (KEP-4006), which is how stdin ends.
"""

import contextlib
import json

from aiohttp import web

from .pipe import CHUNK, StreamPipe
from .sessions import Session, Streams, race
from .wire import LEFT

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of one message from a client; kubectl's are of 32 KiB."""


class HandshakeError(Exception):
    """A WebSocket without a protocol in common: it is refused with 403 and no word."""


class Channel:
    """A sink that writes to one channel."""

    def __init__(self, socket: web.WebSocketResponse, number: int) -> None:
        self._socket = socket
        self._prefix = bytes([number])

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            await self._socket.send_bytes(self._prefix + data[start : start + CHUNK])


async def open_socket(
    request: web.BaseRequest, protocols: tuple[str, ...]
) -> web.WebSocketResponse:
    """Accept the handshake.

    Raises:
        HandshakeError: the client speaks none of ``protocols``.
    """
    offered = [
        word.strip()
        for value in request.headers.getall("Sec-WebSocket-Protocol", [])
        for word in value.split(",")
    ]
    if not set(offered) & set(protocols):
        raise HandshakeError
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=_MESSAGE_LIMIT, compress=False)
    await socket.prepare(request)
    return socket


async def serve(request: web.BaseRequest, session: Session, *, stdin: bool) -> web.StreamResponse:
    """Run a session on a WebSocket."""
    socket = await open_socket(request, (V5, V4))
    typed = StreamPipe()
    if not stdin:
        typed.end()
    # The API server's sign that the connection is up (kubelet ``remotecommand/websocket.go``).
    await socket.send_bytes(bytes([_STDOUT]))
    streams = Streams(stdin=typed, stdout=Channel(socket, _STDOUT), stderr=Channel(socket, _STDERR))
    result = await race(session(streams), _read(socket, typed))
    if result is not None and not socket.closed:
        await socket.send_bytes(bytes([_ERROR]) + json.dumps(result).encode())
        await socket.close()
    return socket


async def read_channel(socket: web.WebSocketResponse, number: int, pipe: StreamPipe) -> None:
    """Feed *pipe* with what comes on one channel, until the client leaves."""
    with contextlib.suppress(BrokenPipeError):
        while (message := await socket.receive()).type not in LEFT:
            if message.type is web.WSMsgType.BINARY and message.data[:1] == bytes([number]):
                await pipe.write(message.data[1:])
    pipe.end()


async def _read(socket: web.WebSocketResponse, typed: StreamPipe) -> None:
    """Feed stdin until the client leaves; terminal sizes are taken and not used."""
    while True:
        message = await socket.receive()
        if message.type in LEFT:
            return
        data: bytes = message.data.encode() if isinstance(message.data, str) else message.data
        if not data:
            continue
        if data[0] == _STDIN:
            await typed.write(data[1:])
        elif data[0] == _CLOSE and socket.ws_protocol == V5 and data[1:] == bytes([_STDIN]):
            typed.end()
