"""A line discipline, for ``exec -t``: echo, line editing, ^C, ^D, and carriage returns.

What a kernel's tty does in canonical mode, as far as a person at a shell prompt notices.
"""

from collections.abc import Callable

from .pipe import Sink, Source, StreamPipe

_INTERRUPT, _END, _KILL = 0x03, 0x04, 0x15
_ERASE = frozenset({0x08, 0x7F})


class Terminal:
    """Between the raw bytes of a client and a process that reads lines.

    Args:
        raw: what the client types.
        screen: what it sees.
        interrupt: called on ^C.
    """

    def __init__(self, raw: Source, screen: Sink, interrupt: Callable[[], None]) -> None:
        self._raw = raw
        self._screen = screen
        self._interrupt = interrupt
        self.stdin = StreamPipe()
        self._line = bytearray()

    async def write(self, data: bytes) -> None:
        """Show output; newlines return the carriage too."""
        await self._screen.write(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    async def run(self) -> None:
        """Read what is typed until it ends."""
        try:
            while data := await self._raw.read():
                for byte in data:
                    await self._type(byte)
        finally:
            self.stdin.end()

    async def _type(self, byte: int) -> None:
        if byte in b"\r\n":
            self._line.append(ord("\n"))
            await self.write(b"\n")
            await self._submit()
        elif byte == _INTERRUPT:
            self._line.clear()
            await self.write(b"^C\n")
            self._interrupt()
        elif byte == _END:
            if self._line:
                await self._submit()
            else:
                self.stdin.end()
        elif byte in _ERASE:
            if self._line:
                del self._line[-1]
                await self._screen.write(b"\b \b")
        elif byte == _KILL:
            await self._screen.write(b"\b \b" * len(self._line))
            self._line.clear()
        else:
            self._line.append(byte)
            await self._screen.write(bytes([byte]))

    async def _submit(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        await self.stdin.write(line)
