"""What an exec plugin is told: KUBERNETES_EXEC_INFO, word for word as the real kubectl tells it."""

import json
from pathlib import Path
from typing import Any

import pytest

from .cases import CLUSTER, V1, V1BETA1, Case, kube
from .oracle import World, ask_both

PLUGIN = """#!/bin/sh
printenv KUBERNETES_EXEC_INFO > "$0.info"
printenv > "$0.env"
echo '{"kind":"ExecCredential","apiVersion":"VERSION","status":{"token":"t"}}'
"""
SERVER = 'server: "https://127.0.0.1:${port}"'
HUGE = "{a: [1, 2.5, true, null, {b: 'text'}], c: 0x1f, d: 1e3, e: 2024-01-01, f: y}"


def case(*flags: str, cluster: str = CLUSTER, version: str = V1, more: str = "") -> Case:
    user = (
        f"{{exec: {{command: ./info, apiVersion: {version}, interactiveMode: Never, "
        f"provideClusterInfo: true{more}}}}}"
    )
    files = {
        "config": kube(user=user, cluster=cluster),
        "info": PLUGIN.replace("VERSION", version),
    }
    return Case(files=files, flags=flags)


CASES = {
    "ca-from-data": case(),
    "v1beta1": case(version=V1BETA1),
    "not-asked-for": case(more=", provideClusterInfo: false"),
    "ca-from-file": case(cluster=f"{{{SERVER}, certificate-authority: ca.crt}}"),
    "ca-by-flag": case("--certificate-authority=${dir}/ca.crt"),
    "insecure": case(cluster=f"{{{SERVER}, insecure-skip-tls-verify: true}}"),
    "insecure-by-flag": case("--insecure-skip-tls-verify"),
    "server-name": case(cluster=CLUSTER.replace("}}", "}, tls-server-name: localhost}")),
    "server-by-flag": case("--server=https://localhost:${port}"),
    "server-with-slash": case("--server=https://localhost:${port}/"),
    "server-with-path": case("--server=https://localhost:${port}/a/b/?q=1#f"),
    "disable-compression": case(cluster=CLUSTER.replace("}}", "}, disable-compression: true}")),
    "disable-compression-by-flag": case("--disable-compression"),
    "extension": case(
        cluster=CLUSTER.replace(
            "}}",
            "}, extensions: [{name: client.authentication.k8s.io/exec, extension: "
            + HUGE
            + "}, {name: other, extension: {x: 1}}]}",
        )
    ),
    "extension-null": case(
        cluster=CLUSTER.replace(
            "}}", "}, extensions: [{name: client.authentication.k8s.io/exec, extension: null}]}"
        )
    ),
    "no-ca": case(cluster=f"{{{SERVER}}}"),
    "proxy-url": case(
        cluster=CLUSTER.replace("}}", '}, proxy-url: "http://u:p@127.0.0.1:${plain}"}')
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
async def test_the_plugin_gets_the_same_exec_info(
    case: Case, world: World, words: dict[str, str]
) -> None:
    told: list[Any] = []

    def keep() -> None:
        told.append(json.loads((world.directory / "info.info").read_text()))
        (world.directory / "info.info").unlink()

    await ask_both(case, world, words, after=keep)

    theirs, ours = told
    assert ours == theirs


async def test_the_plugin_inherits_the_environment_without_the_service_managers_variables(
    world: World, words: dict[str, str]
) -> None:
    told: list[dict[str, str]] = []

    def keep() -> None:
        lines = (world.directory / "info.env").read_text().splitlines()
        told.append(dict(line.split("=", 1) for line in lines if "=" in line))

    environ = {
        "COLOUR": "red",
        "NOTIFY_SOCKET": "/n",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "a",
        "WATCHDOG_USEC": "1",
    }
    base = case(more=", env: [{name: COLOUR, value: blue}]")
    await ask_both(Case(files=base.files, environ=environ), world, words, after=keep)

    theirs, ours = told
    inherited = {"HOME", "KUBECONFIG", "PATH", "COLOUR"}
    assert {k: ours[k] for k in inherited} == {k: theirs[k] for k in inherited}
    assert ours["COLOUR"] == "blue"
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"} & (
        ours.keys()
    )


async def test_a_bare_command_is_found_on_our_path_not_on_the_plugins(
    world: World, words: dict[str, str], tmp_path: Path
) -> None:
    for place in ("ours", "theirs"):
        body = PLUGIN.replace("VERSION", V1).replace('"token":"t"', f'"token":"{place}"')
        plugin = tmp_path / place / "bare-plugin"
        plugin.parent.mkdir()
        plugin.write_text(body)
        plugin.chmod(0o755)
    user = (
        f"{{exec: {{command: bare-plugin, apiVersion: {V1}, interactiveMode: Never, "
        f"env: [{{name: PATH, value: '{tmp_path}/theirs:/bin:/usr/bin'}}]}}}}"
    )
    asked = Case(
        files={"config": kube(user=user)}, environ={"PATH": f"{tmp_path}/ours:/bin:/usr/bin"}
    )
    theirs, ours = await ask_both(asked, world, words)

    assert ours.seen is not None
    assert ours.seen == theirs.seen
    assert ours.seen.headers == (("authorization", "Bearer ours"),)


async def test_a_bare_command_is_not_found_in_the_working_directory(
    world: World, words: dict[str, str], tmp_path: Path
) -> None:
    plugin = tmp_path / "bare-plugin"
    plugin.write_text(PLUGIN.replace("VERSION", V1))
    plugin.chmod(0o755)
    user = f"{{exec: {{command: bare-plugin, apiVersion: {V1}, interactiveMode: Never}}}}"
    asked = Case(files={"config": kube(user=user)}, environ={"PATH": ".:/bin:/usr/bin"})
    theirs, ours = await ask_both(asked, world, words)

    assert theirs.seen is None
    assert ours.seen is None
