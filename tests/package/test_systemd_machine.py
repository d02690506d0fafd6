"""The units at work: systemd booted in a container, doing what an administrator would do.

``machine_boot.sh`` makes the machine, ``machine_story.py`` is what happens on it.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.observe.test_metrics import PROCESS

from .conftest import ROOT

pytestmark = pytest.mark.timeout(240)


def _missing() -> str:
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/usr/bin/python3").exists():
        return "needs a python3 outside of home directories"
    tools = ("systemd-nspawn", "unshare", "uv")
    return ", ".join(f"needs {tool}" for tool in tools if not shutil.which(tool))


@pytest.fixture(scope="module")
def seen(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen on the machine."""
    if missing := _missing():
        pytest.skip(missing)
    directory = tmp_path_factory.mktemp("machine")
    results = directory / "seen.json"
    base = directory / "base"
    base.mkdir()
    uv = shutil.which("uv") or ""
    here = Path(__file__).with_name("machine_boot.sh")
    boot = subprocess.run(
        ["unshare", "--mount", "--propagation", "private",
         "bash", here, base, wheel, uv, ROOT, results],
        check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if not results.exists():
        if "Operation not permitted" in boot.stderr or "permission denied" in boot.stderr:
            pytest.skip(f"no containers here: {boot.stderr.strip().splitlines()[-1]}")
        pytest.fail(f"the machine told nothing: {boot.stderr}")
    found: dict[str, Any] = json.loads(results.read_text())
    return found


def test_the_first_client_starts_it(seen: dict[str, Any]) -> None:
    assert seen["sockets started"] == 0
    assert seen["before the first client"] == "inactive"
    assert seen["first answer"] == 200


def test_it_serves_all_sockets_and_says_so(seen: dict[str, Any]) -> None:
    assert seen["answer on the unix socket"] == 200
    assert seen["running"]["ActiveState"] == "active"
    status = seen["running"]["StatusText"]
    assert status.startswith("Serving on ")
    assert "127.0.0.1:8001" in status
    assert "/run/kubelatch/api.sock" in status


def test_the_sandbox_lets_it_reach_a_cluster(seen: dict[str, Any]) -> None:
    assert seen["a path behind the proxy"] == 200


def test_the_kernel_confirms_the_sandbox(seen: dict[str, Any]) -> None:
    status = seen["confinement"]
    assert set(status["CapEff"] + status["CapBnd"] + status["CapAmb"]) == {"0"}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert status["Umask"] == "0077"
    # systemd's range for DynamicUser=.
    assert 61184 <= int(status["Uid"].split()[0]) <= 65519


def test_the_unix_socket_is_closed_to_other_users(seen: dict[str, Any]) -> None:
    assert seen["unix socket of another user"] == -1


def test_reload_keeps_the_process_and_ends(seen: dict[str, Any]) -> None:
    assert seen["reload"] == 0
    assert seen["after reload"]
    assert seen["same process"]
    assert seen["answer after reload"] == 200


def test_stop_drains_and_is_a_success(seen: dict[str, Any]) -> None:
    assert seen["while it drains"]["StatusText"].startswith("Draining")
    assert seen["the slow request"] in {201, 400, 422}
    assert seen["the watch ends"]
    assert seen["stopped"]
    assert seen["after stop"] == {"Result": "success", "ExecMainCode": "1", "ExecMainStatus": "0"}


def test_sockets_of_systemd_outlive_it(seen: dict[str, Any]) -> None:
    assert seen["unix socket survives"]
    assert seen["activated again"] == 200


def test_signs_of_life_keep_it_alive(seen: dict[str, Any]) -> None:
    assert seen["alive by its signs of life"] == {"NRestarts": "0", "ActiveState": "active"}


def test_a_hung_process_is_replaced(seen: dict[str, Any]) -> None:
    assert seen["hung one replaced"]
    assert seen["answer of the new one"] == 200


def test_an_agent_in_a_network_namespace_has_its_policy_and_nothing_else(
    seen: dict[str, Any],
) -> None:
    assert seen["policy's socket"] == 0
    listed, secrets, beyond = seen["inside the namespace"]
    assert (listed, secrets, os.strerror(beyond)) == (200, 403, "Network is unreachable")
    assert seen["outside of it"] == -1
    assert seen["policy's service"]["ActiveState"] == "active"
    assert seen["policy's service"]["StatusText"].startswith("Serving on 127.0.0.1:8001")
    assert seen["policy's end"] == {"Result": "success", "ExecMainStatus": "0"}


def test_without_socket_units_it_listens_itself(seen: dict[str, Any]) -> None:
    assert seen["started without sockets"] == 0
    assert seen["allowed user"] == 200


def test_within_the_sandbox_it_can_tell_users_apart(seen: dict[str, Any]) -> None:
    assert seen["other user"] == 403


def test_a_broken_kubeconfig_is_not_tried_again(seen: dict[str, Any]) -> None:
    assert seen["start with a broken kubeconfig"] == 1
    assert seen["broken"] == {
        "Result": "exit-code",
        "NRestarts": "0",
        "ExecMainStatus": "2",
        "ActiveState": "failed",
    }


def test_the_sandbox_has_a_place_for_the_log_file(seen: dict[str, Any]) -> None:
    assert seen["started with a log file"] == 0
    assert " GET /api/v1/nodes " in seen["log file"]


def test_the_sandbox_hides_no_metrics_of_the_process(seen: dict[str, Any]) -> None:
    for name in PROCESS:
        assert f"\nprocess_{name} " in seen["metrics"]


def test_the_journal_names_context_and_server(seen: dict[str, Any]) -> None:
    assert re.search(r"INFO: Serving on \S+: context demo, server https://127", seen["journal"])


def test_the_journal_knows_why_it_failed_and_that_it_is_an_error(seen: dict[str, Any]) -> None:
    errors = seen["errors of it in the journal"].splitlines()
    assert errors
    assert all(line.startswith("error: context was not found") for line in errors)


def test_a_user_runs_it_in_their_own_session(seen: dict[str, Any]) -> None:
    assert seen["user manager"] == 0
    assert seen["user sockets"] == ""
    assert seen["user's first answer"] == 200
    assert seen["user's unix socket"] == 200
    assert seen["user's service"] == "ActiveState=active"


@pytest.mark.parametrize("kind", ["system", "user"])
def test_systemd_has_nothing_to_say_against_the_units(seen: dict[str, Any], kind: str) -> None:
    assert seen[f"verify {kind}"] == [0, ""]
