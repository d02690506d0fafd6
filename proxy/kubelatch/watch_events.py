"""Where one event of a watch ends and the next begins, told from the bytes of the answer alone.

A watch has no end of its own: the API server ends one at any moment, but always between two
events. Who knows that place may do the same, and no client takes it for a fault. The formats are
those of apimachinery ``pkg/runtime/serializer`` (json.Framer, protobuf's LengthDelimitedFramer).
Pure: it knows nothing of connections.
"""

from typing import Final

_LENGTH_BYTES: Final = 4


class Lines:
    """JSON: each event is a line that begins with its type (metav1.WatchEvent), since line ends
    within strings are escaped. What begins otherwise, as a list does, is taken for one long event.

    Attributes:
        between: the bytes so far are whole events.
    """

    __slots__ = ("_begun", "_events", "between")

    def __init__(self) -> None:
        self.between = True
        self._begun = False
        self._events = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, which are not empty."""
        if not self._begun:
            self._begun = True
            self._events = data.startswith(b'{"type"')
        self.between = self._events and data.endswith(b"\n")


class Frames:
    """Protobuf: each event follows its length, four bytes with the highest first."""

    __slots__ = ("_left", "_length")

    def __init__(self) -> None:
        # Of the event's length: what has come. Of the event itself: how much is to come.
        self._length = b""
        self._left = 0

    @property
    def between(self) -> bool:
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


def events_of(content_type: bytes | None) -> Lines | Frames | None:
    """Follows a watch of that ``Content-Type``; None if its events cannot be told apart."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    if kind == b"application/json":
        return Lines()
    if kind == b"application/vnd.kubernetes.protobuf":
        return Frames()
    return None
