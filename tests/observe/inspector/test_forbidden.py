"""A 403 says why, and which Role would allow it."""

import json
from pathlib import Path

import yaml

from kubelatch.gate.manifests import parse_rules
from kubelatch.gate.request_info import request_info
from kubelatch.observe.inspector.forbidden import role
from tests.support.certificates import Authority
from tests.support.upstream import answering, ok

from .support import inspected

JSON = "Content-Type: application/json"


def test_the_role_allows_the_request() -> None:
    for method, target in (
        ("GET", "/api/v1/namespaces/shop/pods"),
        ("GET", "/api/v1/namespaces/shop/pods/web"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/namespaces/shop"),
        ("POST", "/apis/apps/v1/namespaces/shop/deployments"),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale"),
        ("DELETE", "/api/v1/namespaces/on/configmaps"),
        ("GET", "/healthz/etcd"),
        ("GET", "/api/v1/namespaces/%22%0A/pods/it's"),
    ):
        info = request_info(method, target)
        text = role((info,))
        rules = parse_rules(text, "role")
        assert any(rule.allows(info) for rule in rules), text
        (document,) = yaml.safe_load_all(text)
        # And nothing beyond its verb and object.
        assert document["rules"][0]["verbs"] == [info.verb]
        other = info._replace(verb="escalate")
        assert not any(rule.allows(other) for rule in rules)


async def test_a_refusal_of_the_gate_names_its_rule(tmp_path: Path, authority: Authority) -> None:
    async with inspected(tmp_path, authority, answering(ok()), "--read-only") as (proxy, _):
        await proxy.send("/api/v1/namespaces/shop/pods", method="POST")
        detail = await proxy.detail(status=403)
        forbidden = detail["forbidden"]
        assert (forbidden["by"], forbidden["rule"]) == ("proxy", "read-only")
        assert forbidden["message"]
        assert "role" not in forbidden


async def test_allow_rules_says_which_role_would_allow_it(
    tmp_path: Path, authority: Authority
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n"
        "rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]\n"
    )
    flag = f"--allow-rules={rules}"
    async with inspected(tmp_path, authority, answering(ok()), flag) as (proxy, _):
        await proxy.send("/apis/apps/v1/namespaces/shop/deployments")
        forbidden = (await proxy.detail(status=403))["forbidden"]
        assert forbidden["rule"] == "allow-rules"
        rules.write_text(rules.read_text() + "---\n" + forbidden["role"])
        await proxy.app.reload()
        assert (await proxy.send("/apis/apps/v1/namespaces/shop/deployments")).status == 200


async def test_a_denial_of_the_api_server_names_the_permission(
    tmp_path: Path, authority: Authority
) -> None:
    message = 'nodes is forbidden: User "eve" cannot list resource "nodes"'
    body = json.dumps({"kind": "Status", "message": message, "code": 403}).encode()
    head = f"HTTP/1.1 403 Forbidden\r\n{JSON}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with inspected(tmp_path, authority, answering(head + body)) as (proxy, _):
        await proxy.send("/api/v1/nodes")
        forbidden = (await proxy.detail(status=403))["forbidden"]
        assert (forbidden["by"], forbidden["message"]) == ("api-server", message)
        (document,) = yaml.safe_load_all(forbidden["role"])
        assert document["kind"] == "ClusterRole"
        assert document["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
