"""The requests that wait for an answer, as the inspector shows them."""

from collections.abc import Callable
from typing import Protocol


class PendingSource(Protocol):
    """The requests that wait for an answer.

    Attributes:
        changes: how often they have changed.
    """

    @property
    def changes(self) -> int: ...

    def listed(self) -> bytes:
        """What is shown of them, as a JSON object."""
        ...

    def notify(self, on_change: Callable[[], None]) -> None:
        """Call *on_change* at each change."""
