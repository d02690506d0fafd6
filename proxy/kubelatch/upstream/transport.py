"""The seam between an exchange and the way to the upstream.

A :class:`Transport` gives out a :class:`Stream` for each exchange; the stream sends the request
and delivers the response to a :class:`Receiver` (``http1.response``). Back-pressure works both
ways: ``pause_reading`` holds the response back, ``drain`` waits for the upstream to take the body.
HTTP/1.1 fills it with a connection for each stream (``pool``, ``http1``).
"""

import math
from typing import Protocol

from ..http1.response import Receiver
from .request import UpstreamRequest


class Stream(Protocol):
    """One exchange with the upstream."""

    @property
    def reused(self) -> bool:
        """Its connection has served before, and may have died since."""
        ...

    @property
    def response_begun(self) -> bool:
        """A byte of the response has come."""
        ...

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        """Send a request and await its response.

        Args:
            request: the head.
            authorization: the value of ``Authorization``, or empty.
            receiver: gets the response; possibly before this returns, if the connection is lost.
            body: the whole body; None: it follows by :meth:`write` and :meth:`end`.
        """

    def write(self, data: bytes) -> None:
        """Send more of the request's body, or of the tunnel."""

    def end(self) -> None:
        """The request's body is whole."""

    async def drain(self) -> None:
        """Wait until the upstream takes bytes again, or is gone."""

    def pause_reading(self) -> None:
        """Hold the response back: the client does not keep up."""

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""

    def release(self) -> None:
        """The exchange is over: what can carry another is kept, the rest closed."""

    def close(self) -> None:
        """Close after what is buffered has been sent."""

    def abort(self) -> None:
        """Close at once; the receiver gets nothing more."""

    def reset(self) -> None:
        """As :meth:`abort`, and so that the upstream cannot take it for a clean end."""


class Transport(Protocol):
    """The way to one upstream, for the requests that may share its connections."""

    def take(self) -> Stream | None:
        """A stream that can be had at once, or None."""
        ...

    async def open(self, keepalive: float | None = None) -> Stream:
        """A stream on a connection of its own that has not served before.

        Args:
            keepalive: for a tunnel: seconds of silence before TCP probes the peer; negative:
                never. None is for plain exchanges.

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
