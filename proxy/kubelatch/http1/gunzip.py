"""Decompressing an answer while it streams, in bounded memory.

Only for answers whose compression we asked for on the client's behalf. A kilobyte of gzip can
hold a megabyte of zeros, so what comes out is taken in slices, and what is not yet decoded
waits compressed.
"""

import zlib
from collections.abc import Iterator
from typing import Final

_SLICE: Final = 256 * 1024
# zlib's window bits for gzip framing (RFC 1952) and nothing else.
_GZIP_FRAMING: Final = 31


class CorruptError(ValueError):
    """The bytes are not gzip."""


class Gunzip:
    """A gzip stream of one or more members, as Go's ``compress/gzip`` reads it.

    Attributes:
        pending: compressed bytes that :meth:`slices` has not decoded yet.
    """

    __slots__ = ("_decoder", "_fresh", "_unjoined", "pending")

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP_FRAMING)
        # Nothing has come; an empty stream is as good as a whole one.
        self._fresh = True
        # Joined at once: one read may bring a hundred chunks.
        self._unjoined: list[bytes] = []
        self.pending = b""

    def feed(self, data: bytes) -> None:
        """Add compressed bytes."""
        self._fresh = False
        self._unjoined.append(data)

    def slices(self) -> Iterator[bytes]:
        """Decoded bytes, a slice at a time; may be left early and begun again.

        Raises:
            CorruptError: the stream is broken.
        """
        if self._unjoined:
            self.pending += b"".join(self._unjoined)
            self._unjoined.clear()
        while self.pending:
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(_GZIP_FRAMING)
            try:
                out = self._decoder.decompress(self.pending, _SLICE)
            except zlib.error as exc:
                raise CorruptError(str(exc)) from exc
            self.pending = self._decoder.unconsumed_tail or self._decoder.unused_data
            if out:
                yield out

    @property
    def complete(self) -> bool:
        """All that was fed is decoded, and it ended where a member ends."""
        return self._fresh or (not self._unjoined and not self.pending and self._decoder.eof)
