"""Request lines with non-ASCII bytes in their target, for a parser that refuses them.

Clients such as curl send UTF-8 in URLs unescaped, and Go's servers accept it, though RFC 3986 does
not allow it. The parser gets a letter instead of each such byte, and the target is restored
afterwards, so that the gate and the upstream get the original bytes. Pure.
"""

from typing import Final

# A letter cannot make an invalid method, version, scheme or port valid.
_LETTERS: Final = bytes(range(128)) + b"x" * 128


class RequestLine:
    """The request line of one request, in pieces as received."""

    __slots__ = ("_ended", "_line")

    def __init__(self) -> None:
        self._line = b""
        self._ended = False

    def readable(self, piece: bytes) -> bytes:
        """The bytes to feed to the parser for the next piece of the head; of the same length."""
        if self._ended:
            return piece
        before = len(self._line)
        # RFC 9112 section 2.2: empty lines may come first.
        start = 0 if before else len(piece) - len(piece.lstrip(b"\r\n"))
        stop = piece.find(b"\n", start) + 1
        self._ended = stop > 0
        stop = stop or len(piece)
        self._line += piece[start:stop]
        method = self._line.find(b" ")
        if method < 0:
            # The parser refuses a method that is not ASCII.
            return piece
        start += max(0, method - before)
        return piece[:start] + piece[start:stop].translate(_LETTERS) + piece[stop:]

    def target(self, read: str) -> str:
        """The target as it was sent; bytes that are not UTF-8 become surrogate escapes.

        Args:
            read: the target from the parser.
        """
        if self._line.isascii():
            return read
        return self._line.split(None, 2)[1].decode("utf-8", "surrogateescape")
