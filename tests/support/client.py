"""A client that sends exactly the bytes it is told to, and reads answers strictly."""

import asyncio
from dataclasses import dataclass
from typing import Self

from .upstream import read_chunked


@dataclass
class Answer:
    """A response: the head's bytes, and the body with its framing removed.

    ``whole`` is False when the connection ended before the body did.
    """

    head: bytes
    body: bytes
    whole: bool = True

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def values(self, name: str) -> list[str]:
        pairs = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [
            v.strip().decode("latin-1") for k, _, v in pairs if k.decode().lower() == name.lower()
        ]


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str) -> "Client":
        """Connect to ``host:port``, ``[v6]:port``, a socket's path or its abstract ``@name``."""
        if address.startswith("@"):
            name = "\0" + address[1:]
            return cls(*await asyncio.open_unix_connection(name, limit=2**20))
        if "/" in address:
            return cls(*await asyncio.open_unix_connection(address, limit=2**20))
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port), limit=2**20))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.writer.close()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Read one response."""
        return await read_answer(self.reader, head_only=head_only)

    async def to_end(self) -> tuple[bytes, bool]:
        """All bytes until the connection ends, and whether it ended cleanly, not by a reset."""
        data = b""
        try:
            while piece := await self.reader.read(2**16):
                data += piece
        except ConnectionError:
            return data, False
        return data, True

    async def get(self, target: str, *fields: str, method: str = "GET") -> Answer:
        """Send a request without a body, and read its response."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        return await self.answer(head_only=method == "HEAD")


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """Read one response; raises IncompleteReadError if it ends within its head."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    answer = Answer(head, b"")
    if head_only or answer.status in {204, 304} or answer.status < 200:
        return answer
    try:
        if answer.values("transfer-encoding") == ["chunked"]:
            answer.body = await read_chunked(reader)
        elif answer.values("content-length"):
            answer.body = await reader.readexactly(int(answer.values("content-length")[0]))
        else:
            answer.body = await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        answer.whole = False
    return answer
