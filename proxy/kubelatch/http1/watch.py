"""Where one event of a watch ends and the next begins, told from the bytes of the answer alone.

A watch has no end of its own: the API server ends one at any moment, but always between two
events. Who knows that place may do the same, and no client takes it for a fault. The formats are
those of apimachinery ``pkg/runtime/serializer`` (json.Framer, protobuf's LengthDelimitedFramer,
cbor.NewFramer). Pure: it knows nothing of connections.
"""

from typing import Final

_LENGTH_BYTES: Final = 4
# RFC 8949 section 3: major types, and what the low five bits of an item's first byte say.
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
# Kubernetes decodes no deeper (serializer/cbor internal/modes).
_DEEPEST: Final = 64


class JsonFramer:
    """JSON: each event is a line that begins with its type (metav1.WatchEvent), since line ends
    within strings are escaped. What begins otherwise, as a list does, is taken for one long event.

    Attributes:
        at_boundary: the bytes so far are whole events.
    """

    __slots__ = ("_begun", "_events", "at_boundary")

    def __init__(self) -> None:
        self.at_boundary = True
        self._begun = False
        self._events = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, which are not empty."""
        if not self._begun:
            self._begun = True
            self._events = data.startswith(b'{"type"')
        self.at_boundary = self._events and data.endswith(b"\n")


class ProtobufFramer:
    """Protobuf: each event follows its length, four bytes with the highest first."""

    __slots__ = ("_left", "_length")

    def __init__(self) -> None:
        # Of the event's length: what has come. Of the event itself: how much is to come.
        self._length = b""
        self._left = 0

    @property
    def at_boundary(self) -> bool:
        """The bytes so far are whole events."""
        return not self._left and not self._length

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
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
    """CBOR: each event is one data item (RFC 8949), and no frame is around it (RFC 8742)."""

    __slots__ = ("_broken", "_head", "_open", "_skip")

    def __init__(self) -> None:
        # Of an item's head: what has come. Of a string: how much is to come.
        self._head = b""
        self._skip = 0
        # How many items each open one still has, the innermost last; -1 until a break.
        self._open: list[int] = []
        self._broken = False

    @property
    def at_boundary(self) -> bool:
        """The bytes so far are whole events."""
        return not (self._open or self._skip or self._head or self._broken)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
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
        elif 28 <= low < _INDEFINITE or len(self._open) > _DEEPEST:
            self._broken = True
        elif low == _INDEFINITE:
            self._broken = major not in {_BYTES, _TEXT, _ARRAY, _MAP}
            self._open.append(-1)
        elif major == _TAG:
            # It is one with the item that follows.
            self._open.append(1)
        elif major in {_ARRAY, _MAP} and value:
            self._open.append(value * 2 if major == _MAP else value)
        elif major in {_BYTES, _TEXT} and value:
            self._skip = value
        else:
            self._end_item()

    def _end_item(self) -> None:
        """An item is whole, and with it each one that it was the last of."""
        while self._open and self._open[-1] > 0:
            self._open[-1] -= 1
            if self._open[-1]:
                return
            self._open.pop()


EventFramer = JsonFramer | ProtobufFramer | CborFramer


def event_framer(content_type: bytes | None) -> EventFramer | None:
    """Follows a watch of that ``Content-Type``; None if its events cannot be told apart."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    if kind == b"application/json":
        return JsonFramer()
    if kind == b"application/vnd.kubernetes.protobuf":
        return ProtobufFramer()
    if kind in {b"application/cbor", b"application/cbor-seq"}:
        return CborFramer()
    return None
