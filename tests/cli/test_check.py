"""``kubelatch check``: what it says of a cluster that works, of one that does not, and of rules."""

import asyncio
import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from kubelatch.cli.check import check as run_check
from kubelatch.demo import DemoServer
from kubelatch.errors import KubelatchError
from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import serving

from .processes import kubelatch


@pytest.fixture(autouse=True)
def _core_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked here is checked in this process, which others' core dumps depend on."""
    monkeypatch.setattr("kubelatch.cli.check.forbid_core_dumps", lambda: None)


async def check(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command: as main() has them, without a process."""

    def run() -> tuple[int, str, str]:
        try:
            text, code = run_check(arguments, environ)
        except KubelatchError as error:
            return error.exit_code, "", f"error: {error}\n"
        return code, f"{text}\n", ""

    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return await asyncio.to_thread(run)


async def refusal(*flags: str) -> tuple[int, str, str]:
    """The same of a proxy that cannot start."""
    with pytest.raises(KubelatchError) as caught:
        async with serving(*flags):
            pass
    return caught.value.exit_code, "", f"error: {caught.value}\n"


async def checked(tmp_path: Path, config: dict[str, Any], *flags: str) -> tuple[int, Any]:
    path = write(tmp_path / "config", config)
    code, stdout, stderr = await check(f"--kubeconfig={path}", "-o", "json", *flags)
    assert stderr == ""
    return code, json.loads(stdout)


async def test_it_says_who_we_are_and_how(tmp_path: Path) -> None:
    async with DemoServer() as access:
        path = write(tmp_path / "config", access.kubeconfig())
        code, facts = await checked(tmp_path, access.kubeconfig())
        assert code == 0
        assert facts["ok"]
        assert facts["files"] == [str(path)]
        assert facts["context"] == "demo"
        assert facts["server"] == access.server
        assert facts["authenticates_by"] == "client-certificate"
        assert facts["we_are"] == facts["certificate_of"] == "admin"
        assert "system:masters" in facts["groups"]
        assert facts["certificate_expires"] > "2026"
        assert facts["answers"]["version"].startswith("v1.")
        code, text, _ = await kubelatch("check", f"--kubeconfig={path}")
        assert (code, text.splitlines()[-1]) == (0, "it works")
        assert "authenticates by:    client-certificate" in text


async def test_files_trust_and_user_are_shown_without_secrets(
    tmp_path: Path, authority: Authority
) -> None:
    alice = authority.client("alice")
    (tmp_path / "ca.crt").write_text(authority.pem)
    encoded = [base64.b64encode(t.encode()).decode() for t in (alice.certificate, alice.key)]
    path = tmp_path / "config"
    path.write_text(
        'clusters: [{name: c, cluster: {server: "https://127.0.0.1:1/", '
        'certificate-authority: ca.crt, proxy-url: "http://me:hunter2@127.0.0.1:1"}}]\n'
        f"users: [{{name: u, user: {{client-certificate-data: {encoded[0]}, client-key-data: "
        f"{encoded[1]}, token: hunter2, as: bob}}}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u, namespace: ns}}]\n"
        "current-context: x\n"
    )
    code, stdout, _ = await check(f"--kubeconfig={path}", "-o", "json")
    facts = json.loads(stdout)
    assert (code, facts["ok"]) == (1, False)
    assert facts["files"] == [str(path), f"{tmp_path}/ca.crt"]
    assert (facts["context"], facts["cluster"], facts["user"]) == ("x", "c", "u")
    assert facts["server"] == "https://127.0.0.1:1/"
    assert facts["via_proxy"] == "http://127.0.0.1:1"
    assert facts["trust"] == f"the CA in {tmp_path}/ca.crt"
    assert facts["ca_expires"]
    assert (facts["authenticates_by"], facts["certificate_of"]) == ("token", "alice")
    assert facts["impersonates"] == "bob"
    assert "hunter2" not in stdout
    assert alice.key.splitlines()[1] not in stdout


async def test_what_has_no_effect_is_a_warning(tmp_path: Path) -> None:
    async with DemoServer() as access:
        _, facts = await checked(tmp_path, access.kubeconfig(), "--cache-dir=/x")
    assert facts["ok"]
    assert facts["warnings"] == ["--cache-dir has no effect: the proxy caches nothing"]


async def test_check_of_the_demo_says_how_to_ask_it() -> None:
    code, stdout, stderr = await kubelatch("check", "--demo")
    assert (code, stdout) == (2, "")
    assert "--demo brings its own" in stderr
    # By its path where it is not on PATH.
    assert re.search(r"Say (\S+/)?kubelatch run --demo -- (\S+/)?kubelatch check\.\n$", stderr)


async def test_a_token_is_described_and_never_shown(tmp_path: Path) -> None:
    async with DemoServer() as access:
        code, facts = await checked(tmp_path, access.kubeconfig(), "--context=demo-token")
        assert (code, facts["authenticates_by"]) == (0, "token")
        assert facts["we_are"]
        assert access.admin_token.reveal() not in json.dumps(facts)


async def test_impersonation_shows_in_who_we_are(tmp_path: Path) -> None:
    async with DemoServer() as access:
        code, facts = await checked(tmp_path, access.kubeconfig(), "--as=jane")
        assert (code, facts["impersonates"], facts["we_are"]) == (0, "jane", "jane")


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
        code, facts = await checked(
            tmp_path, access.kubeconfig(), "--context=demo-anonymous", *flags
        )
    assert code == 1
    assert not facts["ok"]
    assert words in facts["problem"]
    assert facts["server"]


async def test_another_authority_is_named_as_the_trouble(
    tmp_path: Path, authority: Authority
) -> None:
    async with DemoServer() as access:
        code, facts = await checked(tmp_path, kubeconfig(access.server, authority))
    assert code == 1
    assert "unknown authority" in facts["problem"]


async def test_a_broken_kubeconfig_is_one_line_and_exit_2(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("{")
    code, stdout, stderr = await kubelatch("check", f"--kubeconfig={path}")
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


async def test_names_can_neither_steer_the_terminal_nor_forge_a_line(tmp_path: Path) -> None:
    config = kubeconfig("https://127.0.0.1:1", user={"token": "t"})
    name = "a\x1b[2J\nit works\u202e"
    config["contexts"] = [{"name": name, "context": {"cluster": name, "user": name}}]
    config["clusters"][0]["name"] = config["users"][0]["name"] = config["current-context"] = name
    path = write(tmp_path / "config", config)
    _, text, _ = await check(f"--kubeconfig={path}")
    assert text.count(r"a\x1b[2J\x0ait works\u202e") == 3
    assert "it works" not in text.splitlines()
    assert "\x1b" not in text
    _, facts = await checked(tmp_path, config)
    # JSON escapes by itself, and a program may compare.
    assert (facts["context"], facts["user"]) == (name, name)
    config["contexts"] = []
    code, _, stderr = await check(f"--kubeconfig={write(path, config)}")
    assert code == 2
    assert stderr.count("\n") == 1
    assert "\x1b" not in stderr


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2VjcmV0c2ln"
KEY = Authority().client("x").key


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize(
    ("user", "flags", "words"),
    [
        pytest.param(
            {"client-certificate": "CA", "client-key": KEY},
            [],
            'client-key of user "test" does not name a file; did you paste the key itself?',
            id="key",
        ),
        pytest.param(
            {"client-certificate": "CA", "client-key": base64.b64encode(KEY.encode()).decode()},
            [],
            'client-key of user "test" does not name a file',
            id="base64 of a key",
        ),
        pytest.param(
            {"client-certificate": KEY, "client-key": "CA"},
            [],
            'client-certificate of user "test" does not name a file',
            id="certificate",
        ),
        pytest.param({"tokenFile": JWT}, [], "did you paste the token itself?", id="token"),
        pytest.param({"tokenFile": "hunter2"}, [], "did you paste the token", id="short token"),
        pytest.param(
            {"tokenFile": "07401b.f395accd246ae52d"}, [], "paste the token", id="bootstrap token"
        ),
        pytest.param({"tokenFile": "a\nb"}, [], "paste the token", id="two lines"),
        pytest.param({"tokenFile": "a\0b"}, [], "paste the token", id="NUL"),
        pytest.param({"tokenFile": "a" * 5000}, [], "paste the token", id="too long for a path"),
        pytest.param({}, [f"--certificate-authority={KEY}"], "does not name a file", id="CA"),
        pytest.param({}, [f"--client-token-file={JWT}"], "open ***: no such", id="client token"),
        pytest.param(
            {}, ["--client-token-file=hunter2"], "open ***: no such", id="short client token"
        ),
        pytest.param({}, [f"--kubeconfig={KEY}"], "stat ***: no such", id="kubeconfig"),
        pytest.param({}, [f"--allow-rules={KEY}"], "--allow-rules ***: ", id="rules"),
        pytest.param({}, [f"--log-requests={JWT}/x"], "open ***: ", id="log"),
        pytest.param({}, [f"--proxy-url={JWT}:hunter2@h:1"], "", id="proxy"),
        pytest.param({}, ["--server=https://u:hunter2/@h"], "", id="server"),
        pytest.param({}, ["-token=hunter2"], "unknown shorthand flag", id="one dash"),
        pytest.param(
            {"exec": {"command": KEY, "apiVersion": "x"}}, [], "invalid apiVersion", id="plugin"
        ),
    ],
)
async def test_a_secret_in_the_wrong_place_is_never_shown(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    authority: Authority,
    user: dict[str, Any],
    flags: list[str],
    words: str,
    output: str,
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.pem)
    user = {name: str(ca) if value == "CA" else value for name, value in user.items()}
    path = write(tmp_path / "config", kubeconfig("https://127.0.0.1:1", user=user))
    command = "serve" if any("file" in f or "rules" in f or "log" in f for f in flags) else "check"
    given = [f"--kubeconfig={path}", *flags, f"--output={output}"]
    if command == "serve":
        if output == "json":
            pytest.skip("only check prints JSON")
        code, stdout, stderr = await refusal("--port=0", *given[:-1])
    else:
        code, stdout, stderr = await check(*given)
    facts = (stdout + stderr + caplog.text).replace("\\n", "\n").replace("\n", "")
    assert code in {1, 2}, facts
    assert words in facts
    for secret in ("hunter2", "f395accd", "eyJzdWIi", "a" * 100, *KEY.splitlines()[1:-1]):
        assert secret[:20] not in facts


@pytest.mark.parametrize("version", ["v1alpha1", "v2"])
async def test_an_exec_version_that_is_gone_is_the_fault_and_not_what_it_lacks(
    tmp_path: Path, version: str
) -> None:
    version = f"client.authentication.k8s.io/{version}"
    user = {"exec": {"command": "aws", "apiVersion": version}}
    path = write(tmp_path / "config", kubeconfig("https://127.0.0.1:1", user=user))
    code, _, stderr = await check(f"--kubeconfig={path}")
    assert code == 2
    assert f'invalid apiVersion "{version}"' in stderr
    assert "interactiveMode" not in stderr
