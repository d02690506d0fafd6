"""The metrics, as the official parsers read them."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kubelatch.app import App
from kubelatch.config import settings
from kubelatch.observe.access_log import LogWriter, RequestViews
from kubelatch.observe.metrics import MetricsCollector
from kubelatch.observe.state_metrics import ContextState, Snapshot
from tests.context.waiting import until
from tests.observe.access_log.support import record
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.http2_server import Alpn
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok, server_context

ADMIN = "--admin-address=127.0.0.1:0"
DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "kubelatch.json"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

PROCESS = (
    "cpu_seconds_total",
    "max_fds",
    "open_fds",
    "resident_memory_bytes",
    "start_time_seconds",
    "virtual_memory_bytes",
)


def samples(families: Iterable[Metric]) -> Samples:
    """All samples by name and labels; each only once."""
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


async def scrape(app: App) -> Samples:
    async with await Client.connect(app.admin_name) as client:
        answer = await client.get("/metrics")
    assert answer.status == 200
    return samples(parse_text(answer.body.decode()))


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


async def test_what_was_served_is_counted(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok(b"x" * 100)), authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        async with proxy_in_loop(tmp_path, config, ADMIN) as app, client_of(app) as client:
            for _ in range(3):
                await client.get("/api/v1/namespaces/a/pods")
            await client.send(
                b"POST /apis/apps/v1/namespaces/a/deployments HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 7\r\n\r\n1234567"
            )
            await client.answer()
            await client.get("/version")
            refused = await client.get("/api/v1/namespaces/a/pods/b/exec")
            found = await scrape(app)
    total = "kubelatch_requests_total"
    assert value(found, total, verb="list", resource="pods", code="200") == 3
    assert value(found, total, verb="create", resource="deployments.apps", code="200") == 1
    assert value(found, total, verb="get", resource="", code="200") == 1
    assert value(found, total, verb="get", resource="pods/exec", code="403") == 1
    assert value(found, "kubelatch_refusals_total", rule="reject-paths") == 1
    assert value(found, "kubelatch_requests_in_flight", kind="request") == 0
    assert value(found, "kubelatch_request_duration_seconds_count", verb="list") == 3
    assert value(found, "kubelatch_upstream_duration_seconds_count") == 5
    assert value(found, "kubelatch_received_bytes_total") == 7
    assert value(found, "kubelatch_sent_bytes_total") == 500 + len(refused.body)
    assert value(found, "kubelatch_upstream_connections_opened_total") == 1
    assert value(found, "kubelatch_upstream_connections_reused_total") == 4
    assert value(found, "kubelatch_upstream_connections_idle") == 1
    assert len(upstream.connections) == 1
    assert value(found, "kubelatch_retries_total") == 0
    for name in PROCESS:
        assert value(found, f"process_{name}") is not None


async def test_watches_of_a_former_configuration_count_until_they_end(
    tmp_path: Path, authority: Authority
) -> None:
    context = server_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def shared(app: App) -> tuple[float | None, float | None]:
        found = await scrape(app)
        names = ("connections", "streams")
        return tuple(value(found, f"kubelatch_upstream_shared_{name}") for name in names)  # type: ignore[return-value]

    async with Alpn().serving(context) as server:
        config = kubeconfig(f"https://127.0.0.1:{server.port}", authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, ADMIN) as app, client_of(app) as client:
            await client.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            watch = await server.exchanges.get()
            await watch.head((b"content-type", b"application/json"))
            await client.reader.readuntil(b"\r\n\r\n")
            assert await shared(app) == (1, 1)
            write(tmp_path / "kubeconfig", kubeconfig(
                f"https://localhost:{server.port}", authority, user={"token": "t"}
            ))  # fmt: skip
            await until(lambda: app.reloads == 1)
            assert await shared(app) == (1, 1)
            await watch.end()
            await client.reader.readuntil(b"0\r\n\r\n")
            assert await shared(app) == (0, 0)
            opened = value(await scrape(app), "kubelatch_upstream_connections_opened_total")
    assert opened == len(server.connections) == 1


async def test_what_is_under_way_counts_with_what_it_has_moved(
    tmp_path: Path, authority: Authority
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await connection.reader.read()

    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, ADMIN) as app:
            async with client_of(app) as client:
                await client.send(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await client.reader.readuntil(b"first\r\n")
                during = await scrape(app)
            async with asyncio.timeout(10):
                after = await scrape(app)
                while value(after, "kubelatch_requests_in_flight", kind="watch"):
                    after = await scrape(app)
    assert value(during, "kubelatch_requests_in_flight", kind="watch") == 1
    assert value(during, "kubelatch_stream_duration_seconds_count", kind="watch") is None
    assert value(after, "kubelatch_stream_duration_seconds_count", kind="watch") == 1
    assert value(after, "kubelatch_request_duration_seconds_count", verb="watch") is None
    assert value(after, "kubelatch_failures_total", cause="client-gone") == 1
    for name in ("kubelatch_sent_bytes_total", "kubelatch_upstream_connections_opened_total"):
        assert value(during, name) == value(after, name)
    assert value(after, "kubelatch_sent_bytes_total") == 5


async def test_faults_and_retries(tmp_path: Path, authority: Authority) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        await connection.send(ok())
        request = await connection.request()
        if "/fault" in request.line:
            await connection.send(b"nonsense\r\n\r\n")

    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, ADMIN) as app, client_of(app) as client:
            for path in ("/version", "/stale", "/fault"):
                await client.get(path)
            found = await scrape(app)
    assert value(found, "kubelatch_retries_total") == 1
    assert value(found, "kubelatch_failures_total", cause="bad-answer") == 1
    assert value(found, "kubelatch_upstream_connections_opened_total") == 2


async def test_configuration_and_credential(tmp_path: Path, authority: Authority) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            new = request.values("authorization") == ["Bearer new"]
            token.write_text("new")
            await connection.send(
                ok() if new else b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
            )

    async with ScriptedUpstream(script, authority) as upstream:
        user = {"tokenFile": str(token)}
        config = kubeconfig(upstream.url, authority, user=user, identity=authority.client())
        async with proxy_in_loop(tmp_path, config, ADMIN) as app, client_of(app) as client:
            before = await scrape(app)
            assert (await client.get("/version")).status == 200
            renewed = await scrape(app)
            await app.reload()
            (tmp_path / "kubeconfig").write_text("{")
            await app.reload()
            after = await scrape(app)
    assert value(renewed, "kubelatch_configuration_reloads_total") == 0
    name = "kubelatch_client_certificate_expiry_timestamp_seconds"
    assert (value(before, name) or 0) > 1_700_000_000
    assert value(before, "kubelatch_credential_expiry_timestamp_seconds") is None
    for name, was, became in (
        ("kubelatch_credential_refreshes_total", 0, 1),
        ("kubelatch_credential_last_refresh_successful", 1, 1),
        ("kubelatch_configuration_reloads_total", 0, 1),
        ("kubelatch_configuration_last_reload_successful", 1, 0),
    ):
        assert (name, value(before, name), value(after, name)) == (name, was, became)


async def test_a_scrape_during_load(tmp_path: Path, authority: Authority) -> None:
    """Each scrape is whole and parses, and no counter ever goes back."""
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, ADMIN) as app:

            async def load() -> None:
                async with client_of(app) as client:
                    for number in range(20):
                        await client.get(f"/api/v1/namespaces/n{number}/pods/p{number}")

            tasks = [asyncio.create_task(load()) for _ in range(64)]
            last: Samples = {}
            while not all(task.done() for task in tasks):
                found = await scrape(app)
                for key, count in found.items():
                    if key[0].startswith("kubelatch") and key[0].endswith(("_total", "_count")):
                        assert count >= last.get(key, 0)
                last = found
            await asyncio.gather(*tasks)
            found = await scrape(app)
    labels = {"verb": "get", "resource": "pods", "code": "200"}
    assert value(found, "kubelatch_requests_total", **labels) == 64 * 20
    assert value(found, "kubelatch_request_duration_seconds_count", verb="get") == 64 * 20
    assert value(found, "kubelatch_sent_bytes_total") == 64 * 20 * len("{}")
    assert value(found, "kubelatch_requests_in_flight", kind="request") == 0
    opened = value(found, "kubelatch_upstream_connections_opened_total")
    assert opened == len(upstream.connections)
    assert value(found, "kubelatch_upstream_connections_reused_total") == 64 * 20 - (opened or 0)


async def test_openmetrics_for_who_asks_for_it(tmp_path: Path, authority: Authority) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(tmp_path, config, ADMIN) as app:
            async with client_of(app) as client:
                await client.get("/version")
            async with await Client.connect(app.admin_name) as client:
                answer = await client.get(
                    "/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain"
                )
    assert answer.values("content-type")[0].startswith("application/openmetrics-text")
    found = samples(parse_openmetrics(answer.body.decode()))  # type: ignore[no-untyped-call]
    labels = {"verb": "get", "resource": "", "code": "200"}
    assert value(found, "kubelatch_requests_total", **labels) == 1


async def test_lines_lost_on_standard_error_are_counted(
    tmp_path: Path, authority: Authority
) -> None:
    async with ScriptedUpstream(answering(ok()), authority) as upstream:
        config = write(tmp_path / "c", kubeconfig(upstream.url, authority, user={"token": "t"}))
        flags = [f"--kubeconfig={config}", "--port=0", ADMIN, "--log-requests=-"]
        writer = LogWriter("/dev/full")
        app = App(settings.from_values(settings.parse(flags, {})), {}, stderr=writer)
        try:
            await app.start()
            async with client_of(app) as client:
                await client.get("/version")
            async with asyncio.timeout(10):
                while not value(await scrape(app), "kubelatch_log_lines_lost_total"):
                    pass
        finally:
            await app.stop()
            writer.close()


def counted(*records: dict[str, Any]) -> Samples:
    metrics = MetricsCollector(RequestViews(), Snapshot)
    metrics.count([record(**more) for more in records])
    body, _ = metrics.expose("")
    return samples(parse_text(body.decode()))


def labels_of(found: Samples, name: str) -> list[dict[str, str]]:
    return [dict(labels) for sample, labels in found if sample == name]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        pytest.param({}, {"verb": "list", "resource": "pods", "code": "200"}, id="built in"),
        pytest.param({"target": "/apis/a.b/v1/widgets", "status": 404},
                     {"verb": "list", "resource": "other", "code": "404"}, id="unknown"),
        pytest.param({"target": "/apis/a.b/v1/widgets"},
                     {"verb": "list", "resource": "widgets.a.b", "code": "200"}, id="answered for"),
        pytest.param({"target": "/apis/a.b/v1/" + "w" * 300},
                     {"verb": "list", "resource": "other", "code": "200"}, id="long"),
        pytest.param({"status": 0}, {"verb": "list", "resource": "pods", "code": "none"},
                     id="parts nothing"),
        pytest.param({"status": 799}, {"verb": "list", "resource": "pods", "code": "other"},
                     id="no status of HTTP"),
        pytest.param({"method": "PURGE", "target": "/x"},
                     {"verb": "other", "resource": "", "code": "200"}, id="no verb of Kubernetes"),
        pytest.param({"method": "", "target": "", "status": 400},
                     {"verb": "other", "resource": "", "code": "400"}, id="could not be read"),
    ],
)  # fmt: skip
def test_labels(more: dict[str, Any], wanted: dict[str, str]) -> None:
    assert labels_of(counted(more), "kubelatch_requests_total") == [wanted]


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        pytest.param({"rule": "reject-paths", "status": 403}, True, id="refused"),
        pytest.param({"rule": "redirect", "status": 301}, False, id="redirected"),
        pytest.param({"rule": "www", "status": 404}, False, id="a file that is not there"),
        pytest.param({"status": 403}, False, id="refused by the API server"),
    ],
)
def test_refusals_are_the_gates_own(more: dict[str, Any], refused: bool) -> None:
    found = counted(more)
    assert bool(labels_of(found, "kubelatch_refusals_total")) is refused


def test_what_was_asked_is_counted_and_its_wait_is_no_duration() -> None:
    answered = {"asked": "read-only", "answer": "denied", "answered_by": "page", "ask_wait": 0.5}
    found = counted({**answered, "started": 1.0, "ended": 2.0})
    assert labels_of(found, "kubelatch_asked_total") == [{"answer": "denied", "by": "page"}]
    sums = {name: value for (name, _), value in found.items() if name.endswith("_seconds_sum")}
    assert sums["kubelatch_ask_wait_seconds_sum"] == 0.5
    assert sums["kubelatch_request_duration_seconds_sum"] == 0.5


def test_a_resource_that_was_answered_for_is_known_from_then_on() -> None:
    found = counted({"target": "/apis/a.b/v1/widgets"}, {"target": "/apis/a.b/v1/widgets/x",
                                                         "status": 404})  # fmt: skip
    labels = {"verb": "get", "resource": "widgets.a.b", "code": "404"}
    assert value(found, "kubelatch_requests_total", **labels) == 1


@pytest.mark.parametrize("status", [200, 404])
def test_labels_are_bounded_whatever_clients_send(status: int) -> None:
    requests = [
        {
            "method": f"M{number}",
            "target": f"/apis/g{number}.x/v1/r{number}/n/s{number}",
            "status": status,
            "rule": "" if number % 2 else "reject-paths",
        }
        for number in range(3000)
    ]
    found = counted(*requests)
    assert len(labels_of(found, "kubelatch_requests_total")) <= 501
    assert (
        sum(count for (name, _), count in found.items() if name == "kubelatch_requests_total")
        == 3000
    )


@pytest.mark.parametrize("name", ['a"b', "%FF", "%ED%A0%80", "%E2%80%AE", "a%20b", "A"])
def test_hostile_names_do_not_break_the_format(name: str) -> None:
    """Bytes that are no UTF-8 broke every scrape from then on, once a response was a success."""
    found = counted({"target": f"/apis/g/v1/{name}"})
    assert [labels["resource"] for labels in labels_of(found, "kubelatch_requests_total")] == [
        "other"
    ]


def test_only_the_api_server_makes_a_resource_known() -> None:
    """A browser's preflight is answered here, with success and for whatever it asks."""
    found = counted(
        {"target": "/apis/a.b/v1/widgets", "method": "OPTIONS", "status": 204, "rule": "options",
         "first_byte": 0.0},
    )  # fmt: skip
    assert [labels["resource"] for labels in labels_of(found, "kubelatch_requests_total")] == [
        "other"
    ]


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", "text/plain; version=1e999", ";=,", "*"]
)
def test_no_accept_field_breaks_a_scrape(accept: str) -> None:
    body, _ = MetricsCollector(RequestViews(), Snapshot).expose(accept)
    assert samples(parse_text(body.decode()))


def test_names_follow_prometheus_conventions() -> None:
    """https://prometheus.io/docs/practices/naming, as far as a program can tell."""
    metrics = MetricsCollector(RequestViews(), Snapshot)
    body, _ = metrics.expose("")
    for family in parse_text(body.decode()):
        if family.name.startswith(("process_", "python_")):
            continue
        assert re.fullmatch(r"kubelatch_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        else:
            assert not family.name.endswith("_total")
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_every_metric_is_documented_and_every_documented_metric_is_one() -> None:
    manual = (DASHBOARD.parents[2] / "docs" / "logging.md").read_text()
    table = manual.partition("| metric | labels |")[2].partition("\n\n")[0]
    parts = set(re.findall(r"`(kubelatch_\w+)`", table))
    # "`kubelatch_a_b_total`, `…_c`" stands for kubelatch_a_c as well.
    for row in table.splitlines():
        for short in re.findall(r"`…(\w+)`", row):
            parts.add("kubelatch_upstream_connections" + short)
    families = {re.sub(r"_(bucket|count|sum)$", "", n) for n, _ in exposed() if n[:4] == "kube"}
    assert parts == families


def exposed() -> Samples:
    """One sample at least of each metric."""
    metrics = MetricsCollector(
        RequestViews(),
        lambda: Snapshot(
            contexts=[ContextState(credential_expiry=1.0, certificate_expiry=2.0)], loop="uvloop"
        ),
    )
    metrics.count(
        [
            record(),
            record(target="/api/v1/pods?watch=1"),
            record(rule="reject-paths", status=403),
            record(cause="refused", status=502),
            record(asked="read-only", answer="approved", answered_by="page", ask_wait=1.0),
        ]
    )
    body, _ = metrics.expose("")
    return samples(parse_text(body.decode()))


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    names = {name for name, _ in exposed()}
    asked = {
        name
        for text in expressions()
        for name in re.findall(r"(?:kubelatch|process)_[a-z_]+", text)
    }
    assert len(asked) > 15
    assert asked <= names


def test_the_dashboard_groups_by_labels_that_exist() -> None:
    by_name: dict[str, set[str]] = {}
    for name, labels in exposed():
        by_name.setdefault(name, set()).update(label for label, _ in labels)
    for text in expressions():
        for labels, name in re.findall(r"by \(([a-z, ]+)\) \((?:rate\()?([a-z_]+)", text):
            assert set(labels.split(", ")) <= by_name[name], text
        for name, selector in re.findall(r"([a-z_]+)\{([^}]*)\}", text):
            asked = set(re.findall(r"([a-z]+)[=!]", selector)) - {"instance"}
            assert asked <= by_name[name], text


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = " ".join(expressions())
    families = {re.sub(r"_(bucket|count|sum)$", "", n) for n, _ in exposed() if n[:4] == "kube"}
    assert {name for name in families if name not in shown} == set()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= dashboard.keys()
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert grid["x"] + grid["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_metrics_of_the_process_are_there_in_a_sandbox_like_the_units() -> None:
    """With systemd's ``ProcSubset=pid``, ``ProtectProc=invisible`` and no core dumps."""
    script = """
from kubelatch.observe.process_metrics import ProcessMetrics
from kubelatch.system.process import forbid_core_dumps
import os
os.setgid(65534)
os.setuid(65534)
forbid_core_dumps()
assert not os.path.exists("/proc/stat")
print(*sorted(sample.name for family in ProcessMetrics().collect() for sample in family.samples))
"""
    mount = "mount -t proc -o subset=pid,hidepid=invisible proc /proc"
    sandbox = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    probe = subprocess.run([*sandbox, "true"], check=False, capture_output=True)
    if os.getuid() or probe.returncode:
        pytest.skip("needs root, and a kernel that can hide parts of /proc")
    done = subprocess.run(
        [*sandbox, sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.split() == [f"process_{name}" for name in PROCESS]
