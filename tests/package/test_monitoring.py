"""Alert rules and monitors, by Prometheus' own tools, and a real Prometheus that scrapes."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.proxies import proxy_process

from .conftest import ROOT
from .test_manifests import DEPLOY, containers, one, pod_of, render

ALERTS = DEPLOY / "prometheus" / "alerts.yaml"


def tool(name: str) -> str:
    """The path of a program of Debian's package prometheus."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt install prometheus")
    return found


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yaml"), tmp_path)
    promtool("test", "rules", tmp_path / "alerts_test.yaml")


def test_the_operator_gets_the_same_rules() -> None:
    for_operator = yaml.safe_load(
        (DEPLOY / "components/monitoring/prometheusrule.yaml").read_text()
    )
    assert for_operator["spec"] == yaml.safe_load(ALERTS.read_text())


def test_alerts_ask_for_metrics_that_there_are() -> None:
    manual = (ROOT / "docs" / "logging.md").read_text()
    asked = set(re.findall(r"\b(?:kubelatch|process)_[a-z_]+\b", ALERTS.read_text()))
    assert asked
    missing = {name for name in asked if f"`{name}`" not in manual and "process_" not in name}
    assert not missing


@pytest.mark.parametrize(
    ("monitor", "directory"),
    [("kubelatch-sidecar", "examples/sidecar"), ("kubelatch", "standalone")],
)
def test_a_monitor_finds_the_pods_and_their_port(monitor: str, directory: str) -> None:
    text = (DEPLOY / "components/monitoring/podmonitor.yaml").read_text()
    (found,) = [m for m in yaml.safe_load_all(text) if m["metadata"]["name"] == monitor]
    workload = one(render(DEPLOY / directory), "Deployment")
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    assert found["spec"]["selector"]["matchLabels"].items() <= labels
    (endpoint,) = found["spec"]["podMetricsEndpoints"]
    ports = [p for c in containers(pod_of(workload)) for p in c.get("ports", [])]
    assert [p["containerPort"] for p in ports if p["name"] == endpoint["port"]] == [8002]


def test_the_component_adds_them(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps({"namespace": "shop", "components": ["deploy/components/monitoring"]})
    )
    kinds = sorted(found["kind"] for found in render(tmp_path))
    assert kinds == ["PodMonitor", "PodMonitor", "PrometheusRule"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(prometheus: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{prometheus}/api/v1/{path}", timeout=5) as got:
        return json.load(got)["data"]


async def test_a_prometheus_scrapes_the_proxy_and_evaluates_the_rules(tmp_path: Path) -> None:
    program, admin, port = tool("prometheus"), free_port(), free_port()
    config = {
        "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": "kubelatch", "static_configs": [{"targets": [f"127.0.0.1:{admin}"]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    flags = ("--demo", "--port=0", f"--admin-address=127.0.0.1:{admin}", "--log-requests=off")
    async with proxy_process(*flags):
        prometheus = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            both = "process_open_fds and on (instance) kubelatch_build_info"
            query = f"query?query={urllib.parse.quote(both)}"
            async with asyncio.timeout(30):
                while True:
                    try:
                        if (await asyncio.to_thread(asked, port, query))["result"]:
                            break
                    except OSError:  # it has not begun to listen
                        pass
                    await asyncio.sleep(0.1)
            groups = (await asyncio.to_thread(asked, port, "rules"))["groups"]
            (target,) = (await asyncio.to_thread(asked, port, "targets"))["activeTargets"]
        finally:
            prometheus.terminate()
            await prometheus.wait()
    assert target["health"] == "up"
    assert {rule["health"] for rule in groups[0]["rules"]} <= {"ok", "unknown"}
    assert not [rule for rule in groups[0]["rules"] if rule["state"] == "firing"]
