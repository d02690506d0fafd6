"""What is risky is found, and what cannot be read says so."""

import json
from typing import Any

import pytest

from kubelatch.gate.request_info import request_info
from kubelatch.observe.approvals.body import MAX_READ, ReadBody, read_body
from kubelatch.observe.approvals.risks import risks_of_body, risks_of_request

JSON = ((b"Content-Type", b"application/json"),)


def read(data: bytes, path: str = "/api/v1/namespaces/x/pods", kind: bytes = b"") -> ReadBody:
    headers = ((b"Content-Type", kind),) if kind else JSON
    return read_body(data, request_info("POST", path), headers)


def found(value: Any, **more: Any) -> dict[str, str]:
    risks, _ = risks_of_body(read(json.dumps(value).encode(), **more))
    return {risk.field: risk.value for risk in risks}


def test_a_pods_risky_fields_are_found_wherever_its_template_is() -> None:
    pod = {
        "hostNetwork": True,
        "hostPID": False,
        "serviceAccountName": "admin",
        "containers": [
            {
                "image": "evil",
                "securityContext": {
                    "privileged": True,
                    "runAsUser": 0,
                    "capabilities": {"add": ["SYS_ADMIN"]},
                },
            }
        ],
        "volumes": [{"hostPath": {"path": "/"}}],
    }
    for inside, path in (({"spec": pod}, "spec"), ({"my": {"template": pod}}, "my.template")):
        assert found(inside) == {
            f"{path}.hostNetwork": "true",
            f"{path}.serviceAccountName": "admin",
            f"{path}.containers[0].image": "evil",
            f"{path}.containers[0].securityContext.privileged": "true",
            f"{path}.containers[0].securityContext.runAsUser": "0",
            f"{path}.containers[0].securityContext.capabilities": '{"add": ["SYS_ADMIN"]}',
            f"{path}.volumes[0].hostPath": '{"path": "/"}',
        }


def test_a_json_patch_names_its_fields_in_paths() -> None:
    patch = [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil"}]
    risks = found(patch, kind=b"application/json-patch+json")
    assert risks == {"/spec/containers/0/image": "replace evil"}


def test_what_kubectl_always_says_is_no_risk() -> None:
    query = "fieldManager=kubectl&force=false"
    info = request_info("PATCH", "/api/v1/namespaces/x/configmaps/c", query)
    assert list(risks_of_request(info, query)) == []


@pytest.mark.parametrize("operation", ["move", "copy"])
def test_a_value_that_a_json_patch_takes_from_elsewhere_is_a_risk(operation: str) -> None:
    patch = [{"op": operation, "from": "/metadata/annotations/a", "path": "/spec/x"}]
    risks = found(patch, kind=b"application/json-patch+json")
    assert risks == {"/spec/x": f"{operation} from /metadata/annotations/a"}


@pytest.mark.parametrize(
    ("patch", "field", "value"),
    [
        ({"metadata": {"finalizers": None}}, "metadata.finalizers", "null"),
        ({"metadata": {"finalizers": []}}, "metadata.finalizers", "[]"),
        ({"spec": {"securityContext": None}}, "spec.securityContext", "null"),
        ({"spec": {"$patch": "replace"}}, "spec.$patch", "replace"),
        ({"spec": {"$retainKeys": ["a"]}}, "spec.$retainKeys", '["a"]'),
        (
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["f"]}},
            "metadata.$deleteFromPrimitiveList/finalizers",
            '["f"]',
        ),
    ],
)
def test_what_a_patch_takes_away_is_a_risk(patch: Any, field: str, value: str) -> None:
    assert found(patch, kind=b"application/strategic-merge-patch+json") == {field: value}


def test_a_secret_that_becomes_a_token_is_a_risk() -> None:
    assert found({"type": "kubernetes.io/service-account-token"}) == {
        "type": "kubernetes.io/service-account-token"
    }


@pytest.mark.parametrize(
    ("method", "target", "field"),
    [
        ("POST", "/api/v1/namespaces/x/pods/p/exec?command=sh", "exec"),
        ("GET", "/api/v1/namespaces/x/services/s/proxy/a", "proxy"),
        ("GET", "/api/v1/proxy/namespaces/x/services/s/a", "proxy"),
        ("DELETE", "/api/v1/namespaces/x/pods", "deletecollection"),
        ("DELETE", "/api/v1/namespaces/x", "delete"),
        ("GET", "/api/v1/namespaces/x/secrets/s", "secrets"),
        ("POST", "/api/v1/namespaces/x/serviceaccounts/a/token", "token"),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "clusterroles"),
        ("PATCH", "/apis/apps/v1/namespaces/x/deployments/d?force=true", "?force"),
    ],
)
def test_what_a_target_shows(method: str, target: str, field: str) -> None:
    path, _, query = target.partition("?")
    risks = risks_of_request(request_info(method, path, query), query)
    assert field in [risk.field for risk in risks]


@pytest.mark.parametrize(
    ("data", "kind", "problem"),
    [
        (b"k8s\0...", b"application/vnd.kubernetes.protobuf", "protobuf"),
        (b"{", b"application/json", "parsed"),
        (b'{"a":NaN}', b"application/json", "parsed"),
        (b'{"a":1e999}', b"application/json", "parsed"),
        (b"[" * 100_000, b"application/json", "parsed"),
        (b"[" * 500 + b"]" * 500, b"application/json", "deeply"),
        (b'"' + b"x" * MAX_READ + b'"', b"application/json", "longer"),
        (b"a: 1\n---\nb: 1\n", b"application/apply-patch+yaml", "one document"),
        (b"a: 1\na: 2\n", b"application/apply-patch+yaml", "parsed"),
        (b"x", b"text/plain", "format"),
    ],
)
def test_a_body_that_is_not_known_is_a_risk(data: bytes, kind: bytes, problem: str) -> None:
    body = read(data, kind=kind)
    assert problem in body.problem
    (risk,), _ = risks_of_body(body)
    assert (risk.field, "nothing is known of it" in risk.value) == ("body", True)


def test_keys_that_come_twice_are_a_risk() -> None:
    """Go merges objects under the same key, where only the last is shown."""
    body = read(b'{"spec":{"hostNetwork":true},"spec":{"replicas":1}}')
    assert body.shown == {"spec": {"replicas": 1}}
    risks, _ = risks_of_body(body)
    assert "same key twice in one object (spec)" in risks[0].value


def test_yaml_is_read_as_go_reads_it() -> None:
    body = read(b"spec: {hostNetwork: yes, image: 1:30}\n", kind=b"application/apply-patch+yaml")
    assert body.shown == {"spec": {"hostNetwork": True, "image": "1:30"}}


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}},
        {"data": {"password": "aHVudGVyMg=="}},
        {"stringData": {"password": "aHVudGVyMg=="}},
    ],
)
def test_values_of_secrets_are_not_shown(value: dict[str, Any]) -> None:
    body = read(json.dumps(value).encode(), "/api/v1/namespaces/x/secrets")
    assert "aHVudGVyMg" not in json.dumps(body.shown)
    assert "password" in json.dumps(body.shown)
    patch = json.dumps([{"op": "add", "path": "/data/x", "value": "aHVudGVyMg=="}]).encode()
    hidden = read(patch, "/api/v1/namespaces/x/secrets/s", b"application/json-patch+json")
    assert (hidden.shown, hidden.value) == (None, None)


def test_hostile_text_is_escaped_and_cut_with_its_length() -> None:
    evil = "\u202etxt.exe\x1b[2J" + "x" * 10_000
    risks = found({"image": evil, f"a{evil}": {"privileged": True}})
    text = json.dumps(risks, ensure_ascii=False)
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert risks["image"].endswith(f"...({len(evil)})")
    assert max(map(len, risks)) < 1000


def test_many_risks_are_counted() -> None:
    risks, left = risks_of_body(read(json.dumps([{"image": "a"}] * 1000).encode()))
    assert (len(risks), left) == (60, 940)
