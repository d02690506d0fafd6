"""What an exchange knows of one attempt to carry it out, be it plain or an upgrade."""

import enum
from typing import Protocol

from ..errors import KubelatchError


class Outcome(enum.Enum):
    """How an attempt ended."""

    #: The client has its response, or has had its tunnel.
    COMPLETE = "complete"
    #: The client got a beginning, and then the end of its connection.
    CUT = "cut"
    #: These three: the client has got nothing.
    FAILED = "failed"
    STALE = "stale"
    UNAUTHORIZED = "unauthorized"
    #: It was given up, and reports nothing.
    WITHDRAWN = "withdrawn"


class Attempt(Protocol):
    """One attempt: a request on its way, and its response.

    Attributes:
        outcome: how it ended; None before.
        failure: what went wrong, unless it is complete.
        paused: the client does not keep up.
    """

    outcome: Outcome | None
    failure: KubelatchError | None
    paused: bool

    def fail(self, error: KubelatchError) -> None:
        """End it: with *error* if the client has got nothing yet, else by a cut."""

    def send_held(self) -> None:
        """Send the response of 401 after all: there is no other credential."""

    def end_between_events(self) -> bool:
        """End a watch as the API server itself ends one, if it is between two events now.

        Returns:
            False if this is no watch, or within an event: it goes on.
        """
        ...

    @property
    def head_received(self) -> bool:
        """The upstream has begun to respond."""
        ...

    def on_client_paused(self) -> None:
        """The client takes no more bytes for now."""

    def on_client_resumed(self) -> None:
        """It takes bytes again."""
