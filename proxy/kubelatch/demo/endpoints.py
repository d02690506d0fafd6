"""The server's own endpoints beside resources: health, metrics, status, and the list of paths."""

import os
import time
from collections import Counter
from collections.abc import Sequence

from . import schemas
from .accounts import ISSUER
from .resources import Catalog
from .status import Object
from .store import Store
from .tokens import ALGORITHM

_Labels = tuple[tuple[str, str], ...]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
_HOOK_CHECKS = tuple(schemas.text("checks.txt").splitlines()[1:])
_LIVE = ("ping", "log", "loopback-serving-certificate", "etcd", *_HOOK_CHECKS)
_READY = ("ping", "log", "informer-sync", *_HOOK_CHECKS, "shutdown")
CHECKS = {"healthz": _LIVE, "livez": _LIVE, "readyz": _READY}
"""The health checks in the order in which they run."""
_OTHERS = (
    *("/.well-known/openid-configuration", "/apis/", "/flagz", "/metrics", "/metrics/slis"),
    *("/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/statusz", "/version"),
)


def openid(server: str) -> Object:
    """Where the keys of service accounts' tokens are: OpenID Connect Discovery."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{server}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }


def paths(catalog: Catalog) -> Object:
    """What ``/`` lists."""
    found = {"/api", "/api/v1", "/apis", *_OTHERS}
    for group, versions in catalog.groups().items():
        if group:
            found.add(f"/apis/{group}")
            found |= {f"/apis/{group}/{version}" for version in versions}
    for endpoint, checks in CHECKS.items():
        found |= {f"/{endpoint}", *(f"/{endpoint}/{name}" for name in checks)}
    return {"paths": sorted(found)}


def health(endpoint: str, excluded: list[str], *, verbose: bool) -> str:
    """The body of ``/healthz``, ``/livez`` and ``/readyz`` (apiserver ``healthz.go``)."""
    if not verbose:
        return "ok"
    checks = CHECKS[endpoint]
    lines = [f"[+]{name} {'excluded: ' if name in excluded else ''}ok" for name in checks]
    unknown = [f'"{name}"' for name in sorted(set(excluded) - set(checks))]
    if unknown:
        names = ",".join(unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    return "\n".join([*lines, f"{endpoint} check passed", ""])


class Metrics:
    """The demo's own counters, under the names that kube-apiserver gives them."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: Counter[tuple[str, ...]] = Counter()
        self.inflight = 0

    @property
    def started(self) -> str:
        """Seconds since the epoch."""
        return str(int(self._started))

    def count(self, *labels: str) -> None:
        """Count a request: code, group, resource, scope, subresource, verb, version."""
        self._requests[labels] += 1

    def text(self, store: Store, catalog: Catalog) -> str:
        """All metrics in Prometheus' text format."""
        names = ("code", "group", "resource", "scope", "subresource", "verb", "version")
        objects = [
            ((("group", row.group), ("resource", row.plural)), len(store.list(row)))
            for row in catalog.stored()
        ]
        requests = [
            ((*zip(names, labels, strict=True), ("component", "apiserver")), count)
            for labels, count in sorted(self._requests.items())
        ]
        inflight = [((("request_kind", "all"),), self.inflight)]
        seconds = [((), round(sum(os.times()[:2]), 2))]
        rows: tuple[tuple[str, str, str, Sequence[tuple[_Labels, float]]], ...] = (
            ("apiserver_current_inflight_requests", "gauge", "Requests in flight.", inflight),
            ("apiserver_request_total", "counter", "Counter of apiserver requests.", requests),
            ("apiserver_resource_objects", "gauge", "Number of stored objects.", objects),
            ("process_cpu_seconds_total", "counter", "CPU time spent in seconds.", seconds),
        )
        return "".join(_family(*row) for row in rows) + self._start_time()

    def health_text(self) -> str:
        """``/metrics/slis``: the result of each health check."""
        rows = sorted((name, endpoint) for endpoint, checks in CHECKS.items() for name in checks)
        results = [((("name", name), ("type", kind)), 1) for name, kind in rows]
        counts = [((*labels, ("status", "success")), 1) for labels, _ in results]
        about = "[STABLE] This metric records the result of a single healthcheck."
        total = "[STABLE] This metric records the results of all healthcheck."
        return (
            _family("kubernetes_healthcheck", "gauge", about, results)
            + _family("kubernetes_healthchecks_total", "counter", total, counts)
            + self._start_time()
        )

    def _start_time(self) -> str:
        about = "Start time of the process since unix epoch in seconds."
        return _family("process_start_time_seconds", "gauge", about, [((), self._started)])


def _family(name: str, kind: str, about: str, samples: Sequence[tuple[_Labels, float]]) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        text = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels))
        lines.append(f"{name}{{{text}}} {value}" if text else f"{name} {value}")
    return "\n".join([*lines, ""])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
