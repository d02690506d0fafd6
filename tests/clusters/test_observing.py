"""Logs, metrics, health and the inspector tell contexts apart."""

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from kubelatch.app import App
from tests.observe.inspector.support import SECRET, Inspected
from tests.support.client import Client
from tests.support.clusters import Cluster, cluster, contexts
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok

ADMIN = ("--contexts=all", "--admin-address=127.0.0.1:0")
PODS = "/api/v1/namespaces/shop/pods"


async def admin(app: App, target: str, *fields: str) -> tuple[int, str]:
    async with await Client.connect(app.admin_name) as client:
        response = await client.get(target, *fields)
        return response.status, response.body.decode()


async def test_the_request_log_names_the_context_and_the_resource(tmp_path: Path) -> None:
    async with ScriptedUpstream(answering(ok(b"{}"))) as upstream:
        config = contexts({"here": cluster(upstream), "there": cluster(upstream)})
        log = tmp_path / "log"
        flags = ("--contexts=all", f"--log-requests={log}", "--log-format=json")
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            for prefix in ("", "/clusters/here", "/clusters/there", "/clusters/nosuch"):
                await client.get(prefix + PODS)
            await client.get("/clusters/")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line.get("context") for line in lines] == ["here", "here", "there", None, None]
    assert [line.get("resource") for line in lines] == ["pods", "pods", "pods", "pods", None]
    assert [line.get("namespace") for line in lines[:3]] == ["shop"] * 3
    assert [line.get("rule") for line in lines] == [None, None, None, None, "clusters"]
    assert lines[3]["cause"] == "not-found"


async def test_metrics_have_the_context_and_health_what_is_wrong_with_one(tmp_path: Path) -> None:
    async with ScriptedUpstream(answering(ok(b"{}"))) as upstream:
        config = contexts(
            {
                "here": cluster(upstream),
                "there": cluster(upstream),
                "broken": Cluster("https://127.0.0.1:1", user={"client-certificate": "/nosuch"}),
                "unused": cluster(upstream),
            }
        )
        async with proxy_in_loop(tmp_path, config, *ADMIN) as app, client_of(app) as client:
            await client.get(PODS)
            await client.get("/clusters/there" + PODS)
            await client.get("/clusters/there" + PODS, method="DELETE")
            assert (await client.get("/clusters/broken" + PODS)).status == 503
            ready, checks = await admin(app, "/readyz?verbose")
            _, text = await admin(app, "/metrics")
    found: dict[str, dict[str, float]] = {}
    for family in parse(text):
        for sample in family.samples:
            if "context" in sample.labels:
                key = sample.labels.get("rule", sample.labels.get("cause", ""))
                name = f"{sample.name} {key}".strip()
                per_context = found.setdefault(name, {})
                context = sample.labels["context"]
                per_context[context] = per_context.get(context, 0) + sample.value
    assert found["kubelatch_requests_total"] == {"here": 1, "there": 2, "broken": 1}
    assert found["kubelatch_refusals_total read-only"] == {"there": 1}
    assert found["kubelatch_failures_total config"] == {"broken": 1}
    assert found["kubelatch_upstream_duration_seconds_count"] == {"here": 1, "there": 1}
    assert found["kubelatch_upstream_connections_idle"] == {"here": 1, "there": 1}
    assert found["kubelatch_configuration_last_reload_successful"] == {"here": 1, "there": 1}
    assert ready == 200
    assert re.search(r'\[!\]contexts .*broken: context "broken" cannot be used', checks)


async def test_the_inspector_shows_each_exchange_in_its_context(tmp_path: Path) -> None:
    async with ScriptedUpstream(answering(ok(b"{}"))) as upstream:
        config = contexts({"here": cluster(upstream), "there": cluster(upstream)})
        (tmp_path / "secret").write_text(SECRET)
        (tmp_path / "secret").chmod(0o600)
        flags = (*ADMIN, "--inspect", f"--inspect-secret-file={tmp_path / 'secret'}")
        async with proxy_in_loop(tmp_path, config, *flags) as app, client_of(app) as client:
            await client.get("/clusters/there" + PODS)
            await client.get("/clusters/there" + PODS, method="DELETE")
            inspected = Inspected(app)
            read = await inspected.detail(method="GET")
            refused = await inspected.detail(method="DELETE")
    assert (read["context"], read["resource"], read["namespace"]) == ("there", "pods", "shop")
    assert "/clusters/there get pods" in read["commands"]["kubectl"]
    assert f"/clusters/there{PODS}" in read["commands"]["curl"]
    assert refused["forbidden"]["rule"] == "read-only"
    assert "--write-contexts=there" in json.dumps(refused["forbidden"])
