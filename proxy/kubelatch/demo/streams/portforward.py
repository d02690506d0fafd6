"""Port-forward, over three wires, and the applications on the ports.

A container's port 80 or 8080 serves one page over HTTP; any other declared port sends back what it
gets. A port that no container declares refuses, as it would.
"""

import asyncio
import contextlib
import struct

from aiohttp import web

from ..pages import http_answer
from ..status import Object
from .channels import Channel, open_socket, read_channel
from .pipe import Sink, StreamPipe, copy
from .sessions import cancel
from .spdy import SpdyConnection, SpdyStream
from .spdy_sessions import switch
from .wire import WebSocketWire

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{SPDY_PROTOCOL}"
CHANNEL_PROTOCOL = "v4.channel.k8s.io"
_HTTP_PORTS = frozenset({80, 8080})
_HEAD_LIMIT = 64 * 1024


async def serve_spdy(
    request: web.BaseRequest, headers: dict[str, str], pod: Object
) -> web.StreamResponse:
    """Over plain SPDY/3.1."""
    wire = switch(request, headers, (SPDY_PROTOCOL,))
    try:
        await _serve(SpdyConnection(wire), pod)
    finally:
        wire.close()
    return web.Response()


async def serve_websocket(
    request: web.BaseRequest, pod: Object, ports: list[str]
) -> web.StreamResponse:
    """Over a WebSocket: SPDY in it (KEP-4006), or two channels for the port that is asked for."""
    socket = await open_socket(request, (TUNNEL_PROTOCOL, CHANNEL_PROTOCOL))
    if socket.ws_protocol == CHANNEL_PROTOCOL:
        if len(ports) == 1 and ports[0].isdigit() and 0 < int(ports[0]) < 2**16:
            await _serve_channels(socket, pod, ports[0])
        await socket.close()
        return socket
    await _serve(SpdyConnection(WebSocketWire(socket)), pod)
    await socket.close()
    return socket


async def _serve_channels(socket: web.WebSocketResponse, pod: Object, port: str) -> None:
    """Serve one port: channel 0 is its data, 1 its error; each begins with the port's number
    (kubelet ``cri/streaming/portforward/websocket.go``)."""
    data, error = Channel(socket, 0), Channel(socket, 1)
    number = struct.pack("<H", int(port))
    await data.write(number)
    await error.write(number)
    source = StreamPipe()
    reading = asyncio.create_task(read_channel(socket, 0, source))
    try:
        with contextlib.suppress(ConnectionError):
            if (refusal := refused(pod, port)) is not None:
                await error.write(refusal.encode())
            else:
                await serve_port(pod, int(port), source, data)
        source.abandon()
    finally:
        await cancel(reading)


async def _serve(connection: SpdyConnection, pod: Object) -> None:
    """Pair the streams that belong together, and serve each pair."""
    reading = asyncio.create_task(connection.run())
    waiting: dict[str, SpdyStream] = {}
    tasks: set[asyncio.Task[None]] = set()
    try:
        while (stream := await connection.accept()) is not None:
            request_id = stream.headers.get("requestid", "")
            other = waiting.pop(request_id, None)
            if other is None:
                waiting[request_id] = stream
                continue
            error, data = sorted((stream, other), key=lambda s: s.headers["streamtype"] != "error")
            task = asyncio.create_task(_pair(connection, pod, error, data))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in list(tasks):
            await cancel(task)
        await cancel(reading)


async def _pair(
    connection: SpdyConnection, pod: Object, error: SpdyStream, data: SpdyStream
) -> None:
    port = data.headers.get("port", "")
    with contextlib.suppress(ConnectionError):
        if (refusal := refused(pod, port)) is not None:
            await error.write(refusal.encode())
        else:
            await serve_port(pod, int(port), data.inbound, data)
        await data.finish()
        await error.finish()
    connection.forget(data)
    connection.forget(error)


def refused(pod: Object, port: str) -> str | None:
    """Why a port cannot be connected to, or None."""
    declared = {
        str(row["containerPort"])
        for container in pod["spec"]["containers"]
        for row in container.get("ports") or []
    }
    if port in declared:
        return None
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    return (
        f"error forwarding port {port} to pod {name}, uid {uid}: "
        f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
    )


async def serve_port(pod: Object, port: int, source: StreamPipe, sink: Sink) -> None:
    """Be the application on one port, for one connection."""
    if port not in _HTTP_PORTS:
        await copy(source, sink)
        return
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_LIMIT:
        if not (data := await source.read()):
            return
        head += data
    method, _, rest = head.partition(b" ")
    target = rest.split(b" ", 1)[0].decode("latin-1")
    await sink.write(http_answer(pod, method.decode("latin-1"), target))
    source.abandon()
