"""MetricsCollector in Prometheus' format.

Records are counted in plain dictionaries, batch by batch; prometheus-client's families are made
of them at each scrape. The number of label values is bounded whatever clients send: a resource is
named only if it is one of Kubernetes' own or the API server has responded successfully for it.
Exchanges in flight count with the bytes that they have moved so far.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..relay.record import Record
from .access_log.formats import upstream_time
from .access_log.request_view import RequestViews, is_refusal
from .process_metrics import ProcessMetrics
from .state_metrics import Snapshot, families

_OTHER: Final = "other"
# A cluster with many operators has about three hundred kinds of resources.
_MAX_RESOURCES: Final = 500
_MAX_RESOURCE_LENGTH: Final = 100
# As in `deployments.apps/scale`; other path segments are no resource's name.
_RESOURCE: Final = re.compile(r"[a-z0-9][a-z0-9.-]*(/[A-Za-z0-9-]+)?")

_VERBS: Final = frozenset(
    """
    get list watch create update patch delete deletecollection proxy
    head post put options
    """.split()  # noqa: SIM905 -- lines that can be read at a glance
)
_CODES: Final = {status.value: str(status.value) for status in HTTPStatus}
_BUILT_IN: Final = frozenset(
    """
    bindings componentstatuses configmaps endpoints events limitranges namespaces nodes
    persistentvolumeclaims persistentvolumes pods podtemplates replicationcontrollers
    resourcequotas secrets serviceaccounts services pods/log pods/exec pods/attach
    pods/portforward pods/proxy services/proxy nodes/proxy pods/status pods/eviction
    pods/ephemeralcontainers serviceaccounts/token daemonsets.apps deployments.apps
    replicasets.apps statefulsets.apps deployments.apps/scale statefulsets.apps/scale
    cronjobs.batch jobs.batch horizontalpodautoscalers.autoscaling
    leases.coordination.k8s.io endpointslices.discovery.k8s.io events.events.k8s.io
    ingresses.networking.k8s.io networkpolicies.networking.k8s.io
    poddisruptionbudgets.policy clusterroles.rbac.authorization.k8s.io
    clusterrolebindings.rbac.authorization.k8s.io roles.rbac.authorization.k8s.io
    rolebindings.rbac.authorization.k8s.io storageclasses.storage.k8s.io
    customresourcedefinitions.apiextensions.k8s.io
    selfsubjectaccessreviews.authorization.k8s.io
    selfsubjectrulesreviews.authorization.k8s.io
    """.split()  # noqa: SIM905 -- lines that can be read at a glance
)
_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ASK_BUCKETS: Final = (1, 5, 15, 30, 60, 120, 300, 900, 3600)
_STREAM_BUCKETS: Final = (1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


class _Histogram:
    """Counts by upper bound, for each label value."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._bounds = buckets
        # Behind the counts stands the sum.
        self._counts: dict[str, list[float]] = {}

    def observe(self, label: str, value: float) -> None:
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = [0] * (len(self._bounds) + 2)
        counts[bisect_left(self._bounds, value)] += 1
        counts[-1] += value

    def family(self, name: str, text: str, label: str = "") -> Metric:
        """The metric family; with an empty *label*, of the one histogram without labels."""
        family = HistogramMetricFamily(name, text, labels=[label] if label else [])
        if not label:
            self._counts.setdefault("", [0] * (len(self._bounds) + 2))
        for key, (*counts, sum_) in self._counts.items():
            total, buckets = 0.0, []
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
                total += count
                buckets.append((_bound(bound), total))
            family.add_metric([key] if label else [], buckets, sum_)
        return family


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else str(float(value))


@dataclass(slots=True)
class _Totals:
    """Sums over exchanges, ended or in flight."""

    received: int = 0
    sent: int = 0
    opened: int = 0
    reused: int = 0
    retries: int = 0

    def add(self, records: Iterable[Record]) -> None:
        sent = reused = 0
        for record in records:
            sent += record.sent
            reused += record.reused
            # Most have none of these.
            if record.received or record.connects or record.retries:
                self.received += record.received
                self.opened += record.connects
                self.retries += record.retries
        self.sent += sent
        self.reused += reused


@dataclass(slots=True)
class _Counters:
    """Counts by label values, of which the last one is the context."""

    requests: Counter[tuple[str, ...]] = field(default_factory=Counter)
    refusals: Counter[tuple[str, ...]] = field(default_factory=Counter)
    failures: Counter[tuple[str, ...]] = field(default_factory=Counter)
    asked: Counter[tuple[str, ...]] = field(default_factory=Counter)
    totals: _Totals = field(default_factory=_Totals)


class MetricsCollector(Collector):
    """Counts exchanges, and exposes the counts.

    Args:
        views: parses the requests of records.
        snapshot: returns the current state; called at each scrape.
        contexts: several are served, which a label tells apart.
    """

    def __init__(
        self, views: RequestViews, snapshot: Callable[[], Snapshot], *, contexts: bool = False
    ) -> None:
        self._views = views
        self._snapshot = snapshot
        self._label = ["context"] if contexts else []
        self._counters = _Counters()
        self._durations = _Histogram(_REQUEST_BUCKETS)
        self._streams = _Histogram(_STREAM_BUCKETS)
        self._upstream = _Histogram(_REQUEST_BUCKETS)
        self._waits = _Histogram(_ASK_BUCKETS)
        # Those that are named; from the start, the built-in ones and none at all.
        self._resources = {"", *_BUILT_IN}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._registry.register(ProcessMetrics())

    def count(self, records: Sequence[Record]) -> None:
        """Count exchanges that have ended."""
        counted = self._counters
        counted.totals.add(records)
        read, known, requests = self._views.read, self._resources, counted.requests
        for record in records:
            view = read(record)
            verb, resource, status = view.info.verb, view.kind, record.status
            if verb not in _VERBS:
                verb = _OTHER
            if resource not in known:
                resource = self._resource(resource, record)
            context = record.context
            requests[verb, resource, _CODES.get(status) or _code(status), context] += 1
            took = record.ended - record.started - record.ask_wait
            if view.stream:
                self._streams.observe(view.stream, took)
            else:
                self._durations.observe(verb, took)
            if record.first_byte:
                self._upstream.observe(context, upstream_time(record))
            if record.asked:
                counted.asked[record.answer, record.answered_by, context] += 1
                self._waits.observe("", record.ask_wait)
            if record.rule and is_refusal(record):
                counted.refusals[record.rule, context] += 1
            if record.cause:
                counted.failures[record.cause, context] += 1

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that an ``Accept`` field prefers, and its media type."""
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # prometheus-client fails for a version parameter that is no number.
            encode, media_type = choose_encoder("")
        return encode(self._registry), media_type

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client's registry at each scrape."""
        snapshot = self._snapshot()
        yield from self._of_requests(snapshot)
        yield from self._of_upstream(snapshot)
        yield from families(snapshot, self._label)

    def _of_requests(self, snapshot: Snapshot) -> Iterator[Metric]:
        yield self._by(
            "requests",
            "Requests that have ended, by Kubernetes verb, resource and HTTP status.",
            ["verb", "resource", "code"],
            self._counters.requests,
        )
        yield self._in_flight(snapshot)
        yield self._durations.family(
            "kubelatch_request_duration_seconds", "Duration of requests without streams.", "verb"
        )
        yield self._streams.family(
            "kubelatch_stream_duration_seconds",
            "Duration of watches, followed logs and tunnels that have ended.",
            "kind",
        )
        yield self._by("refusals", "Requests refused here.", ["rule"], self._counters.refusals)
        yield self._by(
            "failures", "Requests not carried through.", ["cause"], self._counters.failures
        )

        yield self._by(
            "asked",
            "Requests about which somebody was asked, by what became of them.",
            ["answer", "by"],
            self._counters.asked,
        )
        yield GaugeMetricFamily(
            "kubelatch_asked_pending",
            "Requests that wait for an answer.",
            sum(bool(each.asked and not each.answer) for each in snapshot.in_flight),
        )
        yield self._waits.family("kubelatch_ask_wait_seconds", "How long an answer took.")

    def _in_flight(self, snapshot: Snapshot) -> Metric:
        names = ["kind", *self._label]
        family = GaugeMetricFamily(
            "kubelatch_requests_in_flight", "Requests in flight, by kind.", labels=names
        )
        kinds = ("request", "watch", "follow", "tunnel")
        counts = Counter({(kind, state.name): 0 for state in snapshot.contexts for kind in kinds})
        for record in snapshot.in_flight:
            counts[self._views.read(record).stream or "request", record.context] += 1
        for key, count in counts.items():
            family.add_metric(key[: len(names)], count)
        return family

    def _by(
        self, name: str, text: str, names: list[str], counts: Counter[tuple[str, ...]]
    ) -> Metric:
        names = names + self._label
        family = CounterMetricFamily(f"kubelatch_{name}", text, labels=names)
        for key, count in counts.items():
            family.add_metric(key[: len(names)], count)
        return family

    def _of_upstream(self, snapshot: Snapshot) -> Iterator[Metric]:
        done = self._counters.totals
        totals = _Totals(done.received, done.sent, done.opened, done.reused, done.retries)
        totals.add(snapshot.in_flight)
        yield self._upstream.family(
            "kubelatch_upstream_duration_seconds",
            "From sending a request upstream to the head of the response.",
            "".join(self._label),
        )
        for name, text, value in (
            ("received_bytes", "Bytes of bodies from clients.", totals.received),
            ("sent_bytes", "Bytes of bodies to clients.", totals.sent),
            ("retries", "Requests that were sent upstream again.", totals.retries),
            ("upstream_connections_opened", "Upstream connections opened.", totals.opened),
            ("upstream_connections_reused", "Requests on a used connection.", totals.reused),
        ):
            yield CounterMetricFamily(f"kubelatch_{name}", text, value)

    def _resource(self, name: str, record: Record) -> str:
        """The label value of a resource that is not named yet; it may be from now on."""
        if (
            record.first_byte
            and (200 <= record.status < 300 or record.status == 101)
            and len(self._resources) <= _MAX_RESOURCES + len(_BUILT_IN)
            and len(name) <= _MAX_RESOURCE_LENGTH
            and _RESOURCE.fullmatch(name)
        ):
            self._resources.add(name)
            return name
        return _OTHER


def _code(status: int) -> str:
    """The status as a label value; ``none`` if the client got no response."""
    if not status:
        return "none"
    return _CODES.get(status, _OTHER)
