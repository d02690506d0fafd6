"""A request's body on its way upstream."""

import asyncio

from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestPayloadError

from ..errors import ClientRequestError
from ..upstream.transport import Stream
from .attempt import Attempt
from .record import Record
from .request import ClientRequest


def whole_body(request: ClientRequest, record: Record) -> bytes | None:
    """Return the body if all of it has come, so that it can go in one write and be sent again."""
    if request.held is not None:
        return request.held
    body = request.body
    if body is EMPTY_PAYLOAD:
        return b""
    if not body.is_eof() or body.exception() is not None:
        return None
    if body.at_eof():
        return b""
    data = body.read_nowait(-1)
    record.received = len(data)
    return data


class Upload:
    """Sends a body as it comes, no faster than the upstream takes it.

    Args:
        request: has the body.
        record: the bytes received are counted there.
        stream: takes the body.
        attempt: fails if the body cannot be read.
    """

    __slots__ = ("_task",)

    def __init__(
        self, request: ClientRequest, record: Record, stream: Stream, attempt: Attempt
    ) -> None:
        self._task = asyncio.get_running_loop().create_task(
            _send(request, record, stream, attempt), name="kubelatch upload"
        )

    @property
    def ended(self) -> bool:
        """The whole body has been sent, or it never will be."""
        return self._task.done()

    def cancel(self) -> None:
        """Send no more. May be repeated; from within the upload it does nothing."""
        if self._task is not asyncio.current_task():
            self._task.cancel()


async def _send(request: ClientRequest, record: Record, stream: Stream, attempt: Attempt) -> None:
    try:
        while data := await request.body.readany():
            record.received += len(data)
            stream.write(data)
            await stream.drain()
    except RequestPayloadError as exc:
        attempt.fail(ClientRequestError(f"the request's body cannot be read: {exc}"))
    else:
        stream.end()
