"""Exec and attach over plain SPDY/3.1: one SPDY stream for each of stdin, stdout, stderr, error."""

import asyncio
import json

from aiohttp import web

from ..status import Object, forbidden
from .pipe import Sink, StreamPipe
from .sessions import Session, Streams, race
from .spdy import SpdyConnection, SpdyStream
from .wire import TransportWire, take_over

V4 = "v4.channel.k8s.io"
_STREAMS_DEADLINE = 30.0
"""Seconds for the client to open all its streams (kubelet ``DefaultStreamCreationTimeout``)."""


class _Nowhere:
    async def write(self, data: bytes) -> None:
        """Take bytes that nobody asked for."""


def switch(
    request: web.BaseRequest, headers: dict[str, str], accepted: tuple[str, ...]
) -> TransportWire:
    """Agree on a stream protocol and take the connection over.

    Raises:
        StatusError: 403 when the client speaks none of ``accepted``.
    """
    offered = [
        word.strip()
        for value in request.headers.getall("X-Stream-Protocol-Version", [])
        for word in value.split(",")
    ]
    chosen = next((name for name in offered if name in accepted), None)
    if chosen is None:
        raise forbidden(
            f"unable to upgrade: unable to negotiate protocol: client supports {offered}, "
            f"server accepts {list(accepted)}"
        )
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        f"Audit-Id: {headers['Audit-Id']}",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        f"X-Stream-Protocol-Version: {chosen}",
    ]
    return take_over(request, "".join(f"{line}\r\n" for line in [*lines, ""]).encode())


async def serve(
    request: web.BaseRequest, headers: dict[str, str], session: Session, wanted: set[str]
) -> web.StreamResponse:
    """Run a session; ``wanted`` names the streams that the client will open."""
    wire = switch(request, headers, (V4,))
    connection = SpdyConnection(wire)
    try:
        await race(_session(connection, session, wanted | {"error"}), connection.run())
    finally:
        wire.close()
    return web.Response()


async def _session(connection: SpdyConnection, session: Session, wanted: set[str]) -> Object:
    streams = await _streams(connection, wanted)
    if streams is None:
        return {}
    stdin = streams["stdin"].inbound if "stdin" in streams else StreamPipe()
    if "stdin" not in streams:
        stdin.end()
    result = await session(
        Streams(stdin=stdin, stdout=_sink(streams, "stdout"), stderr=_sink(streams, "stderr"))
    )
    for name in ("stdout", "stderr"):
        if name in streams:
            await streams[name].finish()
    await streams["error"].write(json.dumps(result).encode())
    await streams["error"].finish()
    await connection.go_away()
    return result


async def _streams(connection: SpdyConnection, wanted: set[str]) -> dict[str, SpdyStream] | None:
    """The client's streams by their type, or None when it does not open them all."""
    streams: dict[str, SpdyStream] = {}
    try:
        async with asyncio.timeout(_STREAMS_DEADLINE):
            while wanted - set(streams):
                stream = await connection.accept()
                if stream is None:
                    return None
                streams[stream.headers.get("streamtype", "")] = stream
    except TimeoutError:
        return None
    return streams


def _sink(streams: dict[str, SpdyStream], name: str) -> Sink:
    return streams.get(name) or _Nowhere()
