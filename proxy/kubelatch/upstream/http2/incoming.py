"""What a server sends on an HTTP/2 connection, frame by frame; sans-I/O.

Checks what can be checked without knowing the streams, and bounds what a server can make us hold
or do: one frame, one head, and so many frames in a second that bring no response forward.
"""

import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

import hpack

from ...http1.fields import Pair
from . import frames
from .frames import Code, Frame, FrameType, Http2Error, Setting, StreamError

# hpack writes the blocks that it makes and reads at DEBUG: with the bearer token.
logging.getLogger("hpack").setLevel(logging.INFO)

MAX_LIST: Final = 256 * 1024
"""Bytes of a head's fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts them."""
# A compressed head that is larger is skipped, up to 1 MiB in full frames.
_MAX_BLOCK: Final = 256 * 1024
_MAX_CONTINUATIONS: Final = 64
# An API server sends a few in a minute.
_MAX_USELESS: Final = 1000


class FrameHandler(Protocol):
    """Takes what has come. Each method may raise Http2Error, those of streams StreamError."""

    def check(self, stream: int, *, late: bool = False) -> bool:
        """Whether *stream* is under way.

        Args:
            stream: its number.
            late: a frame that may come when it is over.

        Raises:
            Http2Error: it never was, or nothing more may come for it.
        """
        ...

    def on_data(self, stream: int, data: bytes, size: int, *, ended: bool) -> None:
        """A piece of a body, which is *size* bytes to flow control. *stream* is not checked."""

    def on_fields(self, stream: int, fields: list[Pair], *, ended: bool) -> None:
        """A head or trailers of a stream that was under way when they began."""

    def on_skipped_fields(self, stream: int) -> None:
        """A head or trailers that cannot be decoded, since a head before them was too large."""

    def on_reset(self, stream: int, code: int) -> None:
        """The end of a stream that is under way."""

    def on_setting(self, name: int, value: int) -> None:
        """One of the server's settings, in order and valid."""

    def on_settings(self) -> None:
        """The last of them has come."""

    def on_ping(self, payload: bytes) -> None:
        """A ping that is to be answered."""

    def on_goaway(self, last: int, code: int) -> None:
        """The server leaves, and takes no stream after *last*."""

    def on_window(self, stream: int, increment: int) -> None:
        """The window of a stream that is under way, or of the connection (0), grows."""

    def on_stream_error(self, stream: int, error: StreamError) -> None:
        """What has come for a stream is not valid."""

    def leave(self) -> None:
        """No more streams can be put on the connection; bodies that are coming run on."""


class Incoming:
    """See the module.

    Args:
        handler: takes what has come.
    """

    def __init__(self, handler: FrameHandler) -> None:
        self._handler = handler
        self._reader = frames.FrameReader()
        # None after a head that was too large: what it did to the table is not known.
        self._decoder: hpack.Decoder | None = hpack.Decoder(max_header_list_size=MAX_LIST)
        self._greeted = False
        self._useless = 0
        # The head that is coming in: its stream, whether it ends that, and its pieces.
        self._block: tuple[int, bool, list[bytes]] | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises Http2Error: the connection cannot go on."""
        for frame in self._reader.feed(data):
            try:
                self._receive(frame)
            except StreamError as error:
                self._handler.on_stream_error(frame.stream, error)

    def next_second(self) -> None:
        """What may come in a second may come again."""
        self._useless = 0

    def count_useless(self) -> None:
        """Count a frame that brings no response forward. Raises Http2Error: it is one too many."""
        self._useless += 1
        if self._useless > _MAX_USELESS:
            raise Http2Error(Code.ENHANCE_YOUR_CALM, "a flood of frames that bring nothing")

    def _receive(self, frame: Frame) -> None:
        kind = frame.kind
        if self._block is not None and kind != FrameType.CONTINUATION:
            raise Http2Error(Code.PROTOCOL_ERROR, "a frame within a head")
        if not self._greeted and (kind != FrameType.SETTINGS or frame.flags & frames.ACK):
            raise Http2Error(Code.PROTOCOL_ERROR, "no settings at the beginning")
        if kind == FrameType.DATA:
            self._on_data(frame)
        elif kind == FrameType.HEADERS:
            self._handler.check(frame.stream)
            ended = bool(frame.flags & frames.END_STREAM)
            self._block = (frame.stream, ended, [frames.content(frame)])
            if frame.flags & frames.END_HEADERS:
                self._end_block()
        elif kind == FrameType.CONTINUATION:
            self._on_continuation(frame)
        else:
            self.count_useless()
            if handler := _HANDLERS.get(kind):
                handler(self, frame)

    def _on_data(self, frame: Frame) -> None:
        size = len(frame.payload)
        ended = bool(frame.flags & frames.END_STREAM)
        if not size and not ended:
            self.count_useless()
        self._handler.on_data(frame.stream, frames.content(frame), size, ended=ended)

    def _on_continuation(self, frame: Frame) -> None:
        if self._block is None or self._block[0] != frame.stream:
            raise Http2Error(Code.PROTOCOL_ERROR, "a continuation of nothing")
        parts = self._block[2]
        parts.append(frame.payload)
        if len(parts) > _MAX_CONTINUATIONS:
            raise Http2Error(Code.ENHANCE_YOUR_CALM, "a head that is too large")
        if frame.flags & frames.END_HEADERS:
            self._end_block()

    def _end_block(self) -> None:
        if self._block is None:
            return
        (stream, ended, parts), self._block = self._block, None
        block, decoder = b"".join(parts), self._decoder
        if decoder is None:
            self._handler.on_skipped_fields(stream)
            return
        try:
            if len(block) > _MAX_BLOCK:
                raise hpack.OversizedHeaderListError
            fields = cast("list[Pair]", decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError as error:
            self._decoder = None
            self._handler.leave()
            raise StreamError(Code.ENHANCE_YOUR_CALM, "a head over 256 KiB") from error
        except hpack.HPACKError as error:
            raise Http2Error(Code.COMPRESSION_ERROR, "a head that cannot be decoded") from error
        self._handler.on_fields(stream, fields, ended=ended)

    def _on_priority(self, frame: Frame) -> None:
        _of_a_stream(frame)
        if len(frame.payload) != 5:
            raise Http2Error(Code.FRAME_SIZE_ERROR, "a priority of another size")

    def _on_reset(self, frame: Frame) -> None:
        code = frames.number(frame)
        if self._handler.check(frame.stream, late=True):
            self._handler.on_reset(frame.stream, code)

    def _on_settings(self, frame: Frame) -> None:
        _of_the_connection(frame)
        if frame.flags & frames.ACK:
            if frame.payload:
                raise Http2Error(Code.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        self._greeted = True
        for name, value in frames.settings_of(frame):
            if name == Setting.ENABLE_PUSH and value:
                raise Http2Error(Code.PROTOCOL_ERROR, "a server that would be pushed to")
            if name == Setting.INITIAL_WINDOW_SIZE and value > frames.MAX_WINDOW:
                raise Http2Error(Code.FLOW_CONTROL_ERROR, "a window that is too large")
            if name == Setting.MAX_FRAME_SIZE and not frames.MAX_FRAME_SIZE <= value < 1 << 24:
                raise Http2Error(Code.PROTOCOL_ERROR, "an invalid size of frames")
            self._handler.on_setting(name, value)
        self._handler.on_settings()

    def _on_push(self, _: Frame) -> None:
        raise Http2Error(Code.PROTOCOL_ERROR, "a push, which is switched off")

    def _on_ping(self, frame: Frame) -> None:
        _of_the_connection(frame)
        if len(frame.payload) != 8:
            raise Http2Error(Code.FRAME_SIZE_ERROR, "a ping of another size")
        if not frame.flags & frames.ACK:
            self._handler.on_ping(frame.payload)

    def _on_goaway(self, frame: Frame) -> None:
        _of_the_connection(frame)
        self._handler.on_goaway(*frames.goaway_of(frame))

    def _on_window(self, frame: Frame) -> None:
        increment = frames.number(frame) & frames.MAX_WINDOW
        if not frame.stream:
            if not increment:
                raise Http2Error(Code.PROTOCOL_ERROR, "a window that does not grow")
        elif not self._handler.check(frame.stream, late=True):
            return
        elif not increment:
            raise StreamError(Code.PROTOCOL_ERROR, "a window that does not grow")
        self._handler.on_window(frame.stream, increment)


_HANDLERS: Final[dict[int, Callable[[Incoming, Frame], None]]] = {
    FrameType.PRIORITY: Incoming._on_priority,
    FrameType.RST_STREAM: Incoming._on_reset,
    FrameType.SETTINGS: Incoming._on_settings,
    FrameType.PUSH_PROMISE: Incoming._on_push,
    FrameType.PING: Incoming._on_ping,
    FrameType.GOAWAY: Incoming._on_goaway,
    FrameType.WINDOW_UPDATE: Incoming._on_window,
}


def _of_the_connection(frame: Frame) -> None:
    if frame.stream:
        raise Http2Error(Code.PROTOCOL_ERROR, f"a frame of type {frame.kind} of a stream")


def _of_a_stream(frame: Frame) -> None:
    if not frame.stream:
        raise Http2Error(Code.PROTOCOL_ERROR, f"a frame of type {frame.kind} of no stream")
