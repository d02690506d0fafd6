"""``kubelatch check``: what it says of a cluster that works, of one that does not, and of rules."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kubelatch.demo import DemoServer
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write


async def check(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kubelatch",
        "check",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        cwd=Path(__file__).parents[2],
    )
    stdout, stderr = await process.communicate()
    return process.returncode or 0, stdout.decode(), stderr.decode()


async def checked(tmp_path: Path, config: dict[str, Any], *flags: str) -> tuple[int, Any]:
    path = write(tmp_path / "config", config)
    code, stdout, stderr = await check(f"--kubeconfig={path}", "-o", "json", *flags)
    assert stderr == ""
    return code, json.loads(stdout)


async def test_it_says_who_we_are_and_how(tmp_path: Path) -> None:
    async with DemoServer() as access:
        path = write(tmp_path / "config", access.kubeconfig())
        code, said = await checked(tmp_path, access.kubeconfig())
        assert code == 0
        assert said["ok"]
        assert said["files"] == [str(path)]
        assert said["context"] == "demo"
        assert said["server"] == access.server
        assert said["authenticates_by"] == "client-certificate"
        assert said["we_are"] == said["certificate_of"] == "demo-admin"
        assert "system:masters" in said["groups"]
        assert said["certificate_expires"] > "2026"
        assert said["answers"]["version"].startswith("v1.")
        code, text, _ = await check(f"--kubeconfig={path}")
        assert (code, text.splitlines()[-1]) == (0, "it works")
        assert "authenticates by:    client-certificate" in text


async def test_what_has_no_effect_is_a_warning(tmp_path: Path) -> None:
    async with DemoServer() as access:
        _, said = await checked(tmp_path, access.kubeconfig(), "--cache-dir=/x")
    assert said["ok"]
    assert said["warnings"] == ["--cache-dir has no effect: the proxy caches nothing"]


async def test_check_of_the_demo_says_how_to_ask_it() -> None:
    code, stdout, stderr = await check("--demo")
    assert (code, stdout) == (2, "")
    assert "--demo brings its own" in stderr
    assert stderr.endswith("Say kubelatch run --demo -- kubelatch check.\n")


async def test_a_token_is_described_and_never_shown(tmp_path: Path) -> None:
    async with DemoServer() as access:
        code, said = await checked(tmp_path, access.kubeconfig(), "--context=demo-token")
        assert (code, said["authenticates_by"]) == (0, "token")
        assert said["we_are"]
        assert access.admin_token.reveal() not in json.dumps(said)


async def test_impersonation_shows_in_who_we_are(tmp_path: Path) -> None:
    async with DemoServer() as access:
        code, said = await checked(tmp_path, access.kubeconfig(), "--as=jane")
        assert (code, said["impersonates"], said["we_are"]) == (0, "jane", "jane")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--token=nonsense"], "401", id="refused credential"),
        pytest.param(["--server=https://127.0.0.1:1"], "refused", id="no server"),
        pytest.param(["--tls-server-name=elsewhere"], "not for elsewhere", id="wrong name"),
    ],
)
async def test_what_does_not_work_is_a_problem_and_exit_1(
    tmp_path: Path, flags: list[str], words: str
) -> None:
    async with DemoServer() as access:
        code, said = await checked(
            tmp_path, access.kubeconfig(), "--context=demo-anonymous", *flags
        )
    assert code == 1
    assert not said["ok"]
    assert words in said["problem"]
    assert said["server"]


async def test_another_authority_is_named_as_the_trouble(
    tmp_path: Path, authority: Authority
) -> None:
    async with DemoServer() as access:
        code, said = await checked(tmp_path, kubeconfig(access.server, authority))
    assert code == 1
    assert "unknown authority" in said["problem"]


async def test_a_broken_kubeconfig_is_one_line_and_exit_2(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("{")
    code, stdout, stderr = await check(f"--kubeconfig={path}")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: error loading config file")
    assert stderr.count("\n") == 1


RULES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: shop}
rules: [{apiGroups: [''], resources: [pods, pods/log], verbs: [get, list]}]
"""


@pytest.mark.parametrize(
    ("question", "code"),
    [
        pytest.param(["list", "pods", "-n", "shop"], 0, id="allowed"),
        pytest.param(["get", "pods/web", "-n", "shop", "--subresource=log"], 0, id="subresource"),
        pytest.param(["list", "pods"], 1, id="another namespace"),
        pytest.param(["delete", "pods", "-n", "shop"], 1, id="another verb"),
    ],
)
async def test_rules_are_asked_as_kubectl_asks(
    tmp_path: Path, question: list[str], code: int
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    given, stdout, _ = await check(f"--allow-rules={path}", "--can-i", *question)
    assert (given, stdout.splitlines()[0]) == (code, "no" if code else "yes")
    assert ("rules.yaml" in stdout) is not bool(code)


@pytest.mark.parametrize(
    "arguments",
    [["--can-i", "list", "pods"], ["--allow-rules=/dev/null", "--can-i", "list"], ["-o", "xml"]],
)
async def test_a_question_that_makes_no_sense_is_exit_2(arguments: list[str]) -> None:
    code, stdout, stderr = await check(*arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ")
