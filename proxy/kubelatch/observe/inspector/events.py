"""Counts the events of a watch by their type, in the bytes of its response.

The formats are those of ``http1.watch``, whose framers find boundaries alone. In CBOR, events are
not counted.
"""

from typing import Final, Protocol

_TYPES: Final = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
# The longest beginning of an event that tells its type: {"type":"BOOKMARK"
_LONGEST: Final = 18
_JSON: Final = {b'{"type":"%b"' % name.encode(): name for name in _TYPES}
# metav1.WatchEvent (apimachinery/pkg/apis/meta/v1/generated.proto): its first field is the type.
_PROTOBUF: Final = {b"\x0a%c%b" % (len(name), name.encode()): name for name in _TYPES}
_LENGTH_BYTES: Final = 4


class EventCounter(Protocol):
    """Counts events.

    Attributes:
        counts: by type.
    """

    counts: dict[str, int]

    def feed(self, data: bytes) -> None:
        """Process the next bytes."""


class _JsonCounter:
    """JSON: an event is a line."""

    __slots__ = ("_line", "counts")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        # The beginning of a line that has not told its type yet; None within a line.
        self._line: bytes | None = b""

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._line is not None:
                self._begin(self._line + data[position : position + _LONGEST - len(self._line)])
            end = data.find(b"\n", position)
            if end < 0:
                return
            position = end + 1
            self._line = b""

    def _begin(self, line: bytes) -> None:
        line = line.partition(b"\n")[0]
        if len(line) < _LONGEST and line.count(b'"') < 4:
            self._line = line
            return
        self._line = None
        _count(self.counts, _JSON, line)


class _ProtobufCounter:
    """Protobuf: each event follows its length, four bytes in big-endian order."""

    __slots__ = ("_beginning", "_left", "counts")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        # The length and the first bytes of an event; None once they have told its type.
        self._beginning: bytes | None = b""
        self._left = 0

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._beginning is None:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
            else:
                position += self._begin(self._beginning, data[position : position + _LONGEST])
            if self._beginning is None and not self._left:
                self._beginning = b""

    def _begin(self, known: bytes, more: bytes) -> int:
        """Take bytes of an event's beginning, and return how many."""
        wanted = _LENGTH_BYTES + _LONGEST
        if len(known) >= _LENGTH_BYTES:
            wanted = min(wanted, _LENGTH_BYTES + int.from_bytes(known[:_LENGTH_BYTES]))
        else:
            wanted = _LENGTH_BYTES
        taken = more[: wanted - len(known)]
        known += taken
        self._beginning = known
        if len(known) >= _LENGTH_BYTES:
            length = int.from_bytes(known[:_LENGTH_BYTES])
            if len(known) == min(_LENGTH_BYTES + _LONGEST, _LENGTH_BYTES + length):
                _count(self.counts, _PROTOBUF, known[_LENGTH_BYTES:])
                self._left = length - (len(known) - _LENGTH_BYTES)
                self._beginning = None
        return len(taken)


def _count(counts: dict[str, int], names: dict[bytes, str], beginning: bytes) -> None:
    for prefix, name in names.items():
        if beginning.startswith(prefix):
            counts[name] = counts.get(name, 0) + 1
            return


def event_counter(content_type: bytes | None) -> EventCounter | None:
    """The counter for a watch of that ``Content-Type``; None for formats that are not read."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    if kind == b"application/json":
        return _JsonCounter()
    if kind == b"application/vnd.kubernetes.protobuf":
        return _ProtobufCounter()
    return None
