"""The tour and README's first screen print what they say: on the demo, and on a real API server.

The latter needs ``KUBELATCH_TEST_KUBECONFIG``, an administrator's kubeconfig of a cluster whose
namespace ``shop`` may be made and deleted: ``pytest -m real_api tests/package/test_tour.py``.
"""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.demo.real.replay import steps as recorded
from tests.support.proxies import proxy_process

from .conftest import ROOT
from .transcripts import Step, run, steps

TOUR = ROOT / "docs/tour.md"
_CONFIG = os.environ.get("KUBELATCH_TEST_KUBECONFIG", "")

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("kubectl")), reason="curl and kubectl are needed"
)


def differences(page: list[Step], printed: list[str]) -> list[str]:
    """The commands that printed something else."""
    return [
        f"$ {step.command}\n{text}"
        for step, text in zip(page, printed, strict=True)
        if not re.fullmatch(step.pattern, text)
    ]


async def play(page: Path, directory: Path, *flags: str) -> list[str]:
    """Run a page's commands beside a proxy, and return those that printed something else."""
    expected = list(steps(page))
    environment = {"HOME": str(directory), "PWD": str(directory)}
    async with proxy_process("--port=0", *flags) as proxy:
        commands = [step.command.replace("localhost:8001", proxy.address) for step in expected]
        printed = await asyncio.to_thread(run, commands, directory, environment)
    return differences(expected, printed)


async def test_the_tour_prints_what_it_says(tmp_path: Path) -> None:
    assert len(list(steps(TOUR))) > 30
    assert await play(TOUR, tmp_path, "--demo", f"--demo-kubeconfig={tmp_path}/demo.yaml") == []


async def test_the_first_screen_of_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    assert len(list(steps(ROOT / "README.md"))) > 2
    assert await play(ROOT / "README.md", tmp_path, "--demo") == []


@pytest.mark.real_api
@pytest.mark.skipif(not _CONFIG, reason="KUBELATCH_TEST_KUBECONFIG names no cluster")
async def test_the_tour_prints_the_same_on_a_real_api_server(tmp_path: Path, shop: None) -> None:
    config = as_demo(yaml.safe_load(Path(_CONFIG).read_text()))
    authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
    (tmp_path / "demo.ca.crt").write_bytes(base64.b64decode(authority))
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(config))
    assert await play(TOUR, tmp_path, f"--kubeconfig={tmp_path}/demo.yaml") == []


@pytest.fixture
def shop() -> Iterator[None]:
    """The demo's namespace, with what the recorded cluster had in it."""
    for _, step in recorded():
        request = step["request"]
        if request["method"] == "POST" and "response" not in step and "shop" in str(request):
            path = request["path"]
            made = kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request["body"]))
            assert made.returncode == 0 or "already exists" in made.stderr, made
    yield
    kubectl("delete", "namespace", "shop", "--wait=false")


def kubectl(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    command = ["kubectl", f"--kubeconfig={_CONFIG}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def as_demo(config: dict[str, Any]) -> dict[str, Any]:
    """An administrator's kubeconfig with the demo's contexts; its data must be inline."""
    chosen = next(
        row["context"] for row in config["contexts"] if row["name"] == config["current-context"]
    )
    user = next(row["user"] for row in config["users"] if row["name"] == chosen["user"])
    users = {"demo": user, "demo-viewer": user | {"as": "viewer"}, "demo-anonymous": {}}
    cluster = next(row for row in config["clusters"] if row["name"] == chosen["cluster"])
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "demo", "cluster": cluster["cluster"]}],
        "users": [{"name": name, "user": row} for name, row in users.items()],
        "contexts": [{"name": n, "context": {"cluster": "demo", "user": n}} for n in users],
        "current-context": "demo",
    }
