"""What a client's connection calls: the exchange under way, or the tunnel after an upgrade."""

from typing import Protocol

from ..errors import KubelatchError


class ClientExchange(Protocol):
    """The exchange under way."""

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""

    def on_client_resumed(self) -> None:
        """It takes bytes again."""

    def cancel(self) -> None:
        """The connection is lost."""

    def fail(self, error: KubelatchError) -> None:
        """It cannot go on."""


class ClientTunnel(Protocol):
    """What takes a client's bytes after an upgrade."""

    def on_client_data(self, data: bytes) -> None:
        """Bytes of the new protocol."""

    def on_client_eof(self) -> bool:
        """The client sends no more; True keeps our side open."""
        ...

    def on_client_lost(self, exc: BaseException | None) -> None:
        """The connection is lost."""
