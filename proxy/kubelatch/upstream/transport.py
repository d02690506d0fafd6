"""The interface between an exchange and the connection to the upstream.

A :class:`Transport` opens a :class:`Stream` for each exchange; the stream sends the request
and delivers the response to a :class:`Receiver` (``http1.response``). Back-pressure works both
ways: ``pause_reading`` pauses the response, ``drain`` waits for the upstream to read the body.
HTTP/1.1 implements it with a connection for each stream (``pool``, ``http1``), ``http2`` with few
connections for many, ``fake`` without any. Streams may share a connection: what happens to one
does not affect another, unless the connection is lost.
"""

import math
from typing import Protocol

from ..errors import UpstreamError
from ..http1.response import Receiver
from .request import UpstreamRequest


class Http1OnlyError(UpstreamError):
    """There is no HTTP/2 to this upstream: use HTTP/1.1."""


class Stream(Protocol):
    """One exchange with the upstream."""

    @property
    def reused(self) -> bool:
        """Whether its connection was opened for another exchange, and so may have died since."""
        ...

    @property
    def response_begun(self) -> bool:
        """Whether a byte of this exchange's response has arrived."""
        ...

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        """Send a request and await its response.

        Args:
            request: the head.
            authorization: the value of ``Authorization``, or empty.
            receiver: gets the response; if the connection is lost, an error, possibly before this
                returns. An upgrade that the protocol does not support is an error, too.
            body: the whole body; None: :meth:`write` and :meth:`end` follow.
        """

    def write(self, data: bytes) -> None:
        """Send a piece of the request's body, or of the tunnel."""

    def end(self) -> None:
        """End the request's body."""

    async def drain(self) -> None:
        """Wait until more bytes can be written, or the connection is lost."""

    def pause_reading(self) -> None:
        """Pause the response, since the client is slow.

        A bounded amount may still be delivered: a TLS buffer, an HTTP/2 window.
        """

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""

    def release(self) -> None:
        """End the exchange. A connection that can be reused is kept, others are closed.

        The receiver is not called any more. May be called after :meth:`abort`.
        """

    def close(self) -> None:
        """Close after what is buffered has been sent."""

    def abort(self) -> None:
        """Close at once; the receiver is not called any more."""

    def reset(self) -> None:
        """As :meth:`abort`, in a way that the upstream cannot take for a clean end."""


class Transport(Protocol):
    """Connections to one upstream with one TLS identity."""

    @property
    def protocol(self) -> str:
        """``h2``, or empty for HTTP/1.1."""
        ...

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        ...

    def take(self) -> Stream | None:
        """A stream on an idle connection, or None."""
        ...

    async def open(self, keepalive: float | None = None) -> Stream:
        """A stream on a new connection.

        Args:
            keepalive: for a tunnel, which has a connection of its own: seconds of silence before
                TCP probes the peer; negative: never. None is for plain exchanges, which may share
                the connection with others that are opened at the same time.

        Raises:
            UpstreamError: it cannot be opened.
            Http1OnlyError: it never can, by this transport.
        """
        ...

    def drop_idle(self, before: float = math.inf) -> None:
        """Close idle connections that are probably dead, since one used later was: after a restart
        of the API server, or a change of networks.

        Args:
            before: as ``time.monotonic``; connections used after it are kept.
        """

    def close(self) -> None:
        """Close idle connections now, and others when they are released. Idempotent."""
