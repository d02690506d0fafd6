"""Everyday kubectl through kubelatch, against an API server with pods that run."""

import http.client
import json
import os
import re
import socket
from pathlib import Path

import pytest

from .conftest import Kubectl

APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: default, labels: {app: NAME}}
spec:
  replicas: 1
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: main, image: "app:1", ports: [{containerPort: 80}]}]}
"""
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WEB = "-n shop deploy/web"
MEGABYTES = 24


@pytest.fixture(params=[{}, SPDY], ids=["websocket", "spdy"])
def streaming(request: pytest.FixtureRequest, open_kubectl: Kubectl) -> Kubectl:
    """kubectl through a proxy that lets exec pass, over both of its protocols."""
    return open_kubectl.with_environment(**request.param)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("get pods -n shop", r"(?m)^web-\S+ +1/1 +Running"),
        ("get deploy web -n shop -o yaml", r"(?m)^  name: web$"),
        ("get deploy web -n shop -o json", r'"kind": "Deployment"'),
        ("get deploy web -n shop -o jsonpath={.spec.replicas}", r"^3$"),
        ("get pods -A -l app=web -o name", r"^(pod/web-\S+\n){3}$"),
        ("get pods -A --field-selector=metadata.namespace=shop -o name", r"pod/cart-"),
        ("get pods -A --chunk-size=2 -o name", r"pod/web-"),
        ("get --raw /version", r'"gitVersion"'),
        ("describe deploy web -n shop", r"Replicas: +3 desired"),
        ("api-resources", r"(?m)^deployments +deploy +apps/v1 +true +Deployment$"),
        ("api-versions", r"(?m)^apps/v1$"),
        ("auth whoami", r"Username +admin"),
        ("auth can-i create pods/exec", r"^yes$"),
        ("cluster-info", r"is running at"),
        ("version", r"Server Version"),
        ("events -n shop", r""),
        ("rollout status deploy/web -n shop", r"successfully rolled out"),
        ("wait pods -n shop --all --for=condition=Ready", r"condition met"),
        (f"logs {WEB} --tail=1", r"web: "),
        ("auth whoami --as=jane --as-group=dev", r"jane"),
    ],
)
def test_reading(latched: Kubectl, command: str, expected: str) -> None:
    result = latched(command)
    assert result.code == 0, result
    assert re.search(expected, result.out), result


def test_an_error_of_the_api_server_is_readable(latched: Kubectl) -> None:
    result = latched("get pods none -n shop")
    assert (result.code, result.err) == (
        1,
        'Error from server (NotFound): pods "none" not found\n',
    )


def test_exec_is_refused_by_default_with_a_reason(latched: Kubectl) -> None:
    for environment in ({}, SPDY):
        result = latched.with_environment(**environment)(f"exec {WEB} -- echo hi")
        assert result.code == 1
        assert "matches the pattern" in result.err
        assert "--reject-paths=''" in result.err
        assert result.out == ""


def test_writing(latched: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "app.yaml"
    manifest.write_text(APP.replace("NAME", "written"))
    for command, expected in (
        (f"apply -f {manifest}", "deployment.apps/written created"),
        (f"apply -f {manifest}", "deployment.apps/written unchanged"),
        ("rollout status deploy/written --timeout=20s", "successfully rolled out"),
        ("label deploy written tier=front", "labeled"),
        ("annotate deploy written note=a/b", "annotated"),
        ("scale deploy written --replicas=2", "scaled"),
        ('patch deploy written -p {"metadata":{"labels":{"tier":"back"}}}', "patched"),
        ('patch deploy written --type=merge -p {"metadata":{"labels":{"a":"b"}}}', "patched"),
        (
            'patch deploy written --type=json -p [{"op":"remove","path":"/metadata/labels/a"}]',
            "patched",
        ),
        ("rollout status deploy/written --timeout=20s", "successfully rolled out"),
        ("get deploy written -o jsonpath={.spec.replicas}{.metadata.labels.tier}", "2back"),
        ("set image deploy/written main=app:2", "image updated"),
        ("rollout status deploy/written --timeout=20s", "successfully rolled out"),
        ("rollout undo deploy/written", "rolled back"),
        ("delete deploy written --timeout=20s", 'deployment.apps "written" deleted'),
        ("create configmap made --from-literal=a=b", "configmap/made created"),
        ("get cm made -o jsonpath={.data.a}", "b"),
        ("delete cm made", "deleted"),
    ):
        result = latched(command)
        assert result.code == 0, result
        assert expected in result.out, result


def test_a_watch_tells_of_changes_as_they_happen(latched: Kubectl) -> None:
    latched("create configmap watched --from-literal=step=0")
    try:
        with latched.started("get cm watched -w -o jsonpath={.data.step};") as watch:
            assert watch.stdout is not None
            assert watch.stdout.read(2) == b"0;"
            for step in ("1", "2"):
                latched('patch cm watched -p {"data":{"step":"' + step + '"}}')
                assert watch.stdout.read(2) == f"{step};".encode()
    finally:
        latched("delete cm watched")


def test_a_log_is_followed(latched: Kubectl) -> None:
    with latched.started(f"logs -f --tail=1 {WEB}") as logs:
        assert logs.stdout is not None
        lines = [logs.stdout.readline() for _ in range(3)]
    assert all(line.startswith(b"web: ") for line in lines), lines
    assert len(set(lines)) == 3


def test_exec(streaming: Kubectl) -> None:
    result = streaming(f"exec {WEB} -- echo hi")
    assert (result.code, result.out, result.err) == (0, "hi\n", "")


def test_exec_with_stdin(streaming: Kubectl) -> None:
    result = streaming(f"exec -i {WEB} -- cat", stdin=b"one\ntwo\n")
    assert (result.code, result.out, result.err) == (0, "one\ntwo\n", "")


def test_exec_with_much_stdin(streaming: Kubectl) -> None:
    data = bytes(range(32, 127)) * 20_000
    result = streaming(f"exec -i {WEB} -- cat", stdin=data)
    assert result.code == 0
    assert result.out.encode() == data


@pytest.mark.parametrize("code", [1, 7, 137])
def test_exit_code_of_exec(streaming: Kubectl, code: int) -> None:
    result = streaming("exec", "-n", "shop", "deploy/web", "--", "sh", "-c", f"exit {code}")
    assert result.code == code
    assert f"exit code {code}" in result.err


def test_stderr_of_exec(streaming: Kubectl) -> None:
    result = streaming("exec", "-n", "shop", "deploy/web", "--", "sh", "-c", "echo no >&2")
    assert (result.code, result.out, result.err) == (0, "", "no\n")


def test_attach(streaming: Kubectl) -> None:
    with streaming.started(f"attach {WEB}") as attached:
        assert attached.stdout is not None
        assert attached.stdout.readline().startswith(b"web: ")


def test_port_forward(streaming: Kubectl) -> None:
    with streaming.started("port-forward -n shop deploy/web :80") as forward:
        host, port = _forwarded(forward.stdout)
        for _ in range(3):
            connection = http.client.HTTPConnection(host, port, timeout=20)
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read()
            connection.close()


def test_port_forward_both_ways(streaming: Kubectl) -> None:
    # What listens on the database's port sends back what it gets.
    with streaming.started("port-forward -n shop deploy/db :5432") as forward:
        address = _forwarded(forward.stdout)
        with socket.create_connection(address, timeout=20) as connection:
            stream = connection.makefile("rb")
            for size in (1, 1000, 300_000):
                data = os.urandom(size)
                connection.sendall(data)
                assert stream.read(size) == data


def _forwarded(stdout: object) -> tuple[str, int]:
    assert hasattr(stdout, "readline")
    match = re.match(rb"Forwarding from (127\.0\.0\.1):(\d+)", stdout.readline())
    assert match
    return match[1].decode(), int(match[2])


def test_cp_both_ways(streaming: Kubectl, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(1_000_000) * MEGABYTES)
    pod = json.loads(streaming("get pods -n shop -l app=cart -o json").out)["items"][0]
    name = pod["metadata"]["name"]
    result = streaming(f"cp -n shop {there} {name}:/tmp/copied")
    assert result.code == 0, result
    result = streaming(f"cp -n shop {name}:/tmp/copied {back}")
    assert result.code == 0, result
    assert back.read_bytes() == there.read_bytes()
    assert streaming(f"exec -n shop {name} -- rm /tmp/copied").code == 0
