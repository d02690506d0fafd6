"""Request lines with bytes beyond ASCII in their target, for a parser that takes none.

Clients such as curl send UTF-8 in URLs as it is, and Go's servers take it, though RFC 3986 has no
such bytes. The parser is fed a letter in place of each, and the target is put back afterwards:
what is judged and forwarded is what was sent. Pure.
"""

from typing import Final

# A letter makes no method, version, scheme or port of what is none.
_LETTERS: Final = bytes(range(128)) + b"x" * 128


class RequestLine:
    """The line of one request, in the pieces in which it comes."""

    __slots__ = ("_ended", "_line")

    def __init__(self) -> None:
        self._line = b""
        self._ended = False

    def readable(self, piece: bytes) -> bytes:
        """What to feed to the parser for the next piece of the head, as long as that is."""
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
            # Nothing but ASCII may be in a method: the parser shall say so.
            return piece
        start += max(0, method - before)
        return piece[:start] + piece[start:stop].translate(_LETTERS) + piece[stop:]

    def target(self, read: str) -> str:
        """The target as it was sent; bytes that are not UTF-8 become surrogate escapes.

        Args:
            read: the target as the parser read it.
        """
        if self._line.isascii():
            return read
        return self._line.split(None, 2)[1].decode("utf-8", "surrogateescape")
