"""The seam between an exchange and the way to the upstream.

A :class:`Transport` gives out a :class:`Stream` for each exchange; the stream sends the request
and delivers the response to a :class:`Receiver` (``http1.response``). Back-pressure works both
ways: ``pause_reading`` holds the response back, ``drain`` waits for the upstream to take the body.
HTTP/1.1 implements it with a connection for each stream (``pool``, ``http1``), ``fake`` without
any. Nothing here assumes that streams have connections of their own: of what happens to one,
another notices nothing, unless the connection that they share is lost.
"""

import math
from typing import Protocol

from ..http1.response import Receiver
from .request import UpstreamRequest


class Stream(Protocol):
    """One exchange with the upstream."""

    @property
    def reused(self) -> bool:
        """Its connection has brought a response before, and may have died since."""
        ...

    @property
    def response_begun(self) -> bool:
        """Something of this exchange's response has come."""
        ...

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        """Send a request and await its response.

        Args:
            request: the head.
            authorization: the value of ``Authorization``, or empty.
            receiver: gets the response; possibly before this returns, if the connection is lost.
                An upgrade that the protocol cannot carry is an error.
            body: the whole body; None: it follows by :meth:`write` and :meth:`end`.
        """

    def write(self, data: bytes) -> None:
        """Send more of the request's body, or of the tunnel."""

    def end(self) -> None:
        """The request's body is whole."""

    async def drain(self) -> None:
        """Wait until the upstream takes bytes again, or is gone."""

    def pause_reading(self) -> None:
        """Hold the response back: the client does not keep up.

        What was on its way may still come, up to a bound: a buffer of TLS, a window of HTTP/2.
        """

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""

    def release(self) -> None:
        """The exchange is over: what can carry another is kept, the rest closed.

        The receiver gets nothing more. May follow :meth:`abort`.
        """

    def close(self) -> None:
        """Close after what is buffered has been sent."""

    def abort(self) -> None:
        """Close at once; the receiver gets nothing more."""

    def reset(self) -> None:
        """As :meth:`abort`, and so that the upstream cannot take it for a clean end."""


class Transport(Protocol):
    """The way to one upstream, for the requests that may share its connections."""

    @property
    def idle(self) -> int:
        """How many connections wait for work."""
        ...

    def take(self) -> Stream | None:
        """A stream that can be had at once, or None."""
        ...

    async def open(self, keepalive: float | None = None) -> Stream:
        """A stream on a connection that has not served before.

        Args:
            keepalive: for a tunnel, which has the connection to itself: seconds of silence before
                TCP probes the peer; negative: never. None is for plain exchanges, which may share
                the connection with others that are opened at the same time.

        Raises:
            UpstreamError: there is none.
        """
        ...

    def drop_idle(self, before: float = math.inf) -> None:
        """Close what is idle now: one that was used later turned out dead, and so these are likely
        to be, as after the API server's restart or a change of networks.

        Args:
            before: a time of ``time.monotonic``; what was used after it is kept.
        """

    def close(self) -> None:
        """Close what is idle now, and whatever comes back later. May be repeated."""
