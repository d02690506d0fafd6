"""One exchange on an HTTP/2 connection: the :class:`Stream` of ``upstream.transport``."""

from typing import TYPE_CHECKING, Final

from ...errors import NotProcessedError, UpstreamError
from ...http1.fields import Pair
from ...http1.response import Receiver
from ..request import UpstreamRequest
from .frames import Code, StreamError, code_name
from .heads import checked, response_head

if TYPE_CHECKING:
    from .connection import Http2Connection

WINDOW: Final = 256 * 1024
"""Bytes that the server may send before we read them: as many as a slow client's buffer."""
# An API server sends none for a watch.
_MAX_INTERIM: Final = 32


class Http2Stream:
    """See :class:`Stream`.

    Args:
        connection: it has a place on it from now on, and uses it at :meth:`start`.
        reused: the connection was opened for another stream.

    Attributes:
        number: the stream's identifier; 0 before it is started.
        receiver: gets the response; None before the start and after the end.
        complete: the response is whole, or has failed.
        granted: by how much the server has raised the window for what we send.
    """

    __slots__ = (
        "_connection",
        "_final",
        "_interim",
        "_left",
        "_owed",
        "_paused",
        "_window",
        "complete",
        "granted",
        "number",
        "receiver",
        "response_begun",
        "reused",
    )

    def __init__(self, connection: "Http2Connection", *, reused: bool) -> None:
        self._connection: Http2Connection | None = connection
        self.reused = reused
        self.number = 0
        self.receiver: Receiver | None = None
        self.response_begun = False
        self.granted = 0
        self._paused = False
        # What the server may send, and what we have taken of it since.
        self._window = WINDOW
        self._owed = 0
        self.complete = False
        self._final = False
        self._interim = 0
        # Bytes of body that are still to come, if that was declared.
        self._left: int | None = None

    def start(
        self, request: UpstreamRequest, authorization: bytes, receiver: Receiver, body: bytes | None
    ) -> None:
        """See :class:`Stream`. A request with a body is an error: it belongs on HTTP/1.1."""
        self.receiver = receiver
        if body != b"" or request.upgrade:
            self.fail(UpstreamError("HTTP/2 carries neither bodies nor upgrades here"))
        elif self._connection is not None:
            self._connection.start(self, request, authorization)

    def write(self, data: bytes) -> None:
        """Never called: there is no body."""

    def end(self) -> None:
        """See :meth:`write`."""

    def write_eof(self) -> None:
        """See :meth:`write`."""

    async def drain(self) -> None:
        """See :meth:`write`."""

    def pause_reading(self) -> None:
        """See :class:`Stream`. What the window still allows may come."""
        self._paused = True

    def resume_reading(self) -> None:
        """See :class:`Stream`."""
        self._paused = False
        self._credit()

    def release(self) -> None:
        """See :class:`Stream`. A response that is not whole is cancelled."""
        connection, self._connection = self._connection, None
        self.receiver = None
        if connection is not None:
            connection.forget(self, cancel=not self.complete)

    def close(self) -> None:
        """See :meth:`release`."""
        self.release()

    abort = reset = close

    def on_fields(self, fields: list[Pair], *, ended: bool) -> None:
        """Take a head, or trailers. Raises StreamError."""
        receiver = self.receiver
        if receiver is None:
            return
        self.response_begun = True
        if self._final:
            if not ended:
                raise StreamError(Code.PROTOCOL_ERROR, "a second head")
            self._end(receiver, checked(fields))
            return
        head, left = response_head(fields, ended=ended)
        if head.status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise StreamError(Code.ENHANCE_YOUR_CALM, "interim responses without end")
            receiver.on_informational(head)
            return
        self._final = True
        self._left = left
        receiver.on_head(head)
        if ended and self.receiver is receiver:
            self._end(receiver, [])

    def on_data(self, data: bytes, size: int, *, ended: bool) -> None:
        """Take a piece of the body, for which *size* bytes of the window were used.

        Raises:
            StreamError: it is more than the window or the declared length, or has no head.
        """
        receiver = self.receiver
        self._window -= size
        if self._window < 0:
            raise StreamError(Code.FLOW_CONTROL_ERROR, "more than the window")
        if receiver is None:
            return
        if not self._final:
            raise StreamError(Code.PROTOCOL_ERROR, "a body without a head")
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise StreamError(Code.PROTOCOL_ERROR, "more body than declared")
        if data:
            receiver.on_body(data)
        self._owed += size
        if self.receiver is not receiver:
            return
        if ended:
            self._end(receiver, [])
        elif not self._paused:
            self._credit()

    def on_reset(self, code: int) -> None:
        """The server has ended the stream early."""
        if code == Code.REFUSED_STREAM:
            # RFC 9113 section 8.7: nothing was done with it.
            msg = "the API server refused the stream, and every one after it"
            self.lose(NotProcessedError(msg))
        else:
            self.lose(self.cut(f"the API server reset the stream ({code_name(code)})"))

    def cut(self, message: str) -> UpstreamError:
        """The error of a response that will not come, or not come whole."""
        return UpstreamError(message, cause="truncated" if self.response_begun else "reset")

    def lose(self, error: UpstreamError, *, stale: bool = False) -> None:
        """Fail, where the server knows already, or has gone; not what is whole."""
        if not self.complete:
            self.complete = True
            self.fail(error, stale=stale)

    def fail(self, error: UpstreamError, *, stale: bool = False) -> None:
        """Report *error*, and cancel what is under way."""
        receiver = self.receiver
        self.release()
        if receiver is not None:
            receiver.on_error(error, stale=stale or isinstance(error, NotProcessedError))

    def _end(self, receiver: Receiver, trailers: list[Pair]) -> None:
        if self._left:
            raise StreamError(Code.PROTOCOL_ERROR, "less body than declared")
        self.complete = True
        receiver.on_end(trailers)

    def _credit(self) -> None:
        """Open the window again, in steps that are worth a frame."""
        if self._owed >= WINDOW // 2 and not self.complete and self._connection is not None:
            self._connection.credit(self, self._owed)
            self._window += self._owed
            self._owed = 0
