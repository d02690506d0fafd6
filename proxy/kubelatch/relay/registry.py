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


def _nobody(_record: Record) -> None:
    """Takes a record that nobody waits for."""


class Registry:
    """See the module.

    Args:
        on_end: see below.

    Attributes:
        on_end: gets the record of each exchange when it is over; may be set at any time.
        on_begin: gets it when its request has passed the gate; None: nobody does.
        draining: no exchange that begins now leaves its client's connection open.
        keeps_errors: records get the beginning of some error responses; an observer may ask for it.
    """

    def __init__(self, on_end: Observer = _nobody) -> None:
        self._exchanges: set[Exchange] = set()
        self.on_end = on_end
        self.on_begin: Observer | None = None
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
        if self.on_begin is not None:
            self.on_begin(record)

    def discard(self, exchange: "Exchange") -> None:
        """Forget an exchange that is over, and report it."""
        self._exchanges.discard(exchange)
        record = exchange.record
        record.ended = time.monotonic()
        self.on_end(record)

    def forget_observers(self) -> None:
        """Report to nobody from now on."""
        self.on_end, self.on_begin = _nobody, None

    def replace(self, exchange: "Exchange") -> None:
        """Forget an exchange whose request another one takes over, and report nothing."""
        self._exchanges.discard(exchange)

    def report(self, record: Record) -> None:
        """Report what is over, be it an exchange or a request that became none."""
        record.ended = time.monotonic()
        self.on_end(record)
