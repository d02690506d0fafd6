"""Finds where a client's messages end, so that the parser is never fed beyond one of them.

A parser that is fed like this has at most one message at a time, and never a byte of what comes
after it. Pure: it knows how messages end (RFC 9112 sections 2.1 and 7.1), and nothing of what is
in them.
"""

from typing import Final

_END_OF_HEAD: Final = b"\r\n\r\n"


class Framer:
    """Follows one stream of messages.

    Attributes:
        body_left: bytes that are to come of the current message's body, if its length is known.
            The reader of the heads sets it.
    """

    __slots__ = ("_edge", "body_left")

    def __init__(self) -> None:
        self.body_left = 0
        # The last bytes of an unfinished head: its end may straddle two reads.
        self._edge = b""

    def next_stop(self, data: bytes, start: int) -> int:
        """Return where the piece of *data* that begins at *start* ends; it counts as fed.

        An empty line ends heads and chunked bodies, trailers included. One within chunked data
        splits that in two, which does no harm.
        """
        if self.body_left:
            stop = min(start + self.body_left, len(data))
            self.body_left -= stop - start
            return stop
        edge, self._edge = self._edge, b""
        if edge:
            straddling = (edge + data[start : start + 3]).find(_END_OF_HEAD)
            if straddling >= 0:
                return start + straddling + len(_END_OF_HEAD) - len(edge)
        end = data.find(_END_OF_HEAD, start)
        if end >= 0:
            return end + len(_END_OF_HEAD)
        self._edge = (edge + data[max(start, len(data) - 3) :])[-3:]
        return len(data)
