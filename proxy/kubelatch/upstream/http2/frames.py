"""Frames of HTTP/2 (RFC 9113 sections 4 and 6), sans-I/O."""

import enum
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_SIZE: Final = 16_384
"""Bytes of payload that either side may send; the initial value, which we never raise."""
MAX_WINDOW: Final = 2**31 - 1
_HEAD: Final = struct.Struct(">BHBBL")
_NUMBER: Final = struct.Struct(">L")
_SETTING: Final = struct.Struct(">HL")

# Flags.
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20


class FrameType(enum.IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Code(enum.IntEnum):
    """Error codes (section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Setting(enum.IntEnum):
    """Settings (section 6.5.2)."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


def code_name(code: int) -> str:
    """The name of an error code; the number of an unknown one."""
    return Code(code).name if code in Code._value2member_map_ else f"code {code:#x}"


class Http2Error(Exception):
    """The peer violates the protocol: the connection is lost.

    Attributes:
        code: what the peer is told.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamError(Http2Error):
    """The same, where only one stream is lost."""


class Frame(NamedTuple):
    """One frame; *stream* is 0 for those of the connection."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class FrameReader:
    """Cuts what is received into frames. Holds no more than one frame that is not whole."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises Http2Error for one that is too large."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        position, end = 0, len(data)
        while end - position >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, position)
            size = high << 16 | low
            if size > MAX_FRAME_SIZE:
                raise Http2Error(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            begin = position + 9
            if end - begin < size:
                break
            position = begin + size
            yield Frame(kind, flags, stream & MAX_WINDOW, data[begin:position])
        self._rest = data[position:]


def content(frame: Frame) -> bytes:
    """What a DATA or HEADERS frame holds, without padding and priority."""
    flags, payload = frame.flags, frame.payload
    begin, end = 0, len(payload)
    if flags & _PADDED:
        if not payload:
            raise Http2Error(Code.FRAME_SIZE_ERROR, "a padded frame without a length")
        begin, end = 1, end - payload[0]
    if flags & _PRIORITY and frame.kind == FrameType.HEADERS:
        begin += 5
    if begin > end:
        raise Http2Error(Code.PROTOCOL_ERROR, "more padding than a frame has room for")
    return payload[begin:end]


def number(frame: Frame) -> int:
    """What a frame holds that has four bytes: an error code or a window's increment."""
    if len(frame.payload) != _NUMBER.size:
        raise Http2Error(Code.FRAME_SIZE_ERROR, f"a frame of type {frame.kind} of another size")
    return int(_NUMBER.unpack(frame.payload)[0])


def settings_of(frame: Frame) -> list[tuple[int, int]]:
    """What a SETTINGS frame holds."""
    if len(frame.payload) % _SETTING.size:
        raise Http2Error(Code.FRAME_SIZE_ERROR, "settings of a broken size")
    return list(_SETTING.iter_unpack(frame.payload))


def goaway_of(frame: Frame) -> tuple[int, int]:
    """The last stream and the error code of a GOAWAY."""
    if len(frame.payload) < 2 * _NUMBER.size:
        raise Http2Error(Code.FRAME_SIZE_ERROR, "a GOAWAY that is too short")
    last, code = struct.unpack_from(">LL", frame.payload)
    return last & MAX_WINDOW, code


def build(kind: FrameType, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as bytes."""
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def build_headers(stream: int, block: bytes, *, size: int = MAX_FRAME_SIZE) -> bytes:
    """A request without a body: HEADERS, and CONTINUATION where *size* is exceeded."""
    if len(block) <= size:
        return build(FrameType.HEADERS, END_STREAM | END_HEADERS, stream, block)
    parts = [block[start : start + size] for start in range(0, len(block), size)]
    frames = [build(FrameType.HEADERS, END_STREAM, stream, parts[0])]
    frames += [build(FrameType.CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    frames.append(build(FrameType.CONTINUATION, END_HEADERS, stream, parts[-1]))
    return b"".join(frames)


def build_settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(_SETTING.pack(*item) for item in values.items())
    return build(FrameType.SETTINGS, 0, 0, payload)


def build_number(kind: FrameType, stream: int, value: int) -> bytes:
    """A RST_STREAM with an error code, or a WINDOW_UPDATE with an increment."""
    return build(kind, 0, stream, _NUMBER.pack(value))


def build_goaway(code: Code) -> bytes:
    """A GOAWAY of ours: no stream of the server's has been taken."""
    return build(FrameType.GOAWAY, 0, 0, struct.pack(">LL", 0, code))
