"""The examples, run as a reader would run them."""

import importlib.util
import os
import subprocess
import sys

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


def test_every_example_is_run() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names == {
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
