"""Cuts what a client sends into pieces of which none goes beyond the message that it belongs to.

A parser that is fed such pieces has at most one message at a time, and never a byte of what comes
behind it. Pure: it knows how messages end (RFC 9112 sections 2.1 and 7.1), and nothing of what is
in them.
"""

from typing import Final

_END_OF_HEAD: Final = b"\r\n\r\n"


class Cutter:
    """Follows one stream of messages.

    Attributes:
        body_left: of the message that is being fed: how much of its body is to come, if that is
            known by its length. Whoever reads the heads sets it.
    """

    __slots__ = ("_edge", "body_left")

    def __init__(self) -> None:
        self.body_left = 0
        # The last bytes of an unfinished head: its end may straddle two reads.
        self._edge = b""

    def next_stop(self, data: bytes, start: int) -> int:
        """Where the piece from *start* on ends, which is then taken for fed.

        An empty line ends heads and chunked bodies, trailers included; one within chunked data
        makes two pieces of one, which is no harm.
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
