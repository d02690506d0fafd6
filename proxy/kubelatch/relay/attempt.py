"""One attempt at an exchange: how it may end, and what it belongs to."""

import enum
from collections.abc import Callable
from typing import Protocol

from ..upstream.pool import Pool


class Outcome(enum.Enum):
    """How an attempt ended."""

    ANSWERED = "answered"
    # The client got a beginning, and then the end of its connection.
    CUT = "cut"
    # These three: the client has got nothing.
    FAILED = "failed"
    STALE = "stale"
    UNAUTHORIZED = "unauthorized"
    # Another attempt was answered; nobody is told of this one's end.
    WITHDRAWN = "withdrawn"


class Owner(Protocol):
    """The exchange that an attempt belongs to."""

    pool: Pool | None

    def repeat(self, over: Callable[[bool], None]) -> bool:
        """See :meth:`kubelatch.exchange.Exchange.repeat`."""
        ...
