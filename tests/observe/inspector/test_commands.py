"""The commands that make a request again do so when they are run."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kubelatch.observe.inspector.commands import ClientAddress, commands

from .support import Inspected, inspected_demo

JSON = "Content-Type: application/json"
MERGE = "Content-Type: application/merge-patch+json"
TABLE = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"
MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "$x`'"}}


async def run(*words: str, home: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, (words, err.decode())
    return out.decode()


async def newest(proxy: Inspected, number: int) -> dict[str, Any]:
    detail = await proxy.detail(id=str(number))
    assert detail["commands"].keys() >= {"curl"}, detail["commands"]
    return detail


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("method", "target", "fields", "body"),
    [
        ("GET", "/api/v1/namespaces/shop/pods?limit=500", (), None),
        ("GET", "/api/v1/pods?labelSelector=a%3Dx&fieldSelector=status.phase%3DRunning", (), None),
        ("GET", "/apis/apps/v1/deployments", (TABLE,), None),
        ("GET", "/api/v1/namespaces/shop", (), None),
        ("GET", "/api/v1/nodes", (), None),
        ("GET", "/version?x='%22%20$(id)", (), None),
        ("GET", "/readyz?verbose", (), None),
        ("POST", "/api/v1/namespaces/shop/configmaps?dryRun=All", (JSON,), MAP),
        ("PATCH", "/api/v1/namespaces/shop", (MERGE,), {"metadata": {"labels": {"a": "b"}}}),
    ],
)  # fmt: skip
async def test_commands_work_when_run(
    tmp_path: Path, method: str, target: str, fields: tuple[str, ...], body: Any
) -> None:
    async with inspected_demo(tmp_path) as proxy:
        data = json.dumps(body).encode() if body is not None else b""
        answer = await proxy.send(target, *fields, method=method, body=data)
        assert answer.status < 300, answer.body
        made = (await newest(proxy, 1))["commands"]
        assert made.keys() == {"curl", "kubectl", "python"}
        for number, name in enumerate(("curl", "python"), start=2):
            words = (
                ["sh", "-c", made[name]] if name == "curl" else [sys.executable, "-c", made[name]]
            )
            out = await run(*words, home=tmp_path)
            again = await proxy.detail(id=str(number))
            assert (again["method"], again["target"]) == (method, target)
            assert again["status"] == answer.status
            assert again["request"]["body"].get("value") == body
            assert out.strip()
        out = await run("sh", "-c", made["kubectl"], home=tmp_path)
        assert out.strip()
        # kubectl asks for the discovery first.
        paths: list[str] = []
        async with asyncio.timeout(10):
            while target.partition("?")[0] not in paths:
                paths = [
                    each["target"].partition("?")[0]
                    for each in await proxy.requests(4)
                    if "kubectl" in each.get("user_agent", "")
                ]


async def test_logs_are_kubectl_logs(tmp_path: Path) -> None:
    async with inspected_demo(tmp_path) as proxy:
        pods = json.loads((await proxy.send("/api/v1/namespaces/shop/pods")).body)
        name = pods["items"][0]["metadata"]["name"]
        answer = await proxy.send(f"/api/v1/namespaces/shop/pods/{name}/log?tailLines=2")
        made = (await newest(proxy, 2))["commands"]
        for text in (made["kubectl"], made["curl"]):
            assert await run("sh", "-c", text, home=tmp_path) == answer.body.decode()
        assert (
            await run(sys.executable, "-c", made["python"], home=tmp_path) == answer.body.decode()
        )


async def test_a_unix_socket_and_a_token_are_for_curl(tmp_path: Path) -> None:
    token = tmp_path / "client's token"
    token.write_text("clients-token")
    address = ClientAddress("http://localhost", "", "/run/it's.sock", str(token))
    summary = {"method": "GET", "target": "/api", "verb": "get", "event": "end"}
    made = commands(summary, {"request": {"headers": []}}, address)
    assert made.keys() == {"curl"}
    assert "--unix-socket '/run/it'\"'\"'s.sock'" in made["curl"]
    assert "clients-token" not in made["curl"]
    made = commands(summary, {"request": {"headers": []}}, ClientAddress("http://h", "", "@x", ""))
    assert "--abstract-unix-socket x" in made["curl"]


def test_over_tls_the_authority_is_named() -> None:
    summary = {"method": "GET", "target": "/api", "verb": "get", "event": "end"}
    address = ClientAddress("https://h", ca_file="/a b")
    made = commands(summary, {"request": {"headers": []}}, address)
    assert made["curl"] == "curl -sS --cacert '/a b' https://h/api"
    assert made["kubectl"].startswith("kubectl --server=https://h '--certificate-authority=/a b'")
    assert "python" not in made


@pytest.mark.parametrize(
    ("summary", "sent", "missing"),
    [
        ({"method": ""}, {}, "could not be read"),
        ({"stream": "tunnel"}, {}, "tunnel"),
        ({"target": "/api?token=***"}, {}, "secret in it"),
        ({}, {"body": {"size": 5, "not_kept": "it is too long"}}, "body is not kept"),
        ({}, {"body": {"size": 5, "value": {"data": "***"}}}, "secret in it"),
        ({}, {"headers": [("Impersonate-User", "x")]}, "impersonates"),
    ],
)
def test_what_is_not_known_whole_has_no_commands(
    summary: dict[str, Any], sent: dict[str, Any], missing: str
) -> None:
    known = {"method": "POST", "target": "/api", "verb": "post", **summary}
    made = commands(known, {"request": sent}, ClientAddress("http://h"))
    assert made.keys() == {"missing"}
    assert missing in made["missing"]


def test_a_request_to_a_service_is_made_again_by_its_name() -> None:
    summary = {
        "method": "GET", "target": "/x", "resource": "services", "subresource": "portforward",
    }  # fmt: skip
    detail = {"request": {"headers": [["Host", "web--shop--test.localhost:1"]]}}
    made = commands(summary, detail, ClientAddress("http://127.0.0.1:1"))
    assert made == {"curl": "curl -sS http://web--shop--test.localhost:1/x"}
