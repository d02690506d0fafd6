"""Finds the boundaries between the events of a watch in the bytes of its response.

The API server ends a watch at any time, but always between two events, so a drain that ends it at
such a boundary is no error to any client. The formats are those of apimachinery
``pkg/runtime/serializer`` (json.Framer, protobuf's LengthDelimitedFramer, cbor.NewFramer). Pure.
"""

from typing import Final

_LENGTH_BYTES: Final = 4
# RFC 8949 section 3: major types, and values of the low five bits of an item's first byte.
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
# As in Kubernetes (serializer/cbor internal/modes).
_MAX_DEPTH: Final = 64


class JsonFramer:
    """JSON: each event is a line that begins with its type (metav1.WatchEvent), since line ends
    within strings are escaped. Other responses, such as a list, have no boundary.

    Attributes:
        at_boundary: the bytes so far are complete events.
    """

    __slots__ = ("_begun", "_events", "at_boundary")

    def __init__(self) -> None:
        self.at_boundary = True
        self._begun = False
        self._events = False

    def feed(self, data: bytes) -> None:
        """Process the next bytes, which are not empty."""
        if not self._begun:
            self._begun = True
            self._events = data.startswith(b'{"type"')
        self.at_boundary = self._events and data.endswith(b"\n")


class ProtobufFramer:
    """Protobuf: each event follows its length, four bytes in big-endian order."""

    __slots__ = ("_left", "_length")

    def __init__(self) -> None:
        # The received bytes of the length, and how many bytes of the event are missing.
        self._length = b""
        self._left = 0

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes so far are complete events."""
        return not self._left and not self._length

    def feed(self, data: bytes) -> None:
        """Process the next bytes."""
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
            else:
                step = min(_LENGTH_BYTES - len(self._length), len(data) - position)
                self._length += data[position : position + step]
                if len(self._length) == _LENGTH_BYTES:
                    self._left = int.from_bytes(self._length)
                    self._length = b""
            position += step


class CborFramer:
    """CBOR: each event is one data item (RFC 8949), without a frame (RFC 8742)."""

    __slots__ = ("_broken", "_head", "_open", "_skip")

    def __init__(self) -> None:
        # The received bytes of an item's head, and how many bytes of a string are missing.
        self._head = b""
        self._skip = 0
        # How many items each open one still expects, the innermost last; -1: until a break.
        self._open: list[int] = []
        self._broken = False

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes so far are complete events."""
        return not (self._open or self._skip or self._head or self._broken)

    def feed(self, data: bytes) -> None:
        """Process the next bytes."""
        position = 0
        if self._head:
            data, self._head = self._head + data, b""
        while position < len(data) and not self._broken:
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                if not self._skip:
                    self._end_item()
                continue
            first = data[position]
            low = first & 31
            size = 1 + (1 << low - 24 if 24 <= low < 28 else 0)
            if position + size > len(data):
                self._head = data[position:]
                return
            value = int.from_bytes(data[position + 1 : position + size]) if size > 1 else low
            position += size
            self._begin_item(first, value)

    def _begin_item(self, first: int, value: int) -> None:
        major, low = first >> 5, first & 31
        if first == _BREAK:
            if not self._open or self._open.pop() != -1:
                self._broken = True
                return
            self._end_item()
        elif 28 <= low < _INDEFINITE or len(self._open) > _MAX_DEPTH:
            self._broken = True
        elif low == _INDEFINITE:
            self._broken = major not in {_BYTES, _TEXT, _ARRAY, _MAP}
            self._open.append(-1)
        elif major == _TAG:
            # A tag belongs to the item that follows.
            self._open.append(1)
        elif major in {_ARRAY, _MAP} and value:
            self._open.append(value * 2 if major == _MAP else value)
        elif major in {_BYTES, _TEXT} and value:
            self._skip = value
        else:
            self._end_item()

    def _end_item(self) -> None:
        """End an item, and each open one of which it was the last."""
        while self._open and self._open[-1] > 0:
            self._open[-1] -= 1
            if self._open[-1]:
                return
            self._open.pop()


EventFramer = JsonFramer | ProtobufFramer | CborFramer


def event_framer(content_type: bytes | None) -> EventFramer | None:
    """The framer for a watch of that ``Content-Type``; None for unknown formats."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    if kind == b"application/json":
        return JsonFramer()
    if kind == b"application/vnd.kubernetes.protobuf":
        return ProtobufFramer()
    if kind in {b"application/cbor", b"application/cbor-seq"}:
        return CborFramer()
    return None
