"""Decompresses a streaming response in bounded memory.

Only for responses to requests in which the proxy itself asked for gzip. A kilobyte of gzip can
decompress to a megabyte, so the output is produced in slices, and the rest is kept compressed.
"""

import zlib
from collections.abc import Iterator
from typing import Final

_SLICE: Final = 256 * 1024
# zlib's window bits for gzip framing only (RFC 1952).
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
        # Nothing was fed; an empty stream is complete.
        self._fresh = True
        # Joined once per read, which may deliver a hundred chunks.
        self._unjoined: list[bytes] = []
        self.pending = b""

    def feed(self, data: bytes) -> None:
        """Add compressed bytes."""
        self._fresh = False
        self._unjoined.append(data)

    def slices(self) -> Iterator[bytes]:
        """Yield decoded bytes in slices; iteration may stop early and continue with a new call.

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
        """Whether all input is decoded, and ended at the end of a gzip member."""
        return self._fresh or (not self._unjoined and not self.pending and self._decoder.eof)
