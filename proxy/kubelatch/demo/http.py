"""aiohttp's low-level server, and the record of its connections.

One place that knows aiohttp's connection class: which connection is the how-manyth, and how all of
them end.
"""

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict

from .api import Api
from .arrivals import BODY_LIMIT, Arrival, HookResponse, OnRequest, abort
from .calls import SERVER, error_response
from .status import StatusError, internal

_FIELD_LIMIT = 64 * 1024
"""Bytes of the request line and of one header; long tokens and impersonation extras fit."""
_GRACE = 0.2
"""Seconds in which responses that are nearly done may end by themselves."""
_CLIENT_GONE = 499
"""The status of a response that can no longer be sent."""

_PANIC = "the demo has a fault here; its log says which"
_log = logging.getLogger(__name__)


_ESCAPES = {byte: f"%{byte:02X}" for byte in range(128, 256)}


class _Connection(RequestHandler):
    """Takes UTF-8 in a URL as it is, as Go's server does and aiohttp's parser does not."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        line, end, rest = data.partition(b"\r\n")
        if not line.isascii() and line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
            line = line.decode("latin-1").translate(_ESCAPES).encode()
        super().data_received(line + end + rest)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What Go's server says of a request that is none; any word may be a method there."""
        if request.writer.output_size:
            raise ConnectionError("a response has begun")
        code = 405 if isinstance(exc, BadHttpMethod) else status
        text, headers = f"{code} {HTTPStatus(code).phrase}", {"Server": SERVER}
        response = web.Response(status=code, text=text, headers=headers)
        response.force_close()
        return response


class HttpServer(web.Server):
    """Hands each request to the hook, then to the API.

    Args:
        api: handles requests.
        on_request: sees them first.
    """

    def __init__(self, api: Api, on_request: OnRequest | None) -> None:
        super().__init__(
            self._handle,
            request_factory=self._request,
            handler_cancellation=True,
        )
        self._api = api
        self._on_request = on_request
        self._accepted = 0
        self._transports: dict[RequestHandler, tuple[int, asyncio.Transport]] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._running: set[asyncio.Task[Any]] = set()

    def protocol(self) -> RequestHandler:
        """A protocol for a new connection."""
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            logger=_log,
            auto_decompress=False,
            max_line_size=_FIELD_LIMIT,
            max_field_size=_FIELD_LIMIT,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection."""
        self._accepted += 1
        self._empty.clear()
        self._transports[handler] = (self._accepted, transport)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        self._transports.pop(handler, None)
        if not self._transports:
            self._empty.set()
        super().connection_lost(handler, exc)

    async def close(self) -> None:
        """End everything: watches and logs cleanly, then all that is left by force."""
        self._api.close()
        if self._running:
            await asyncio.wait(self._running, timeout=_GRACE)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self.shutdown(_GRACE)
        for _, transport in list(self._transports.values()):
            abort(transport)
        await self._empty.wait()

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        number, _ = self._transports.get(request.protocol, (0, None))
        arrival = Arrival(request, number)
        with contextlib.suppress(ConnectionError):
            try:
                response = await self._on_request(arrival) if self._on_request else None
                if response is not None:
                    return await _canned(request, response)
                if request.transport is not None and not request.transport.is_closing():
                    return await self._api.handle(request, arrival)
            except StatusError as error:
                return error_response(request, error)
            except Exception as error:
                if isinstance(error, ConnectionError) or request.writer.output_size:
                    raise
                _log.exception("the demo failed at a request")
                return error_response(request, internal(_PANIC))
        return web.Response(status=_CLIENT_GONE)


async def _canned(request: web.BaseRequest, given: HookResponse) -> web.StreamResponse:
    """Send a hook's response."""
    headers = CIMultiDict(given.headers)
    if isinstance(given.body, bytes):
        return web.Response(status=given.status, headers=headers, body=given.body)
    response = web.StreamResponse(status=given.status, headers=headers)
    await response.prepare(request)
    async for chunk in given.body:
        await response.write(chunk)
    return response
