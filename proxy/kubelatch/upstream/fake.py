"""A :class:`Transport` without a network, for tests of its callers.

A test scripts what the streams deliver, or calls :meth:`FakeStream.deliver`, and inspects what was
sent and what is still pending.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from functools import partialmethod

from ..errors import UpstreamError
from ..http1.fields import Fields, Pairs
from ..http1.response import BodyKind, Receiver, ResponseHead
from .request import UpstreamRequest

Step = ResponseHead | bytes | list[tuple[bytes, bytes]] | UpstreamError
"""Part of a response: a head, a piece of the body, the end with its trailers, or an error."""


def head(status: int, fields: Pairs = (), body: BodyKind = BodyKind.CHUNKED) -> ResponseHead:
    """A response's head; without a reason."""
    return ResponseHead(status, b"", Fields(fields), body)


class FakeStream:
    """See :class:`Stream`.

    Attributes:
        request: as passed to :meth:`start`, as is *authorization*; None before.
        body: the request's body as far as it has been sent; *ended*: it is complete.
        paused: reading is paused; *pending* is still to be delivered.
        outcome: how the exchange ended it: ``release``, ``close``, ``abort``, ``reset``, or empty.
    """

    def __init__(self, transport: "FakeTransport", *, reused: bool) -> None:
        self.reused, self.outcome = reused, ""
        self.response_begun = self.ended = self.paused = False
        self.request: UpstreamRequest | None = None
        self.authorization, self.body = b"", bytearray()
        self.pending: deque[Step] = deque()
        self._transport = transport
        self._receiver: Receiver | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        self.request, self.authorization, self._receiver = request, authorization, receiver
        self.body, self.ended = bytearray(body or b""), body is not None
        self._transport.streams.append(self)
        if self._transport.scripts:
            self.deliver(*self._transport.scripts.popleft())

    def deliver(self, *steps: Step) -> None:
        """Deliver *steps* in the event loop's next iteration, as one read; later if paused."""
        self.pending += steps
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        flush = None
        while self.pending and self._receiver is not None and not self.paused:
            receiver, step = self._receiver, self.pending.popleft()
            if isinstance(step, UpstreamError):
                self.abort()
                receiver.on_error(step, stale=self.reused and not self.response_begun)
                return
            self.response_begun, flush = True, receiver
            if isinstance(step, bytes):
                receiver.on_body(step)
            elif isinstance(step, list):
                receiver.on_end(step)
            else:
                (receiver.on_head if step.status >= 200 else receiver.on_informational)(step)
        if flush is not None:
            flush.on_flush()

    def stall(self) -> None:
        """Accept no more bytes: :meth:`drain` waits until the exchange is over."""
        self._writable.clear()
        if self._receiver is not None:
            self._receiver.on_pause_writing()

    def write(self, data: bytes) -> None:
        self.body += data

    def end(self) -> None:
        self.ended = True

    write_eof = end

    async def drain(self) -> None:
        await self._writable.wait()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.deliver()

    def _end(self, outcome: str) -> None:
        if not self.outcome and outcome == "release" and not self._transport.closed:
            self._transport.idle += 1
        self.outcome = self.outcome or outcome
        self._receiver = None
        self._writable.set()

    release = partialmethod(_end, "release")
    close = partialmethod(_end, "close")
    abort = partialmethod(_end, "abort")
    reset = partialmethod(_end, "reset")


class FakeTransport:
    """See :class:`Transport`.

    Args:
        scripts: the responses of the streams that are started, in order.

    Attributes:
        streams: those that have been started.
        refusal: the error of :meth:`open`, or None.
        idle: how many reused streams can be taken; once *closed*, none is kept.
    """

    protocol = ""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts, self.idle, self.closed = deque(scripts), 0, False
        self.streams: list[FakeStream] = []
        self.refusal: UpstreamError | None = None

    def take(self) -> FakeStream | None:
        self.idle, found = max(0, self.idle - 1), self.idle > 0
        return FakeStream(self, reused=True) if found else None

    async def open(self, keepalive: float | None = None) -> FakeStream:
        if self.refusal is not None:
            raise self.refusal
        return FakeStream(self, reused=False)

    def drop_idle(self, before: float = math.inf) -> None:
        self.idle = 0

    def close(self) -> None:
        self.closed, self.idle = True, 0
