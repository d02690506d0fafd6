"""Counts all exchanges by client and by resource, also those that are not kept.

Durations go into buckets whose bounds are at most an eighth apart, from a microsecond on, so that
quantiles are that exact and need no samples.
"""

import math
from collections.abc import Sequence
from heapq import nlargest
from typing import Any, Final, TypeAlias, TypeVar

from ...relay.record import Record
from ..access_log.request_view import RequestViews, user_agent

# Clients and resources that are counted by themselves; the rest is one.
MAX_NAMES: Final = 200
_OTHER: Final = "others"
_MAX_PAIRS: Final = 1000
# Of these, the busiest are shown.
_SHOWN: Final = 50
# Seconds over which a rate is smoothed.
_SMOOTH: Final = 5.0
_SUB_BUCKETS: Final = 8
_BITS: Final = 3

# Address, user id and user agent.
_ClientKey: TypeAlias = tuple[str, int | None, str]
_Key = TypeVar("_Key")


class _Total:
    """What is counted for one client or resource."""

    __slots__ = ("_seen", "buckets", "bytes", "count", "errors", "rate")

    def __init__(self) -> None:
        self.count = self.bytes = self.errors = self._seen = 0
        self.rate = 0.0
        self.buckets: dict[int, int] = {}

    def add(self, other: "_Total") -> None:
        self.count += other.count
        self.bytes += other.bytes
        self.errors += other.errors
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def smooth(self, seconds: float) -> None:
        share = 1 - math.exp(-seconds / _SMOOTH)
        self.rate += ((self.count - self._seen) / seconds - self.rate) * share
        self._seen = self.count

    def quantile(self, share: float) -> float:
        """Milliseconds that at most that share of the exchanges took."""
        wanted = share * sum(self.buckets.values())
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return _upper(bucket) / 1000
        return 0.0

    def json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "rate": round(self.rate, 2) if self.rate >= 0.01 else 0,
            "bytes": self.bytes,
            "errors": self.errors,
            "p50_ms": round(self.quantile(0.5), 3),
            "p99_ms": round(self.quantile(0.99), 3),
        }


def _bucket(seconds: float) -> int:
    """The bucket of a duration: exact up to 16 µs, then eight for each power of two."""
    number = int(seconds * 1e6)
    bits = number.bit_length()
    if bits <= _BITS + 1:
        return number
    shift = bits - _BITS - 1
    return shift * _SUB_BUCKETS + (number >> shift)


def _upper(bucket: int) -> int:
    """The upper bound of a bucket, in microseconds."""
    if bucket < 2 * _SUB_BUCKETS:
        return bucket + 1
    shift, low = divmod(bucket, _SUB_BUCKETS)
    shift -= 1
    return (low + _SUB_BUCKETS + 1) << shift


class ExchangeTotals:
    """ExchangeTotals by client and by resource.

    Args:
        views: parses requests.
        now: a time on the clock of records.
    """

    def __init__(self, views: RequestViews, now: float) -> None:
        self._views = views
        # By client and resource, since they were added to both sums last.
        self._pairs: dict[tuple[str, int | None, str, str], _Total] = {}
        self._clients: dict[_ClientKey, _Total] = {}
        self._resources: dict[str, _Total] = {}
        self._smoothed = now

    def add(self, records: Sequence[Record]) -> None:
        """Count exchanges that have ended."""
        read, pairs = self._views.read, self._pairs
        for record in records:
            view = read(record)
            key = record.client, record.uid, user_agent(record), view.kind
            total = pairs.get(key)
            if total is None:
                if len(pairs) >= _MAX_PAIRS:
                    self._sum_up()
                total = pairs[key] = _Total()
            total.count += 1
            total.bytes += record.sent
            if record.status >= 400 or not record.status:
                total.errors += 1
            if not view.stream:
                bucket = _bucket(record.ended - record.started)
                total.buckets[bucket] = total.buckets.get(bucket, 0) + 1

    def _sum_up(self) -> None:
        """Add what has been counted since the last time to both sums."""
        for (client, uid, agent, kind), counted in self._pairs.items():
            key, name = (client, uid, agent), kind or "(none)"
            for total in (
                self._clients.get(key) or self._new(self._clients, key, (_OTHER, None, "")),
                self._resources.get(name) or self._new(self._resources, name, _OTHER),
            ):
                total.add(counted)
        self._pairs.clear()

    @staticmethod
    def _new(totals: dict[Any, _Total], key: Any, other: Any) -> _Total:
        if len(totals) >= MAX_NAMES:
            key = other
        return totals.setdefault(key, _Total())

    def clear(self) -> None:
        """Count from zero."""
        self._pairs.clear()
        self._clients.clear()
        self._resources.clear()

    def json(self, now: float) -> dict[str, Any]:
        """The totals, those with the highest rates first.

        Args:
            now: the time on the clock of records.
        """
        self._sum_up()
        seconds = now - self._smoothed
        if seconds >= 0.5:
            self._smoothed = now
            for total in (*self._clients.values(), *self._resources.values()):
                total.smooth(seconds)
        clients = [
            {
                "client": client,
                **({} if uid is None else {"uid": uid}),
                **({"user_agent": agent} if agent else {}),
                **total.json(),
            }
            for (client, uid, agent), total in _busiest(self._clients)
        ]
        resources = [{"resource": key, **total.json()} for key, total in _busiest(self._resources)]
        return {"clients": clients, "resources": resources}


def _busiest(totals: dict[_Key, _Total]) -> list[tuple[_Key, _Total]]:
    return nlargest(_SHOWN, totals.items(), key=lambda item: (item[1].rate, item[1].count))
