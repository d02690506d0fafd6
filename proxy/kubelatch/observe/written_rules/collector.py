"""Counts what rules must allow for the requests of records to pass.

It is given records in batches, as the request log is, and holds a bounded number of permissions
whatever clients send.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from ...gate.head import Found, sort_fields
from ...gate.request_info import request_info
from ...gate.rules import all_required
from ...http1.fields import Fields
from ...http1.target import path_variants
from ...relay.record import Record
from ..access_log.request_view import RequestView, RequestViews
from .outcomes import RequestOutcome, outcome_of
from .permissions import Permission, permission_of

MAX_PERMISSIONS: Final = 10_000
"""Different ones that are kept: of a kilobyte each at most."""
# Longer targets seldom repeat, and their views are not cached either.
_LONGEST_CACHED: Final = 512
_CACHE_SIZE: Final = 1024

Needed = tuple[Permission, ...] | None


class PermissionCollector:
    """See the module.

    Args:
        views: parses the requests of records.
        with_names: permissions are for the named objects alone.
        chosen: returns the alias of the chosen context, as records have it where there are several;
            what goes to others does not count.

    Attributes:
        counts: how often each permission was needed.
        outcomes: how many requests had which outcome.
    """

    def __init__(
        self, views: RequestViews, *, with_names: bool, chosen: Callable[[], str] = str
    ) -> None:
        self._views = views
        self._chosen = chosen
        self._with_names = with_names
        self._cached = lru_cache(_CACHE_SIZE)(self._permissions)
        self.counts: Counter[Permission] = Counter()
        self.outcomes: Counter[RequestOutcome] = Counter()

    def take(self, records: Iterable[Record]) -> None:
        """Count requests."""
        chosen = self._chosen()
        for record in records:
            if record.context and record.context != chosen:
                self.outcomes[RequestOutcome.ELSEWHERE] += 1
                continue
            view = self._views.read(record)
            outcome = outcome_of(record, view)
            if outcome is RequestOutcome.COUNTED:
                outcome = self._count(self._needed(record, view))
            self.outcomes[outcome] += 1

    def _count(self, needed: Needed) -> RequestOutcome:
        if needed is None:
            return RequestOutcome.NO_RULE
        counts = self.counts
        new = sum(permission not in counts for permission in needed)
        if new and len(counts) + new > MAX_PERMISSIONS:
            return RequestOutcome.TOO_MANY
        for permission in needed:
            counts[permission] += 1
        return RequestOutcome.COUNTED

    def _needed(self, record: Record, view: RequestView) -> Needed:
        if record.carrier is not None:
            # Which pod it leads to is not known here.
            carrying = permission_of(record.carrier, with_name=False)
            return None if carrying is None else (carrying,)
        if view.info.verb == "patch" or any(
            name[:11].lower() == b"impersonate" for name, _ in record.headers
        ):
            found = sort_fields(Fields(record.headers))
            if isinstance(found, dict):
                return self._permissions(record.method, record.target, view, found)
        if len(record.target) > _LONGEST_CACHED:
            return self._permissions(record.method, record.target, view)
        return self._cached(record.method, record.target, view)

    def _permissions(
        self, method: str, target: str, view: RequestView, found: Found | None = None
    ) -> Needed:
        """The permissions that a request needs; None if one of them cannot be written."""
        infos = [view.info]
        if "//" in view.info.path:
            # As the gate does.
            query = target.partition("?")[2]
            infos = [request_info(method, path, query) for path in path_variants(view.info.path)]
        needed: dict[Permission, None] = {}
        for info in infos:
            for each in all_required(info, found or {}, method):
                permission = permission_of(each, with_name=self._with_names)
                if permission is None:
                    return None
                needed[permission] = None
        return tuple(needed)
