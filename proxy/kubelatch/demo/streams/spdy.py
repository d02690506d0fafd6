"""SPDY/3.1, as much of it as kubectl speaks.

The server's side of the SPDY draft 3.1 framing, made to match moby/spdystream, the only client in
use: no push, no settings, and no flow control windows. What is not read from a stream holds up its
whole connection, as there.
"""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator

from .pipe import CHUNK, StreamPipe
from .wire import Wire

_DATA, _SYN_STREAM, _SYN_REPLY, _RST_STREAM = 0, 1, 2, 3
_PING, _GOAWAY, _HEADERS = 6, 7, 8
_VERSION = 3
_CONTROL = 0x8000
_FIN = 0x01
_PROTOCOL_ERROR, _INVALID_STREAM = 1, 2
_NAMES = (
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,"
    "accept-ranges,age,allow,authorization,cache-control,connection,content-base,"
    "content-encoding,content-language,content-length,content-location,content-md5,"
    "content-range,content-type,date,etag,expect,expires,from,host,if-match,if-modified-since,"
    "if-none-match,if-range,if-unmodified-since,last-modified,location,max-forwards,pragma,"
    "proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,"
    "transfer-encoding,upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,"
    "200 OK,version,HTTP/1.1,url,public,set-cookie,keep-alive,origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
    "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,"
    "deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary(names: str, tail: str) -> bytes:
    entries = (struct.pack(">I", len(name)) + name.encode() for name in names.split(","))
    return b"".join(entries) + tail.encode()


DICTIONARY = _dictionary(_NAMES, _TAIL)
"""The compression dictionary of SPDY/3, section 2.6.10.1 of the draft."""


class SpdyStream:
    """One stream: its headers, what arrives on it, and a way to write."""

    def __init__(self, connection: "SpdyConnection", number: int, headers: dict[str, str]) -> None:
        self._connection = connection
        self.number = number
        self.headers = headers
        self.inbound = StreamPipe()
        self._finished = False

    async def write(self, data: bytes) -> None:
        """Send data.

        Raises:
            ConnectionError: the client is gone, or has reset the stream.
        """
        for start in range(0, len(data), CHUNK):
            if self._finished:
                raise BrokenPipeError("the stream is closed")
            await self._connection.send_data(self.number, 0, data[start : start + CHUNK])

    async def finish(self) -> None:
        """Close our half of the stream."""
        if not self._finished:
            self._finished = True
            await self._connection.send_data(self.number, _FIN, b"")

    def reset(self) -> None:
        """The client has given the stream up."""
        self._finished = True
        self.inbound.end()


class SpdyConnection:
    """The server's end of a SPDY connection.

    Args:
        wire: the bytes below.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self._streams: dict[int, SpdyStream] = {}
        self._accepted: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    async def accept(self) -> SpdyStream | None:
        """The next stream that the client opens; None when the connection has ended."""
        return await self._accepted.get()

    async def run(self) -> None:
        """Read frames until the client leaves or breaks the protocol."""
        try:
            async for kind, flags, body in self._frames():
                await self._dispatch(kind, flags, body)
        except (zlib.error, struct.error, UnicodeDecodeError):
            return
        finally:
            for stream in self._streams.values():
                stream.reset()
            self._accepted.put_nowait(None)

    async def send_data(self, number: int, flags: int, data: bytes) -> None:
        """Send one data frame."""
        await self._wire.write(struct.pack(">II", number, flags << 24 | len(data)) + data)

    async def go_away(self) -> None:
        """Say that no further stream will be served."""
        last = max(self._streams, default=0)
        await self._control(_GOAWAY, 0, struct.pack(">II", last, 0))

    async def _frames(self) -> AsyncIterator[tuple[int, int, bytes]]:
        """Type, flags and body of each frame; that of a data frame begins with its stream."""
        while True:
            if not await self._fill(8):
                return
            first, second = struct.unpack_from(">II", self._buffer)
            end = 8 + (second & 0xFFFFFF)
            if not await self._fill(end):
                return
            body = bytes(self._buffer[8:end])
            del self._buffer[:end]
            if first >> 16 & _CONTROL:
                if first >> 16 & 0x7FFF != _VERSION:
                    return
                yield first & 0xFFFF, second >> 24, body
            else:
                yield 0, second >> 24, struct.pack(">I", first) + body

    async def _fill(self, size: int) -> bool:
        """Read until that many bytes are held; false at the end."""
        while len(self._buffer) < size:
            if not (data := await self._wire.read()):
                return False
            self._buffer += data
        return True

    async def _dispatch(self, kind: int, flags: int, body: bytes) -> None:
        if kind == _DATA:
            await self._data(flags, body)
        elif kind == _SYN_STREAM:
            await self._open(flags, body)
        elif kind == _RST_STREAM:
            (number,) = struct.unpack_from(">I", body)
            if stream := self._streams.get(number):
                stream.reset()
        elif kind == _PING:
            await self._control(_PING, 0, body)
        elif kind == _HEADERS:
            self._headers(body[4:])

    async def _data(self, flags: int, body: bytes) -> None:
        (number,) = struct.unpack_from(">I", body)
        stream = self._streams.get(number)
        if stream is None:
            await self._control(_RST_STREAM, 0, struct.pack(">II", number, _INVALID_STREAM))
            return
        try:
            await stream.inbound.write(body[4:])
        except BrokenPipeError:
            return
        if flags & _FIN:
            stream.inbound.end()

    async def _open(self, flags: int, body: bytes) -> None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        headers = self._headers(body[10:])
        if number in self._streams or not number & 1:
            await self._control(_RST_STREAM, 0, struct.pack(">II", number, _PROTOCOL_ERROR))
            return
        stream = SpdyStream(self, number, headers)
        self._streams[number] = stream
        if flags & _FIN:
            stream.inbound.end()
        block = self._deflate.compress(struct.pack(">I", 0))
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._control(_SYN_REPLY, 0, struct.pack(">I", number) + block)
        self._accepted.put_nowait(stream)

    def forget(self, stream: SpdyStream) -> None:
        """A stream that is done with on both sides."""
        self._streams.pop(stream.number, None)

    def _headers(self, block: bytes) -> dict[str, str]:
        """Names in lower case; the compression state goes on from block to block."""
        data = self._inflate.decompress(block)
        (count,) = struct.unpack_from(">I", data)
        place, texts = 4, []
        for _ in range(2 * count):
            (size,) = struct.unpack_from(">I", data, place)
            texts.append(data[place + 4 : place + 4 + size].decode())
            place += 4 + size
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}

    async def _control(self, kind: int, flags: int, body: bytes) -> None:
        head = struct.pack(">HHI", _CONTROL | _VERSION, kind, flags << 24 | len(body))
        await self._wire.write(head + body)
