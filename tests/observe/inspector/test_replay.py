"""Reads are made again, through the gate as it is now."""

import json
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.upstream import answering, ok

from .support import inspected

JSON = "Content-Type: application/json"


async def test_a_read_is_made_again_as_a_new_exchange(tmp_path: Path, authority: Authority) -> None:
    async with inspected(tmp_path, authority, answering(ok(b"{}", JSON))) as (proxy, upstream):
        await proxy.send("/api/v1/pods?limit=5", "Accept: application/json;as=Table")
        (first,) = await proxy.requests(1)
        answer = await proxy.ask(f"requests/{first['id']}/replay", method="POST")
        assert answer.status == 201
        result = json.loads(answer.body)
        assert result == {"status": 200, "id": "2"}
        one, two = upstream.requests
        assert one.line == two.line
        assert two.values("accept") == ["application/json;as=Table"]
        assert two.values("user-agent")[0].startswith("kubelatch-inspector/")
        detail = await proxy.detail(id="2")
        assert detail["replayed"] == "1"
        assert detail["response"]["body"] == {"size": 2, "value": {}}


async def test_todays_gate_decides(tmp_path: Path, authority: Authority) -> None:
    rules = tmp_path / "rules.yaml"
    role = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n"
        "rules: [{apiGroups: [''], resources: [%s], verbs: [list]}]\n"
    )
    rules.write_text(role % "pods")
    flag = f"--allow-rules={rules}"
    async with inspected(tmp_path, authority, answering(ok()), flag) as (proxy, upstream):
        await proxy.send("/api/v1/pods")
        await proxy.requests(1)
        rules.write_text(role % "nodes")
        await proxy.app.reload()
        answer = await proxy.ask("requests/1/replay", method="POST")
        assert json.loads(answer.body) == {"status": 403, "id": "2"}
        detail = await proxy.detail(id="2")
        assert (detail["rule"], detail["replayed"]) == ("allow-rules", "1")
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("method", "target", "fields", "reason"),
    [
        ("POST", "/api/v1/pods", (), "only reads"),
        ("DELETE", "/api/v1/namespaces/x/pods/y", (), "only reads"),
        ("GET", "/api/v1/pods?watch=1", (), "no streams"),
        ("GET", "/api/v1/namespaces/x/services/y/proxy/delete", (), "application"),
        ("GET", "/api/v1/pods?token=abc", (), "secret in it"),
        ("GET", "/api/v1/pods", ("Authorization: Bearer x",), "credential or identity"),
        ("GET", "/api/v1/pods", ("Impersonate-User: x",), "credential or identity"),
    ],
)
async def test_what_is_no_read_or_not_known_whole_is_not_made_again(
    tmp_path: Path,
    authority: Authority,
    method: str,
    target: str,
    fields: tuple[str, ...],
    reason: str,
) -> None:
    async with inspected(tmp_path, authority, answering(ok(b"{}", JSON))) as (proxy, upstream):
        await proxy.send(target, *fields, method=method)
        (first,) = await proxy.requests(1)
        answer = await proxy.ask(f"requests/{first['id']}/replay", method="POST")
        assert (answer.status, reason in answer.body.decode()) == (409, True), answer.body
        assert len(upstream.requests) == 1
        assert (await proxy.ask("requests/77/replay", method="POST")).status == 404


async def test_a_client_token_is_not_replaced_by_the_inspectors_secret(
    tmp_path: Path, authority: Authority
) -> None:
    token = tmp_path / "token"
    token.write_text("clients-token")
    flag = f"--client-token-file={token}"
    async with inspected(tmp_path, authority, answering(ok()), flag) as (proxy, upstream):
        await proxy.send("/api/v1/pods", "Authorization: Bearer clients-token")
        await proxy.requests(1)
        assert (await proxy.ask("requests/1/replay", method="POST")).status == 409
        assert len(upstream.requests) == 1
        assert (await proxy.send("/api")).status == 401
        detail = await proxy.detail(rule="client-token")
        assert detail["forbidden"]["rule"] == "client-token"
