"""Those whom a client's connection serves beside HTTP, as it sees them."""

from typing import Protocol


class Writer(Protocol):
    """Who writes to the client's transport directly."""

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""

    def on_client_resumed(self) -> None:
        """It takes bytes again."""


class ClientTunnel(Protocol):
    """Who takes a client's bytes after an upgrade."""

    def on_client_data(self, data: bytes) -> None:
        """Bytes of the new protocol."""

    def on_client_eof(self) -> bool:
        """The client sends no more; True keeps our side open."""
        ...

    def on_client_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""


class Ongoing(Protocol):
    """A request that is being answered, of which aiohttp knows nothing."""

    def cancel(self) -> object:
        """The connection is gone."""
