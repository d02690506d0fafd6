"""A command in a container that does not exist, and the table of commands.

Nothing here ever starts a process of the machine it runs on.
"""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from .files import FileSystem
from .pipe import Sink, StreamPipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """Where commands run."""

    hostname: str
    environment: Mapping[str, str]
    files: FileSystem
    server: str = ""
    """The URL of the API server, as it can be reached from this process."""


@dataclass(slots=True, kw_only=True)
class Process:
    """One running command: its words, its streams, and the state it shares with its shell."""

    container: Container
    arguments: list[str]
    stdin: StreamPipe
    stdout: Sink
    stderr: Sink
    terminal: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    """Shared by what runs in one shell; ``PWD`` is the directory, ``?`` the last exit code."""
    foreground: asyncio.Task[int] | None = None

    @property
    def files(self) -> FileSystem:
        """The container's files."""
        return self.container.files

    @property
    def directory(self) -> str:
        """The working directory."""
        return self.environment.get("PWD", "/")

    def path(self, name: str) -> str:
        """An absolute, normal path; ``..`` stops at the root."""
        return posixpath.normpath("/" + posixpath.join(self.directory, name).lstrip("/"))

    async def complain(self, text: str) -> int:
        """Write to stderr; the exit code of failure."""
        await self.stderr.write(f"{self.arguments[0]}: {text}\n".encode())
        return 1


CommandFunction = Callable[[Process], Awaitable[int]]
COMMANDS: dict[str, CommandFunction] = {}
"""All there is to run, by name; filled by the modules of commands."""


def command(*names: str) -> Callable[[CommandFunction], CommandFunction]:
    """Make a function a command."""

    def register(function: CommandFunction) -> CommandFunction:
        COMMANDS.update(dict.fromkeys(names, function))
        return function

    return register


def is_command(name: str) -> bool:
    """Whether there is such a command, named plainly or by a path in a ``bin``."""
    return lookup(name) is not None


def lookup(name: str) -> CommandFunction | None:
    """The function of a command, or None."""
    directory, base = posixpath.split(name)
    return COMMANDS.get(base) if directory in {"", "/bin", "/usr/bin", "/usr/local/bin"} else None
