"""A hook for tests: what arrived, byte for byte, and a way to respond to it wrongly.

A hook sees each request before anything else does. It may wait, look, cut the connection, put raw
bytes on it, or give a response of its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from .authentication import common_name
from .status import too_large

BODY_LIMIT = 3 * 1024 * 1024
"""Bytes of a request body; the API server's own limit (``MaxRequestBodyBytes``)."""


class Arrival:
    """One request as it arrived."""

    def __init__(self, request: web.BaseRequest, connection: int) -> None:
        self._request = request
        self.connection = connection
        """Which connection it came on, counted from 1 in the order of accepting."""
        self.common_name = common_name(request.get_extra_info("peercert"))
        """The common name of the client's certificate, or None without one."""

    @property
    def method(self) -> str:
        """The method, as sent."""
        return self._request.method

    @property
    def target(self) -> bytes:
        """The request target, as sent."""
        return self._request.raw_path.encode("utf-8", "surrogateescape")

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header lines, as sent, in their order."""
        return self._request.raw_headers

    def header(self, name: str) -> list[str]:
        """All values of one header."""
        return self._request.headers.getall(name, [])

    async def body(self) -> bytes:
        """The whole body; it can still be read by the server afterwards.

        Raises:
            StatusError: 413 beyond ``BODY_LIMIT``.
        """
        try:
            return await self._request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise too_large(BODY_LIMIT) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes in, of any size; nothing is left for the server."""
        async for chunk in self._request.content.iter_any():
            yield chunk

    def send(self, data: bytes) -> None:
        """Put bytes on the connection, past HTTP."""
        if self._request.transport is not None:
            self._request.transport.write(data)

    def close(self) -> None:
        """Close the connection once what was sent is out."""
        if self._request.transport is not None:
            self._request.transport.close()

    def abort(self) -> None:
        """Reset the connection."""
        if self._request.transport is not None:
            abort(self._request.transport)


def abort(transport: asyncio.Transport) -> None:
    """Close a connection at once.

    asyncio's TLS transport of Python 3.11.2 cannot be aborted after a second ``close``; it is
    then lost as soon as its time for close_notify is up.
    """
    with contextlib.suppress(AttributeError):
        transport.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookResponse:
    """A response given by a hook in place of the server's own."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | AsyncIterator[bytes] = b""


OnRequest = Callable[[Arrival], Awaitable[HookResponse | None]]
"""Called before a request is handled; None lets the server handle it."""
