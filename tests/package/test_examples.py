"""The examples, run as a reader would run them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT


def run(*words: str) -> str:
    result = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "proxy")},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("name", "needs", "shows"),
    [
        pytest.param("official_client", ("kubernetes",), "saw ADDED", id="kubernetes"),
        pytest.param("asyncio_client", ("kubernetes_asyncio",), "Running", id="kubernetes-asyncio"),
        pytest.param("lightkube_client", ("lightkube",), "web 3", id="lightkube"),
        pytest.param("plain_http", ("requests", "httpx"), "403 Forbidden", id="requests-httpx"),
    ],
)
def test_the_example_shows_the_demo_cluster(name: str, needs: tuple[str, ...], shows: str) -> None:
    if missing := [module for module in needs if importlib.util.find_spec(module) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed: pip install '.[examples]'")
    output = run(f"examples/{name}.py")
    assert "web-" in output
    assert shows in output


def test_the_agent_reports_what_it_may_not_do() -> None:
    restart, secrets = run("examples/agent.py").splitlines()[-2:]
    assert restart.startswith("may not restart web: PATCH may change something. ")
    assert secrets.startswith("may not read secrets: Secrets cannot be read through this proxy. ")


def test_the_agent_is_held_to_what_it_was_seen_to_need(tmp_path: Path) -> None:
    proxy = ("-m", "kubelatch", "run", "--demo")
    agent = ("--", sys.executable, "examples/agent.py")
    rules = tmp_path / "rules.yaml"
    assert run(*proxy, f"--write-rules={rules}", *agent).splitlines()[-2:] == [
        "did restart web",
        "did read secrets",
    ]
    restart, secrets = run(*proxy, f"--allow-rules={rules}", *agent).splitlines()[-2:]
    assert restart == "did restart web"
    assert secrets.startswith("may not read secrets: secrets is forbidden: ")


def test_every_example_is_run() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names == {
        "agent",
        "official_client",
        "asyncio_client",
        "lightkube_client",
        "plain_http",
        "test_with_fixture",
    }


def test_the_fixture_gives_a_test_its_cluster() -> None:
    output = run(
        "-m", "pytest", "-q", "-p", "kubelatch", "-o", "addopts=",
        "-p", "no:cacheprovider", "examples/test_with_fixture.py",
    )  # fmt: skip
    assert "1 passed" in output
