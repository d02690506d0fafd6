"""Metrics of what is now: configurations, credentials and connections, for each context."""

import platform
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .._version import __version__, is_compiled
from ..relay.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextState:
    """The state of one context, at the time of a scrape. Times are seconds since the epoch.

    Attributes:
        name: the alias; empty where there is only one context.
        idle: idle upstream connections.
        http2: HTTP/2 connections, and streams on them.
        reloads: how often a changed configuration was used.
        reload_failures: how often a changed configuration could not be used.
        reload_failed: the last changed configuration is not in use.
        refreshes: how often the credential was replaced.
        refresh_failed: the last attempt to refresh the credential failed.
        credential_expiry: None if it does not expire, or that is unknown.
        certificate_expiry: None without a client certificate.
    """

    name: str = ""
    idle: int = 0
    http2: tuple[int, int] = (0, 0)
    reloads: int = 0
    reload_failures: int = 0
    reload_failed: bool = False
    refreshes: int = 0
    refresh_failed: bool = False
    credential_expiry: float | None = None
    certificate_expiry: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state that gauges report, at the time of a scrape.

    Attributes:
        in_flight: the records of exchanges in flight.
        contexts: all that are in use.
        lines_lost: lines of the request log that could not be written.
        loop: the event loop's name.
    """

    in_flight: Collection[Record] = ()
    contexts: Sequence[ContextState] = (ContextState(),)
    lines_lost: int = 0
    loop: str = ""


_Value = Callable[[ContextState], float | None]

_COUNTERS: Final[tuple[tuple[str, str, _Value], ...]] = (
    (
        "configuration_reloads",
        "Times that the configuration was read anew and used.",
        lambda state: state.reloads,
    ),
    (
        "configuration_reload_failures",
        "Times that the configuration was read anew and could not be used.",
        lambda state: state.reload_failures,
    ),
    (
        "credential_refreshes",
        "Times that the credential was replaced by another.",
        lambda state: state.refreshes,
    ),
)
_GAUGES: Final[tuple[tuple[str, str, _Value], ...]] = (
    (
        "upstream_connections_idle",
        "Upstream connections that wait for work.",
        lambda state: state.idle,
    ),
    ("upstream_shared_connections", "Open HTTP/2 connections.", lambda state: state.http2[0]),
    ("upstream_shared_streams", "Watches on HTTP/2 connections.", lambda state: state.http2[1]),
    (
        "configuration_last_reload_successful",
        "1 if the configuration that was read last is in use.",
        lambda state: not state.reload_failed,
    ),
    (
        "credential_last_refresh_successful",
        "0 if the last attempt to get a newer credential failed.",
        lambda state: not state.refresh_failed,
    ),
    (
        "credential_expiry_timestamp_seconds",
        "When the credential expires, if that is known.",
        lambda state: state.credential_expiry,
    ),
    (
        "client_certificate_expiry_timestamp_seconds",
        "When the client certificate expires.",
        lambda state: state.certificate_expiry,
    ),
)


def families(snapshot: Snapshot, label: Sequence[str]) -> Iterator[Metric]:
    """The metric families.

    Args:
        snapshot: what they report.
        label: the label of the context; empty where there is only one.
    """
    for name, text, value in _COUNTERS:
        counter = CounterMetricFamily(f"kubelatch_{name}", text, labels=label)
        for labels, number in _values(snapshot, label, value):
            counter.add_metric(labels, number)
        yield counter
    for name, text, value in _GAUGES:
        gauge = GaugeMetricFamily(f"kubelatch_{name}", text, labels=label)
        for labels, number in _values(snapshot, label, value):
            gauge.add_metric(labels, number)
        yield gauge
    yield CounterMetricFamily(
        "kubelatch_log_lines_lost",
        "Lines of the request log that could not be written.",
        snapshot.lines_lost,
    )
    build = GaugeMetricFamily(
        "kubelatch_build_info", "Always 1.", labels=["version", "python", "loop", "compiled"]
    )
    compiled = "true" if is_compiled() else "false"
    build.add_metric([__version__, platform.python_version(), snapshot.loop, compiled], 1)
    yield build


def _values(
    snapshot: Snapshot, label: Sequence[str], value: _Value
) -> Iterator[tuple[list[str], float]]:
    for state in snapshot.contexts:
        number = value(state)
        if number is not None:
            yield [state.name] if label else [], number
