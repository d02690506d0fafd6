"""The exchanges under way: the one place where they are found.

Drain, time-outs and metrics iterate it, the log and the inspector observe it.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .record import Record

if TYPE_CHECKING:
    from .exchange import Exchange

Observer = Callable[[Record], None]


class Registry:
    """See the module.

    Args:
        on_end: gets the record of each exchange when it is over.
        on_begin: gets it when its request has passed the gate.

    Attributes:
        draining: no exchange that begins now leaves its client's connection open.
        keeps_errors: records get the beginning of some error responses; an observer may ask for it.
    """

    def __init__(self, on_end: Observer, on_begin: Observer | None = None) -> None:
        self._exchanges: set[Exchange] = set()
        self._on_end = on_end
        self._on_begin = on_begin
        self.draining = False
        self.keeps_errors = False

    def __len__(self) -> int:
        return len(self._exchanges)

    def __iter__(self) -> "Iterator[Exchange]":
        """Those under way now; they may begin and end meanwhile."""
        return iter(list(self._exchanges))

    @property
    def records(self) -> list[Record]:
        """What is known of the exchanges under way."""
        return [exchange.record for exchange in self._exchanges]

    def add(self, exchange: "Exchange") -> None:
        """Take up an exchange that begins."""
        self._exchanges.add(exchange)

    def passed(self, record: Record) -> None:
        """Report that a request has passed the gate and goes on to the upstream."""
        if self._on_begin is not None:
            self._on_begin(record)

    def discard(self, exchange: "Exchange") -> None:
        """Forget an exchange that is over, and report it."""
        self._exchanges.discard(exchange)
        self.report(exchange.record)

    def replace(self, exchange: "Exchange") -> None:
        """Forget an exchange whose request another one takes over, and report nothing."""
        self._exchanges.discard(exchange)

    def report(self, record: Record) -> None:
        """Report what is over, be it an exchange or a request that became none."""
        record.ended = time.monotonic()
        self._on_end(record)
