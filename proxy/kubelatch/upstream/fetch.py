"""Sends one of the proxy's own requests to the API server."""

import asyncio
from dataclasses import dataclass
from typing import Final

from ..errors import UpstreamError, UpstreamTimeoutError
from ..http1.headers import ClientFields
from ..http1.response import ResponseHead
from .generation import Generation
from .request import UpstreamRequest

# A SelfSubjectReview or a version is below 4 KiB.
_MAX_BODY: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FetchedResponse:
    """Status and body."""

    status: int
    body: bytes


async def fetch(
    generation: Generation,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    content_type: bytes = b"application/json",
    max_body: int = _MAX_BODY,
    timeout: float = 10.0,
) -> FetchedResponse:
    """Send one request with the generation's credential, on a connection of its own.

    Args:
        generation: the API server and the credential.
        method: HTTP method.
        target: path and query.
        body: may be empty.
        content_type: its media type.
        max_body: bytes that the response's body may have.
        timeout: seconds in total.

    Raises:
        CredentialError: there is no credential.
        UpstreamError: there is no complete response.
    """
    receiver = Collector(max_body)
    try:
        async with asyncio.timeout(timeout):
            credential = await generation.credential()
            stream = await generation.transport(credential).open()
            try:
                request = own_request(generation, method, target, body, content_type=content_type)
                stream.start(request, generation.authorization(credential), receiver, body)
                return await receiver.response
            finally:
                stream.abort()
    except TimeoutError as exc:
        msg = f"no response to {method} {target} within {timeout:g} s"
        raise UpstreamTimeoutError(msg) from exc


def own_request(
    generation: Generation,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    path_prefix: bytes = b"",
    content_type: bytes = b"application/json",
) -> UpstreamRequest:
    """A request of the proxy's own; for the arguments see :func:`fetch`.

    Args:
        path_prefix: before *target*.
    """
    fields = ClientFields(
        kept=[(b"Accept", b"application/json"), (b"Content-Type", content_type)],
        content_length=b"%d" % len(body),
        user_agent=True,
    )
    return UpstreamRequest(
        method,
        target.encode(),
        fields,
        path_prefix=path_prefix,
        authority=generation.upstream.host_header,
        identity=generation.upstream.identity,
        compression=False,
        peer=b"",
        user_agent=b"",
        own_credential=True,
    )


class Collector:
    """Collects a response; see :class:`Receiver`.

    Args:
        max_body: bytes that the body may have.

    Attributes:
        response: resolves when it is complete; raises UpstreamError.
        stale: it failed as a reused connection was dead.
    """

    def __init__(self, max_body: int = _MAX_BODY) -> None:
        self.response: asyncio.Future[FetchedResponse] = asyncio.get_running_loop().create_future()
        self.stale = False
        self._max_body = max_body
        self._status = 0
        self._body = bytearray()

    def on_informational(self, head: ResponseHead) -> None:
        """Ignore it."""

    def on_head(self, head: ResponseHead) -> None:
        self._status = head.status

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_body:
            msg = f"the response is over {self._max_body // 1024 // 1024} MiB"
            self.on_error(UpstreamError(msg, cause="bad-answer"), stale=False)

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if not self.response.done():
            self.response.set_result(FetchedResponse(self._status, bytes(self._body)))

    def on_flush(self) -> None:
        """Wait for the end."""

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        self.on_error(UpstreamError("a response with status 101", cause="bad-answer"), stale=False)

    def on_tunnel_data(self, data: bytes) -> None:
        """Never called."""

    def on_tunnel_eof(self) -> bool:
        return False

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        self.stale = stale
        if not self.response.done():
            self.response.set_exception(error)

    def on_pause_writing(self) -> None:
        """The request is small."""

    def on_resume_writing(self) -> None:
        """See :meth:`on_pause_writing`."""
